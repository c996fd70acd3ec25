#include "controller/app/input_queue.h"

#include <gtest/gtest.h>

#include <string>

namespace quell::app {
namespace {

EngineInput Edge(const std::string& key, v1::SignalState state, double value) {
  EngineInput input;
  v1::Signal& signal = *input.payload.mutable_signal_edge()->mutable_signal();
  signal.set_key(key);
  signal.set_state(state);
  signal.set_value(value);
  input.rule_states.emplace_back();
  return input;
}

EngineInput Result(const std::string& host) {
  EngineInput input;
  input.payload.mutable_command_reported()->set_host_id(host);
  return input;
}

TEST(InputQueue, ResultsComeBeforePeopleBeforeLivenessBeforeSignals) {
  InputQueue queue;
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 1)));
  EngineInput liveness;
  liveness.payload.mutable_host_edge();
  ASSERT_TRUE(queue.Post(InputClass::kLiveness, std::move(liveness)));
  EngineInput person;
  person.payload.mutable_person_act();
  ASSERT_TRUE(queue.Post(InputClass::kPerson, std::move(person)));
  ASSERT_TRUE(queue.Post(InputClass::kResult, Result("h")));
  auto taken = queue.Take(10, absl::ZeroDuration());
  ASSERT_EQ(taken.size(), 4u);
  EXPECT_TRUE(taken[0].payload.has_command_reported());
  EXPECT_TRUE(taken[1].payload.has_person_act());
  EXPECT_TRUE(taken[2].payload.has_host_edge());
  EXPECT_TRUE(taken[3].payload.has_signal_edge());
}

TEST(InputQueue, AWaitingSignalIsReplacedByItsNewerEdgeAndKeepsBothRuleStates) {
  InputQueue queue;
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 1)));
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("b", v1::FIRING, 2)));
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 3)));
  auto taken = queue.Take(10, absl::ZeroDuration());
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(taken[0].payload.signal_edge().signal().value(), 3);
  EXPECT_EQ(taken[0].rule_states.size(), 2u);
  EXPECT_EQ(queue.coalesced(), 1u);
}

TEST(InputQueue, FiringAndClearingOfOneSignalAreBothKept) {
  InputQueue queue;
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 1)));
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::CLEARED, 0)));
  EXPECT_EQ(queue.Take(10, absl::ZeroDuration()).size(), 2u);
}

TEST(InputQueue, AnEdgeThatWasTakenIsNotReplaced) {
  InputQueue queue;
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 1)));
  ASSERT_EQ(queue.Take(1, absl::ZeroDuration()).size(), 1u);
  ASSERT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 2)));
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_EQ(queue.coalesced(), 0u);
}

TEST(InputQueue, WhatDoesNotFitIsRefusedAndCountedByClass) {
  InputQueue queue;
  for (int i = 0; i < 65'536; ++i) ASSERT_TRUE(queue.Post(InputClass::kResult, Result("h")));
  EXPECT_FALSE(queue.Post(InputClass::kResult, Result("h")));
  EXPECT_EQ(queue.refused(InputClass::kResult), 1u);
  EXPECT_TRUE(queue.Post(InputClass::kSignal, Edge("a", v1::FIRING, 1)));
}

TEST(InputQueue, ClosedTakesNothingMoreAndGivesWhatWaits) {
  InputQueue queue;
  ASSERT_TRUE(queue.Post(InputClass::kResult, Result("h")));
  queue.Close();
  EXPECT_FALSE(queue.Post(InputClass::kResult, Result("h")));
  EXPECT_EQ(queue.Take(10, absl::Seconds(5)).size(), 1u);
  EXPECT_TRUE(queue.Take(10, absl::Seconds(5)).empty());
}

TEST(InputQueue, WhatTheEngineAskedForIsNeverRefused) {
  InputQueue queue;
  size_t reports = 0;
  while (queue.Post(InputClass::kResult, Result("h"))) ++reports;
  EXPECT_EQ(reports, 65'536u);
  EngineInput notice;
  notice.payload.mutable_notice_result()->set_key("k");
  EXPECT_TRUE(queue.Post(InputClass::kResult, std::move(notice)));
  EngineInput delivered;
  delivered.payload.mutable_command_delivered()->set_command("c");
  EXPECT_TRUE(queue.Post(InputClass::kResult, std::move(delivered)));
  EXPECT_EQ(queue.refused(InputClass::kResult), 1u);
}

}  // namespace
}  // namespace quell::app
