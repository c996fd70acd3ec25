// What must never happen: the rows of the procedures that the engine answers for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "common/base/time.h"
#include "controller/incidents/find.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::IsEmpty;

void Event(Scenario& s, const std::string& kind, const std::string& text) {
  v1::Payload payload;
  v1::AppEvent* event = payload.mutable_app_event();
  event->set_host_id("00000000-0000-4000-8000-100000000001");
  event->set_host("web-1");
  event->set_kind(kind);
  event->set_text(text);
  event->set_at_us(s.now());
  s.Input(payload, "agent:web-1");
}

TEST(Never, N01_ACrashThatPm2HealsIsAnEventAndNothingElse) {
  Scenario s;
  const size_t before = s.log().size();
  Event(s, "pm2.exit", "portal exited with code 1");
  Event(s, "pm2.online", "portal is online");
  s.Pass(kHour);
  EXPECT_EQ(s.log().size(), before + 2);
  EXPECT_EQ(s.incidents(), 0u);
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_THAT(s.Commands(), IsEmpty());
  std::vector<Record> records(s.log().end() - 2, s.log().end());
  const auto rows = RowsFor(records, s.state());
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].kind, "event");
}

TEST(Never, N02_WhatAPersonStoppedIsRefusedByTheHostAndNotTriedAgain) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, "stopped by hand");
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_TRUE(s.Told("stopped by hand"));
}

// Every host's app hangs at once; the remedy helps.
struct Fleet {
  int hosts;
};
class N03_SmallFleets : public testing::TestWithParam<Fleet> {};

TEST_P(N03_SmallFleets, OneAtATimeTheNextAfterTheFirstIsVerified) {
  const int hosts = GetParam().hosts;
  const int ill = hosts < 5 ? hosts : std::max(1, hosts / 5);  // below the share that stops everything
  Scenario s(hosts);
  for (int n = 1; n <= ill; ++n) s.Fire(n);
  EXPECT_EQ(s.incidents(), 1u);
  const size_t allowed =
      hosts < 5 ? static_cast<size_t>(ill) : std::max<size_t>(1, static_cast<size_t>(hosts) / 10);
  for (int step = 0; step < 120; ++step) {
    size_t in_flight = 0, in_window = 0;
    for (const v1::CommandEntry& command : s.Commands()) {
      in_flight += incidents::InFlight(command) ? 1 : 0;
      in_window += command.issued_us() > s.now() - 10 * kMinute ? 1 : 0;
    }
    ASSERT_LE(in_flight, 1u);
    ASSERT_LE(in_window, allowed);
    s.Pass(5 * kSecond);
  }
  EXPECT_GE(s.Commands().size(), std::min<size_t>(static_cast<size_t>(ill), hosts < 5 ? 4 : 1));
  for (const v1::CommandEntry& command : s.Commands()) {
    EXPECT_TRUE(command.state() == v1::SUCCEEDED || incidents::InFlight(command)) << command.state();
  }
  if (hosts < 5) {
    EXPECT_EQ(s.incident().status(), v1::MONITORING);
    EXPECT_EQ(s.Commands().size(), static_cast<size_t>(hosts));
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, N03_SmallFleets,
                         testing::Values(Fleet{1}, Fleet{2}, Fleet{3}, Fleet{5}, Fleet{50}, Fleet{2000}),
                         [](const auto& info) { return "Hosts" + std::to_string(info.param.hosts); });

TEST(Never, N03_InASmallFleetTheSecondIsLeftAloneWhenTheFirstDidNotHelp) {
  Scenario s(3);
  s.remedy_helps = false;
  for (int n = 1; n <= 3; ++n) s.Fire(n);
  s.Pass(kHour);
  std::set<std::string> hosts;
  for (const v1::CommandEntry& command : s.Commands()) hosts.insert(command.host());
  EXPECT_EQ(hosts.size(), 1u);
  EXPECT_TRUE(s.incident().given_up());
}

TEST(Never, N03_AGroupNobodyCanCountIsSmall) {
  Scenario s(0);
  for (int n = 1; n <= 8; ++n) s.ConnectHost(n, [](v1::Host& host) { host.clear_apps(); });
  s.remedy_helps = false;
  for (int n = 1; n <= 8; ++n) s.Fire(n);
  s.Pass(20 * kMinute);
  std::set<std::string> hosts;
  for (const v1::CommandEntry& command : s.Commands()) hosts.insert(command.host());
  EXPECT_EQ(hosts.size(), 1u);
}

TEST(Never, N05_AnotherHostsHealthVerifiesNothing) {
  Scenario s(2);
  s.remedy_helps = false;
  s.Fire(1);
  s.Fire(2, "AppDown", v1::P1);
  s.Pass(5 * kSecond);
  const v1::Watch* watch = nullptr;
  for (const auto& [id, w] : s.state().watches) watch = &w;
  ASSERT_NE(watch, nullptr);
  EXPECT_EQ(watch->host_id(), s.Command().host_id());
  EXPECT_EQ(watch->signal_key(), s.Command().signal());
  EXPECT_EQ(watch->newer_than_us(), s.Command().finished_us());
  s.Clear(2, "AppDown");
  s.Watch("verify/of-another", v1::WatchEdge::TRUE);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Command().verification(), v1::NOT_VERIFIED);
}

TEST(Never, N05_ASampleFromBeforeTheOutcomeVerifiesNothing) {
  Scenario s;
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(5 * kSecond);
  v1::Payload payload;
  payload.mutable_watch_edge()->set_watch("verify/" + s.Command().id());
  payload.mutable_watch_edge()->set_value(v1::WatchEdge::TRUE);
  payload.mutable_watch_edge()->set_sample_us(s.Command().finished_us() - 1);
  s.Input(payload);
  EXPECT_EQ(s.Command().verification(), v1::VERIFYING);
}

