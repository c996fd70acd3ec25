// Each guard: what it stops, that the reason is on record, and what happens then.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

v1::Config With(const std::function<void(v1::Policy&)>& change) {
  v1::Config config = Scenario::DefaultConfig();
  change(*config.mutable_policies(0));
  return config;
}

void SetHold(Scenario& s, const std::string& scope, uint32_t exit = 0) {
  Answer answer = s.Person("alice", [&](v1::PersonAct& act) {
    act.mutable_hold()->set_scope(scope);
    act.mutable_hold()->set_why("release in progress");
  });
  EXPECT_EQ(answer.exit, exit) << answer.message;
}

TEST(Guards, AHoldStopsAutomationOfItsScopeAndOnlyThat) {
  for (const char* scope : {"all", "service:portal", "policy:restart-hung-app", "host:web-1"}) {
    Scenario s;
    SetHold(s, scope);
    s.Fire(1);
    EXPECT_THAT(s.Commands(), IsEmpty()) << scope;
    EXPECT_EQ(s.LastDecision(), "withhold/hold") << scope;
  }
  for (const char* scope : {"service:other", "host:web-2"}) {
    Scenario s(2);
    SetHold(s, scope);
    s.Fire(1);
    EXPECT_EQ(s.Commands().size(), 1u) << scope;
  }
  Scenario s;
  SetHold(s, "host:nowhere", 3);
  SetHold(s, "everything", 1);
}

// A catalogue gave the app's service a name of its own: who holds the app by its name still does.
TEST(Guards, AHoldByTheAppsNameStandsWhenItsServiceHasAnother) {
  const auto fire = [](Scenario& s) {
    v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
    v1::Label* label = signal.add_labels();
    label->set_name("service");
    label->set_value("shop");
    s.Edge(signal, v1::FIRING);
    EXPECT_THAT(s.incident().services(), ElementsAre("shop"));
  };
  for (const char* scope : {"service:shop", "service:portal", "service:deploy/portal"}) {
    Scenario s;
    SetHold(s, scope);
    fire(s);
    EXPECT_THAT(s.Commands(), IsEmpty()) << scope;
    EXPECT_EQ(s.LastDecision(), "withhold/hold") << scope;
  }
  Scenario s;
  SetHold(s, "service:port");
  fire(s);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Guards, TheEndOfAHoldLetsPolicyLookAgain) {
  Scenario s;
  Answer held = s.Person("alice", [](v1::PersonAct& act) { act.mutable_hold()->set_scope("all"); });
  s.Fire(1);
  ASSERT_THAT(s.Commands(), IsEmpty());
  s.Pass(kMinute);
  s.Person("alice", [&](v1::PersonAct& act) { act.mutable_end_hold()->set_id(held.id); });
  s.Pass(kSecond);
  EXPECT_EQ(s.Commands().size(), 1u) << "after a newer sample confirmed it";
}

TEST(Guards, AHoldWithAnEndEnds) {
  Scenario s;
  s.Person("alice", [&](v1::PersonAct& act) {
    act.mutable_hold()->set_scope("all");
    act.mutable_hold()->set_until_us(s.now() + 10 * kMinute);
  });
  s.Fire(1);
  s.Pass(9 * kMinute);
  EXPECT_THAT(s.Commands(), IsEmpty());
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_TRUE(s.state().holds.empty());
}

TEST(Guards, AHoldCancelsWhatHasNotStarted) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  ASSERT_EQ(s.Command().state(), v1::ISSUED);
  SetHold(s, "all");
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  s.Pass(kMinute);
  EXPECT_EQ(s.starts[s.Command().id()], 1);
}

TEST(Guards, AHostThatWontActIsLeftAlone) {
  using Change = std::function<void(v1::Host&)>;
  const std::vector<Change> changes = {
      [](v1::Host& h) { h.set_executor_connected(false); }, [](v1::Host& h) { h.clear_actions(); },
      [](v1::Host& h) { h.set_sanctions_error("absent"); }, [](v1::Host& h) { h.set_results_full(true); },
      [](v1::Host& h) { h.set_held(true); }};
  for (size_t i = 0; i < changes.size(); ++i) {
    Scenario s;
    s.ConnectHost(1, changes[i]);
    s.Fire(1);
    EXPECT_THAT(s.Commands(), IsEmpty()) << i;
    EXPECT_EQ(s.LastDecision(), "withhold/host") << i;
    s.ConnectHost(1);
    EXPECT_EQ(s.Commands().size(), 1u) << i;
  }
}

