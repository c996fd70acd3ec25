// Policies of several steps: what is tried next, when, and when it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

v1::Config TwoSteps(const std::function<void(v1::Policy&)>& change = {}) {
  v1::Config config = Scenario::DefaultConfig();
  v1::Policy* policy = config.add_policies();
  *policy = Scenario::ReleasePolicy();
  if (change) change(*policy);
  return config;
}

v1::Config Asks(const std::string& expr) {
  return TwoSteps([&](v1::Policy& policy) {
    policy.mutable_steps(1)->set_only_if_changed_within_us(0);
    policy.mutable_steps(1)->set_only_if_expr(expr);
  });
}

bool RollbackHelps(const v1::CommandEntry& command) { return command.action() == "release.rollback"; }

std::vector<std::string> Actions(const Scenario& s) {
  std::vector<std::string> actions;
  for (const v1::CommandEntry& command : s.Commands()) actions.push_back(command.action());
  return actions;
}

TEST(Steps, V1_OneRestartThatDoesNotHelpIsNoticedAndTheNextStepFollowsAtOnce) {
  Scenario s(1, TwoSteps());
  s.helps = RollbackHelps;
  s.Changed(1);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(3 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
  EXPECT_EQ(s.Command(0).verification(), v1::NOT_VERIFIED);
  EXPECT_EQ(s.Command(1).step(), 1u);
  EXPECT_EQ(s.Command(1).verification(), v1::VERIFIED);
  EXPECT_LE(s.Command(1).issued_us() - s.Command(0).verify_by_us(), kSecond);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_TRUE(s.Told("did not help"));
  EXPECT_THAT(s.Pages(), IsEmpty());
}

// A release that crashes on every request: the loop's own signal clears with the restart and fires again, and
// so does that of the app that does not answer, whose policy knows one more restart at most.
TEST(Steps, OneAppsSignalsAreOnePolicysMatterUntilItsStepsAreTaken) {
  Scenario s(1, TwoSteps([](v1::Policy& policy) { policy.mutable_guard()->set_cooldown_us(0); }));
  s.helps = RollbackHelps;
  s.Changed(1);
  s.Fire(1, "AppDown", v1::P1);
  s.Pass(kSecond);
  s.Clear(1, "AppDown");
  s.Pass(3 * kSecond);
  s.Fire(1, "AppDown", v1::P1);
  s.Pass(10 * kSecond);
  s.Fire(1, "AppHung", v1::P1);
  EXPECT_EQ(s.LastDecision(), "wait/steps");
  s.Pass(3 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
  EXPECT_EQ(s.Command(1).verification(), v1::VERIFIED);
  EXPECT_FALSE(s.incident().given_up()) << s.incident().given_up_why();
}

TEST(Steps, N05_AnExpressionIsAskedOfTheTargetAlone) {
  Scenario s(2, TwoSteps());
  s.remedy_helps = false;
  s.Changed(1);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(70 * kSecond);
  ASSERT_EQ(s.Commands().size(), 2u);
  const auto& watch = s.state().watches.at("verify/" + s.Command(1).id());
  EXPECT_EQ(watch.expr(), "probe_success == 1");
  EXPECT_EQ(watch.host(), "web-1");
  EXPECT_EQ(watch.host_id(), s.Command(1).host_id());
  ASSERT_EQ(watch.labels_size(), 1);
  EXPECT_EQ(watch.labels(0).name(), "user");
  EXPECT_EQ(watch.labels(0).value(), "deploy");
  EXPECT_EQ(watch.newer_than_us(), s.Command(1).finished_us());
}

TEST(Steps, ARestartOfOursBetweenTheStepsRepeatsNone) {
  for (bool snapshot : {false, true}) {
    Scenario s(1, TwoSteps());
    s.helps = RollbackHelps;
    s.Changed(1);
    s.Fire(1, "AppDown", v1::P2);
    s.Pass(20 * kSecond);
    s.Restart(snapshot);
    s.ConnectHost(1);
    s.Fire(1, "AppDown", v1::P2);
    s.Pass(4 * kMinute);
    EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
  }
}

TEST(Steps, AStepThatDoesNotApplyIsSkippedOnRecordAndAPersonIsTold) {
  Scenario s(1, TwoSteps());
  s.remedy_helps = false;
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(3 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart"));
  EXPECT_THAT(s.Decisions(), Contains("skip/only_if"));
  EXPECT_EQ(s.LastDecision(), "page/steps");
  EXPECT_TRUE(s.Told("no step is left"));
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 1u);
}

struct Other {
  std::string name;
  int host;
  std::function<void(v1::Change&)> change;
  Micros before = 0;
  bool counts = false;
};
class OnlyIfChanged : public testing::TestWithParam<Other> {};

TEST_P(OnlyIfChanged, CountsWhatIsAboutTheSignal) {
  Scenario s(2, TwoSteps());
  s.remedy_helps = false;
  s.Changed(GetParam().host, GetParam().change, s.now() - GetParam().before);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Commands().size(), GetParam().counts ? 2u : 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Changes, OnlyIfChanged,
    testing::Values(Other{"OfTheHost", 1, {}, 0, true}, Other{"OfAnHourAgo", 1, {}, kHour, true},
                    Other{"OfLongAgo", 1, {}, 2 * kHour, false}, Other{"OfAnotherHost", 2, {}, 0, false},
                    Other{"OfAPackage", 1, [](v1::Change& c) { c.set_kind("package"); }, 0, false},
                    Other{"OfTheService", 0, [](v1::Change& c) { c.set_service("portal"); }, 0, true},
                    Other{"OfAnotherService", 0, [](v1::Change& c) { c.set_service("billing"); }, 0, false},
                    Other{"OfNothing", 0, {}, 0, false},
                    Other{"OfAnotherApp", 1,
                          [](v1::Change& c) {
                            c.add_labels()->set_name("app");
                            c.mutable_labels(0)->set_value("websocket");
                          },
                          0, false}),
    [](const auto& info) { return info.param.name; });

TEST(Steps, OurOwnRollbackIsNoReasonForTheNext) {
  Scenario s(1, TwoSteps());
  s.helps = RollbackHelps;
  s.Changed(1, {}, s.now() - 115 * kMinute);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(2 * kMinute);
  ASSERT_EQ(s.Command(1).verification(), v1::VERIFIED);
  s.Changed(
      1, [](v1::Change& c) { c.set_summary("1.8.1"); }, s.Command(1).finished_us() + kSecond);
  s.Pass(20 * kMinute);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(5 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback", "pm2.restart"));
  EXPECT_EQ(s.LastDecision(), "page/steps");
}

TEST(OnlyIf, TheShardsAnswerForTheTargetAlone) {
  Scenario s(2, Asks("node_load1 > 4"));
  s.helps = RollbackHelps;
  std::vector<v1::Watch> asked;
  s.only_if = [&](const v1::Watch& watch) {
    asked.push_back(watch);
    return v1::WatchEdge::TRUE;
  };
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(3 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].expr(), "node_load1 > 4");
  EXPECT_EQ(asked[0].host(), "web-1");
  EXPECT_FALSE(asked[0].host_id().empty());
  EXPECT_GE(asked[0].newer_than_us(), s.Command(0).finished_us());
  EXPECT_THAT(s.Decisions(), Contains("applies/only_if"));
  EXPECT_THAT(s.state().watches, IsEmpty());
}

TEST(OnlyIf, WhatDoesNotHoldAndWhatNoDataTellsIsSkipped) {
  for (bool data : {true, false}) {
    Scenario s(1, Asks("node_load1 > 4"));
    s.remedy_helps = false;
    s.only_if = [&](const v1::Watch&) { return data ? v1::WatchEdge::FALSE : v1::WatchEdge::NO_DATA; };
    s.Fire(1, "AppDown", v1::P2);
    s.Pass(3 * kMinute);
    EXPECT_THAT(Actions(s), ElementsAre("pm2.restart"));
    EXPECT_THAT(s.Decisions(), Contains("skip/only_if"));
    EXPECT_EQ(s.LastDecision(), "page/steps");
    EXPECT_THAT(s.state().watches, IsEmpty());
  }
}

TEST(OnlyIf, AnAnswerThatCameLongAgoIsAskedForAgain) {
  Scenario s(1, Asks("node_load1 > 4"));
  s.remedy_helps = false;
  int asked = 0;
  s.only_if = [&](const v1::Watch&) {
    ++asked;
    return v1::WatchEdge::TRUE;
  };
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(50 * kSecond);
  Answer held = s.Person("alice", [](v1::PersonAct& act) { act.mutable_hold()->set_scope("all"); });
  s.Pass(kHour);
  EXPECT_EQ(s.Commands().size(), 1u);
  s.Person("alice", [&](v1::PersonAct& act) { act.mutable_end_hold()->set_id(held.id); });
  s.Pass(kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
  EXPECT_EQ(asked, 2);
}

TEST(Steps, WhatAProbeSaysOnlyAsksForARollback) {
  Scenario s(1, TwoSteps([](v1::Policy& policy) { policy.set_alerts(0, "AppProbe"); }));
  v1::Config config = TwoSteps([](v1::Policy& policy) { policy.set_alerts(0, "AppProbe"); });
  v1::AlertRule* rule = config.add_alerts();
  rule->set_name("AppProbe");
  rule->add_provenance("probe");
  s.Load(config);
  s.remedy_helps = false;
  s.Changed(1);
  s.Fire(1, "AppProbe", v1::P2);
  s.Pass(2 * kMinute);
  ASSERT_EQ(s.Commands().size(), 2u);
  EXPECT_EQ(s.Command(1).state(), v1::AWAITING_APPROVAL);
  EXPECT_EQ(s.LastDecision(), "ask/provenance");
}

TEST(Steps, AFailedStepIsFollowedByTheNextAndADeniedOneByNone) {
  Scenario failed(1, TwoSteps());
  failed.remedy_succeeds = false;
  failed.Changed(1);
  failed.Fire(1, "AppDown", v1::P2);
  failed.Pass(kSecond);
  failed.Report(failed.Command(), v1::OUTCOME_FAILED, v1::REFUSAL_UNSPECIFIED, "PM2 says no");
  failed.Pass(kSecond);
  EXPECT_THAT(Actions(failed), ElementsAre("pm2.restart", "release.rollback"));

  Scenario denied(1, TwoSteps([](v1::Policy& policy) { policy.set_mode(v1::ASK); }));
  denied.Changed(1);
  denied.Fire(1, "AppDown", v1::P2);
  EXPECT_EQ(denied.Decide("bob", false, "1.1").exit, 0u);
  denied.Pass(kDay);
  EXPECT_THAT(Actions(denied), ElementsAre("pm2.restart"));
}

TEST(Steps, N02_AfterTheHostsCheckRefusedOnlyANewerSampleLeadsOn) {
  Scenario s(1, TwoSteps());
  s.remedy_succeeds = false;
  s.watches_confirm = false;
  s.Changed(1);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, "stopped by hand");
  s.Pass(10 * kMinute);
  EXPECT_EQ(s.Commands().size(), 1u) << "nothing shows that it is ill still";
  s.watches_confirm = true;
  s.Pass(2 * kMinute);
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback"));
}

TEST(Steps, AStepThatHelpedIsNotRepeatedWhileTheSignalLooksBack) {
  Scenario s(1, TwoSteps());
  s.remedy_helps = false;
  s.Changed(1);
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(70 * kSecond);
  ASSERT_EQ(s.Commands().size(), 2u);
  s.Watch("verify/" + s.Command(1).id(), v1::WatchEdge::TRUE);
  s.Pass(5 * kMinute);
  EXPECT_EQ(s.Command(1).verification(), v1::VERIFIED);
  EXPECT_EQ(s.LastDecision(), "wait/helped");
  EXPECT_FALSE(s.incident().given_up());
  s.Pass(10 * kMinute);
  EXPECT_EQ(s.Commands().size(), 2u);
  EXPECT_EQ(s.LastDecision(), "page/steps");
}

TEST(Steps, AttemptsAndCooldownCountOverFiringsAndRestarts) {
  Scenario s(1, TwoSteps());
  s.helps = RollbackHelps;
  s.Changed(1);
  for (int firing = 0; firing < 3; ++firing) {
    s.Fire(1, "AppDown", v1::P2);
    s.Pass(8 * kMinute);
    s.Restart(firing == 1);
    s.ConnectHost(1);
    s.Pass(kMinute);
  }
  EXPECT_THAT(Actions(s), ElementsAre("pm2.restart", "release.rollback", "pm2.restart", "release.rollback"));
  EXPECT_GE(s.Command(2).issued_us() - s.Command(0).issued_us(), 5 * kMinute);
  EXPECT_THAT(s.Decisions(), Contains("page/attempts"));
  EXPECT_TRUE(s.incident().given_up());
}

v1::Config Asking(const std::string& then) {
  return TwoSteps([&](v1::Policy& policy) {
    policy.set_mode(v1::ASK);
    policy.set_approval_then(then);
    policy.mutable_guard()->set_cooldown_us(5 * kMinute);
  });
}

TEST(Approvals, OneThatExpiresPagesTheNextOrTheSame) {
  for (bool next : {true, false}) {
    Scenario s(1, Asking(next ? "page_next" : "page"));
    s.Fire(1, "AppDown", v1::P1);
    s.Pass(kMinute);
    s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); });
    s.Pass(10 * kMinute);
    EXPECT_EQ(s.Command().state(), v1::EXPIRED);
    EXPECT_TRUE(s.Told("expired"));
    EXPECT_THAT(s.Pages(), Contains(testing::StartsWith(next ? "management/escalated" : "oncall/escalated")));
    EXPECT_THAT(s.Pages(), Not(Contains(testing::StartsWith(next ? "oncall/escalated" : "management/"))));
  }
}

TEST(Approvals, ASignalThatGoesOnAsksAgainAfterTheCooldownAndNotForEver) {
  Scenario s(1, Asking("page_next"));
  s.Fire(1, "AppDown", v1::P1);
  s.Pass(12 * kMinute);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_EQ(s.LastDecision(), "wait/earlier");
  s.Pass(4 * kMinute);
  ASSERT_EQ(s.Commands().size(), 2u);
  EXPECT_EQ(s.Command(1).proposed_us() - s.Command(0).finished_us(), 5 * kMinute);
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 3u);
  EXPECT_THAT(s.Decisions(), Contains("page/earlier"));
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_THAT(s.starts, IsEmpty());
}

}  // namespace
}  // namespace quell::engine