TEST(Never, N05_AConditionThatDoesNotStayIsNotVerified) {
  Scenario s;
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(5 * kSecond);
  const std::string watch = "verify/" + s.Command().id();
  s.Watch(watch, v1::WatchEdge::TRUE);
  EXPECT_EQ(s.Command().verification(), v1::HOLDING);
  s.Pass(20 * kSecond);
  s.Watch(watch, v1::WatchEdge::NO_DATA);
  EXPECT_EQ(s.Command().verification(), v1::VERIFYING) << "nothing known is not good news";
  s.Pass(kMinute);
  EXPECT_EQ(s.Command().verification(), v1::NOT_VERIFIED);
}

// The collector hangs after one good sample: nothing shows that it stayed.
TEST(Never, N05_AConditionThatIsNotSeenAtItsHoldsEndIsNotVerified) {
  Scenario s;
  s.remedy_helps = false;
  s.holds_stay = false;
  s.Fire(1);
  s.Pass(5 * kSecond);
  const std::string watch = "verify/" + s.Command().id();
  s.Watch(watch, v1::WatchEdge::TRUE);
  const Micros end = s.now() + 30 * kSecond;
  s.Pass(31 * kSecond);
  EXPECT_EQ(s.Command().verification(), v1::HOLDING);
  EXPECT_EQ(s.state().watches.at(watch).newer_than_us(), end);
  s.Watch(watch, v1::WatchEdge::NO_DATA);  // on samples as new as that
  EXPECT_EQ(s.Command().verification(), v1::HOLDING);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Command().verification(), v1::NOT_VERIFIED);
}

TEST(Never, N05_OneNewSampleAtItsHoldsEndVerifiesAndOnTheOldOnesNothing) {
  Scenario s;
  s.remedy_helps = false;
  s.holds_stay = false;
  s.Fire(1);
  s.Pass(5 * kSecond);
  const std::string watch = "verify/" + s.Command().id();
  s.Watch(watch, v1::WatchEdge::TRUE);
  s.Pass(31 * kSecond);
  v1::Payload old;
  old.mutable_watch_edge()->set_watch(watch);
  old.mutable_watch_edge()->set_value(v1::WatchEdge::TRUE);
  old.mutable_watch_edge()->set_sample_us(s.now() - 2 * kSecond);  // on its way when it was asked anew
  s.Input(old, "shard");
  EXPECT_EQ(s.Command().verification(), v1::HOLDING);
  s.Restart(/*snapshot=*/true);  // begins anew
  EXPECT_EQ(s.Command().verification(), v1::VERIFYING);
  s.Watch(watch, v1::WatchEdge::TRUE);
  s.Pass(31 * kSecond);
  s.Watch(watch, v1::WatchEdge::TRUE);
  EXPECT_EQ(s.Command().verification(), v1::VERIFIED);
}

TEST(Never, N07_AnActionThatEndsAProcessCarriesItsEvidenceBudget) {
  Scenario s;
  s.Fire(1);
  EXPECT_EQ(s.Command().evidence_budget_ms(), 2000u);
  EXPECT_EQ(s.Command().evidence_budget_bytes(), 1u << 20);
}

// The engine's part of it: events of fifty hosts for a day, reboots, starts of the controller, configurations
// that are loaded and a clock that steps make no incident of themselves. What the rules and the liveness of
// hosts make of such a day is in healthy_day_test.cpp.
TEST(Never, N11_AHealthyDayIsSilent) {
  Scenario s(50);
  uint64_t seed = 20261123;
  auto dice = [&](uint64_t n) {
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33) % n;
  };
  for (int quarter = 0; quarter < 96; ++quarter) {
    for (int i = 0; i < 10; ++i) {
      static const char* const kKinds[] = {"pm2.exit",   "pm2.online", "pm2.restart",
                                           "pm2.reload", "pm2.stop",   "probe.edge"};
      Event(s, kKinds[dice(6)], "by a person or healed");
      s.Pass(static_cast<Micros>(dice(60)) * kSecond);
    }
    const int host = 1 + static_cast<int>(dice(50));
    s.Host(host, v1::HostEdge::HOST_GOODBYE);
    s.Pass(static_cast<Micros>(20 + dice(100)) * kSecond);
    s.Host(host, v1::HostEdge::HOST_REBOOTED);
    s.ConnectHost(host);
    if (quarter % 24 == 7) {
      s.Restart(quarter % 48 == 7);
      for (int n = 1; n <= 50; ++n) s.ConnectHost(n);
    }
    if (quarter % 24 == 13) s.Load(Scenario::DefaultConfig());
    if (quarter % 24 == 17) {
      v1::Payload jump;
      jump.mutable_clock_jump()->set_by_us(-3 * kSecond);
      s.Input(jump);
    }
    s.Pass(5 * kMinute);
  }
  EXPECT_EQ(s.incidents(), 0u);
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_THAT(s.Copies(), IsEmpty());
  EXPECT_THAT(s.Commands(), IsEmpty());
}

TEST(Never, ControllerRestartsPageNobodyAndClearNothing) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1, "AppDown", v1::P2);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); });
  for (int i = 0; i < 5; ++i) {
    s.Restart(i % 2 == 0);
    EXPECT_EQ(s.state().signals.begin()->second.state(), v1::HELD);
    s.Pass(20 * kSecond);
    s.ConnectHost(1);
    s.Fire(1, "AppDown", v1::P2);
  }
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().relapses(), 0u);
}

}  // namespace
}  // namespace quell::engine