TEST(Guards, ALostHostGetsNoCommand) {
  Scenario s;
  s.Host(1, v1::HostEdge::HOST_LOST);
  s.Fire(1);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "withhold/host");
}

TEST(Guards, ATakenIncidentIsAskedAbout) {
  Scenario s;
  s.remedy_helps = false;
  SetHold(s, "all");
  s.Fire(1);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_take(); });
  const std::string hold = s.state().holds.begin()->first;
  s.Person("bob", [&](v1::PersonAct& act) { act.mutable_end_hold()->set_id(hold); });
  ASSERT_EQ(s.Commands().size(), 1u);
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_EQ(s.LastDecision(), "ask/taken");
}

TEST(Guards, WhatTheAppSaysOfItselfOnlyAsks) {
  v1::Config config = With([](v1::Policy& p) { p.add_alerts("LogErrors"); });
  Scenario s(1, config);
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  signal.set_alert("LogErrors");
  s.Edge(signal, v1::FIRING);
  EXPECT_EQ(s.LastDecision(), "ask/provenance");
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
}

TEST(Guards, AProbeSpeaksForItsOwnAppAlone) {
  v1::Config config =
      With([](v1::Policy& p) { (*p.mutable_steps(0)->mutable_with())["app"] = "database-proxy"; });
  Scenario s(1, config);
  s.Fire(1);
  EXPECT_EQ(s.LastDecision(), "ask/provenance");
}

TEST(Guards, AnUnknownAlertOnlyAsks) {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_alerts(0)->clear_provenance();
  Scenario s(1, config);
  s.Fire(1);
  EXPECT_EQ(s.LastDecision(), "ask/provenance");
}

TEST(Guards, ASignalThatTellsNoProcessOnlyAsks) {
  Scenario s;
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  signal.clear_facts();
  s.Edge(signal, v1::FIRING);
  EXPECT_EQ(s.LastDecision(), "ask/provenance");
  EXPECT_THAT(s.starts, IsEmpty());
}

// Of an app that keeps ending the process of the sample is gone; the command is about whatever runs now.
TEST(Guards, AnAppThatKeepsEndingIsNotPinnedToOneOfItsProcesses) {
  for (const bool counts_exits : {true, false}) {
    v1::Config config = Scenario::DefaultConfig();
    config.mutable_alerts(0)->add_metrics(counts_exits ? "pm2_app_unplanned_exits_5m" : "pm2_app_online");
    Scenario s(1, config);
    s.Fire(1);
    ASSERT_FALSE(s.Commands().empty());
    EXPECT_EQ(s.Command().typed().pm2_restart().expect().empty(), counts_exits);
  }
}

// A session of a database server is told apart by its times; without them a person has to look.
TEST(Guards, ASessionIsEndedAutomaticallyWhenItsTransactionIsNamed) {
  for (const bool transaction : {true, false}) {
    v1::Config config = With([&](v1::Policy& p) {
      p.mutable_steps(0)->set_action("postgres.terminate");
      auto& with = *p.mutable_steps(0)->mutable_with();
      with.clear();
      with["connection"] = "main";
      with["pid"] = "$labels.pid";
      with["backend_start_us"] = "1795589915282147";
      if (transaction) with["xact_start_us"] = "1795589915306429";
    });
    config.mutable_alerts(0)->clear_provenance();
    config.mutable_alerts(0)->add_provenance("daemon");
    Scenario s(1, config);
    s.ConnectHost(1, [](v1::Host& host) { host.add_actions("postgres.terminate"); });
    v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
    signal.clear_facts();
    v1::Label* pid = signal.add_labels();
    pid->set_name("pid");
    pid->set_value("4711");
    s.Edge(signal, v1::FIRING);
    EXPECT_EQ(s.LastDecision(), transaction ? "act/" : "ask/provenance");
  }
}

TEST(Guards, TheProcessIsExpectedByItsPidAndItsStart) {
  Scenario s;
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  v1::Fact started = signal.facts(0);
  started.mutable_series()->set_name("pm2_app_started_seconds");
  started.set_value(1795403704.314);
  *signal.add_facts() = started;
  v1::Fact gone = signal.facts(0);
  gone.mutable_series()->mutable_labels(0)->set_value("4");
  gone.set_value(0);
  *signal.add_facts() = gone;
  gone.mutable_series()->set_name("pm2_app_started_seconds");
  gone.set_value(1795403709);
  *signal.add_facts() = gone;
  s.Edge(signal, v1::FIRING);
  const v1::CommandEntry command = s.Command();
  const auto& expect = command.typed().pm2_restart().expect();
  ASSERT_EQ(expect.size(), 2);
  EXPECT_EQ(expect[0].pid(), 4711);
  EXPECT_EQ(expect[0].started_ms(), 1795403704314);
  EXPECT_EQ(expect[1].pm_id(), 4);
  EXPECT_EQ(expect[1].pid(), 0);
  EXPECT_EQ(expect[1].started_ms(), 1795403709000);
}

TEST(Guards, OldEvidenceIsConfirmedFirst) {
  Scenario s;
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  signal.set_sample_us(s.now() - kMinute);
  s.Edge(signal, v1::FIRING);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "wait/stale");
  s.Pass(kSecond);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Guards, EvidenceThatNobodyConfirmsIsNotActedOnAndAPersonIsTold) {
  Scenario s;
  s.watches_confirm = false;
  v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
  signal.set_sample_us(s.now() - kMinute);
  s.Edge(signal, v1::FIRING);
  s.Pass(5 * kMinute);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_THAT(s.Decisions(), Contains("withhold/stale"));
  EXPECT_THAT(s.Pages(), Contains("oncall/page"));
}

TEST(Guards, TheCooldownOfATargetIsWaitedOut) {
  Scenario s;
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Command().verification(), v1::NOT_VERIFIED);
  EXPECT_EQ(s.LastDecision(), "wait/cooldown");
  EXPECT_EQ(s.Commands().size(), 1u);
  s.Pass(4 * kMinute);
  ASSERT_EQ(s.Commands().size(), 2u);
  EXPECT_GE(s.Command(1).issued_us() - s.Command(0).issued_us(), 5 * kMinute);
  EXPECT_EQ(s.Command(1).typed().pm2_restart().expect(0).pid(), 5001)
      << "the process that the first one started";
}

TEST(Guards, AttemptsAreCountedAndTheLastOneThatFailsPages) {
  Scenario s;
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(30 * kMinute);
  EXPECT_EQ(s.Commands().size(), 2u);
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_EQ(s.LastDecision(), "page/attempts");
  EXPECT_THAT(s.Pages(), Contains(testing::EndsWith("/given_up")));
}

TEST(Guards, ThreeActionsWithoutImprovementOpenTheBreaker) {
  v1::Config config = With([](v1::Policy& p) {
    p.mutable_guard()->set_attempts_max(10);
    p.mutable_guard()->set_cooldown_us(kMinute);
  });
  Scenario s(1, config);
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(kHour);
  EXPECT_EQ(s.Commands().size(), 3u);
  EXPECT_EQ(s.LastDecision(), "page/breaker");
  EXPECT_TRUE(s.incident().given_up());
}

TEST(Guards, QuellsOwnAppsAreNeverTouched) {
  v1::Config config =
      With([](v1::Policy& p) { (*p.mutable_steps(0)->mutable_with())["app"] = "quell-controller"; });
  Scenario s(1, config);
  s.Fire(1);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "withhold/self");
}

TEST(Guards, AMissingLabelWithholds) {
  v1::Config config =
      With([](v1::Policy& p) { (*p.mutable_steps(0)->mutable_with())["app"] = "$labels.nothing"; });
  Scenario s(1, config);
  s.Fire(1);
  EXPECT_EQ(s.LastDecision(), "withhold/binding");
}

TEST(Guards, ObserveOnlyWritesDown) {
  Scenario s(1, With([](v1::Policy& p) { p.set_mode(v1::OBSERVE); }));
  s.Fire(1);
  EXPECT_THAT(s.Decisions(), ElementsAre("observe/mode"));
  EXPECT_THAT(s.Commands(), IsEmpty());
}

TEST(Guards, NoPolicyIsOnRecordToo) {
  Scenario s;
  s.Fire(1, "AppDown", v1::P2);
  EXPECT_THAT(s.Decisions(), ElementsAre("none/policy"));
}

TEST(Guards, AGroupThatIsMostlyIllIsNotRestartedHostByHost) {
  Scenario s(10);
  s.remedy_takes = kHour;
  for (int n = 1; n <= 4; ++n) s.Fire(n, "AppDown", v1::P1);  // no policy for it; 4 of 10 are ill
  s.Fire(1);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "withhold/fleet");
  s.Clear(2, "AppDown");
  EXPECT_EQ(s.Commands().size(), 1u) << "three of ten are not too many";
}

}  // namespace
}  // namespace quell::engine
