// Plans: one act over several hosts, of a person or for a storm behind a change.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "controller/incidents/find.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

Answer RunOn(Scenario& s, int from, int to, const std::string& incident = "", bool dry_run = false,
             const std::string& who = "alice") {
  return s.Person(who, [&](v1::PersonAct& act) {
    v1::RunAct* run = act.mutable_run();
    run->mutable_action()->mutable_pm2_restart()->set_user("deploy");
    run->mutable_action()->mutable_pm2_restart()->set_app("portal");
    run->set_incident(incident);
    run->set_dry_run(dry_run);
    for (int n = from; n <= to; ++n)
      run->add_hosts("00000000-0000-4000-8000-" + std::to_string(100000000000 + n));
  });
}

Answer Hold(Scenario& s, const std::string& scope) {
  return s.Person("carol", [&](v1::PersonAct& act) { act.mutable_hold()->set_scope(scope); });
}

size_t InFlight(const Scenario& s) {
  const auto all = s.Commands();
  return static_cast<size_t>(std::count_if(all.begin(), all.end(), incidents::InFlight));
}

class Waves : public testing::TestWithParam<int> {};

TEST_P(Waves, OneIsFirstThenATenthAtATimeAndEachHostOnce) {
  const int hosts = GetParam();
  Scenario s(hosts);
  for (int n = 1; n <= hosts; ++n) s.Fire(n, "AppDown", v1::P2);
  Answer answer = RunOn(s, 1, hosts, "#1");
  EXPECT_EQ(answer.exit, 0u);
  EXPECT_EQ(answer.kind, "plan");
  EXPECT_THAT(answer.message, StartsWith(std::to_string(hosts) + " targets: web-1, web-2"));
  const size_t wave = std::max<size_t>(1, static_cast<size_t>(hosts) / 10);
  for (int i = 0; i < 2000 && s.Plan().state() == v1::PLAN_RUNNING; ++i) {
    ASSERT_LE(InFlight(s), s.Command(0).verification() == v1::VERIFIED ? wave : 1);
    s.Pass(kSecond);
  }
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  const auto commands = s.Commands();
  ASSERT_EQ(commands.size(), static_cast<size_t>(hosts));
  for (size_t i = 0; i < commands.size(); ++i) {
    EXPECT_EQ(commands[i].host(), "web-" + std::to_string(i + 1));
    EXPECT_EQ(commands[i].verification(), v1::VERIFIED);
    EXPECT_EQ(commands[i].plan(), s.Plan().id());
    EXPECT_EQ(commands[i].number(), i + 2) << "after the plan's own";
    if (i == 0) continue;
    EXPECT_GE(commands[i].issued_us(), commands[0].finished_us() + 30 * kSecond);
  }
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_TRUE(s.Told("1.1 begins, one host first"));
  EXPECT_TRUE(s.Told("1.1 done"));
}
INSTANTIATE_TEST_SUITE_P(Hosts, Waves, testing::Values(2, 3, 5, 50),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(Plans, WithoutASignalTheActsOwnOutcomeCounts) {
  Scenario s(3);
  EXPECT_EQ(RunOn(s, 1, 3).exit, 0u);
  s.Pass(kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_EQ(s.Plan().number(), 1u);
  EXPECT_EQ(s.Command(2).state(), v1::SUCCEEDED);
  EXPECT_EQ(s.Command(2).number(), 4u);
}

TEST(Plans, ADryRunGoesThroughAllAndCountsForNothing) {
  Scenario s(3);
  EXPECT_EQ(RunOn(s, 1, 3, "", true).exit, 0u);
  s.Pass(kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_TRUE(s.state().counts.empty());
}

struct End {
  std::string name;
  v1::Outcome outcome;
  v1::RefusalKind refusal;
};
class StoppedBy : public testing::TestWithParam<End> {};

TEST_P(StoppedBy, TheFirstThatEndsBadlyLeavesTheOthersUntouched) {
  Scenario s(3);
  s.remedy_succeeds = false;
  for (int n = 1; n <= 3; ++n) s.Fire(n, "AppDown", v1::P2);
  RunOn(s, 1, 3, "#1");
  s.Pass(kSecond);
  s.Report(s.Command(), GetParam().outcome, GetParam().refusal, "as it was");
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_THAT(s.Plan().reason(), HasSubstr("as it was"));
  EXPECT_EQ(s.Plan().begun(), 1u);
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_TRUE(s.Told("1.1 stopped, 2 left untouched"));
}
INSTANTIATE_TEST_SUITE_P(Ends, StoppedBy,
                         testing::Values(End{"Failed", v1::OUTCOME_FAILED, v1::REFUSAL_UNSPECIFIED},
                                         End{"Unknown", v1::OUTCOME_UNKNOWN, v1::REFUSAL_UNSPECIFIED},
                                         End{"Refused", v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK},
                                         End{"Sanction", v1::OUTCOME_REFUSED, v1::REFUSAL_SANCTION}),
                         [](const auto& info) { return info.param.name; });

TEST(Plans, F26_OneThatDoesNotHelpStopsIt) {
  Scenario s(3);
  s.remedy_helps = false;
  for (int n = 1; n <= 3; ++n) s.Fire(n, "AppDown", v1::P2);
  RunOn(s, 1, 3, "#1");
  s.Pass(kHour);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_THAT(s.Plan().reason(), HasSubstr("web-1 did not help"));
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
}

// In the second wave of a plan over thirty hosts, three at a time.
void InMidWave(Scenario& s) {
  RunOn(s, 1, 30);
  s.Pass(kSecond + kMillisecond);
  ASSERT_EQ(s.Commands().size(), 4u);
  ASSERT_EQ(InFlight(s), 3u);
}

TEST(Plans, F32_AHoldInMidWaveLeavesTheRestUntouchedAlsoAfterARestartAndItsEnd) {
  for (const char* scope : {"all", "host:web-30"}) {
    Scenario s(30);
    InMidWave(s);
    Answer held = Hold(s, scope);
    EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
    EXPECT_THAT(s.Plan().reason(), StartsWith("hold"));
    for (size_t n = 1; n < 4; ++n) EXPECT_EQ(s.Command(n).state(), v1::CANCELLED);
    s.Restart();
    for (int n = 1; n <= 30; ++n) s.ConnectHost(n);
    s.Pass(kHour);
    s.Person("carol", [&](v1::PersonAct& act) { act.mutable_end_hold()->set_id(held.id); });
    s.Pass(kHour);
    EXPECT_EQ(s.Commands().size(), 4u) << scope;
  }
}

TEST(Plans, AHoldOfSomethingElseStopsNothing) {
  Scenario s(31);
  InMidWave(s);
  Hold(s, "host:web-31");
  s.Pass(kHour);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_EQ(s.Commands().size(), 30u);
}

TEST(Plans, F32_ADenialInMidWaveStopsIt) {
  Scenario s(30);
  InMidWave(s);
  EXPECT_EQ(s.Decide("alice", false, "C-1").exit, 0u) << "who began it may stop it";
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DENIED);
  s.Pass(kHour);
  EXPECT_EQ(s.Commands().size(), 4u);
  EXPECT_EQ(s.Decide("bob", false, "C-1").exit, 1u);
}

TEST(Plans, X11_WhatARevokedPersonBeganGoesNoFurther) {
  Scenario s(30);
  const auto role = [&](const std::string& name, const std::string& gets) {
    ASSERT_EQ(s.Person("root",
                       [&](v1::PersonAct& act) {
                         act.set_break_glass(true);
                         act.mutable_person_set()->set_name(name);
                         act.mutable_person_set()->set_role(gets);
                       })
                  .exit,
              0u);
  };
  role("alice", "admin");
  role("bob", "admin");
  InMidWave(s);
  role("bob", "viewer");
  EXPECT_EQ(s.Plan().state(), v1::PLAN_RUNNING) << "bob has nothing to do with it";
  ASSERT_EQ(s.Person("root",
                     [](v1::PersonAct& act) {
                       act.set_break_glass(true);
                       act.mutable_person_revoke()->set_name("alice");
                       act.mutable_person_revoke()->set_why("laptop stolen");
                     })
                .exit,
            0u);
  s.Pass(kHour);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_THAT(s.Plan().reason(), HasSubstr("person:alice, who asked for it, is revoked"));
  EXPECT_EQ(s.Commands().size(), 4u);
}

TEST(Plans, TakingTheIncidentStopsWhatAnotherHasRunning) {
  for (bool own : {false, true}) {
    Scenario s(3);
    for (int n = 1; n <= 3; ++n) s.Fire(n, "AppDown", v1::P2);
    RunOn(s, 1, 3, "#1");
    s.Pass(5 * kSecond);
    s.Person(own ? "alice" : "bob", [](v1::PersonAct& act) { act.mutable_take(); });
    s.Pass(kHour);
    EXPECT_EQ(s.Plan().state(), own ? v1::PLAN_DONE : v1::PLAN_STOPPED);
    EXPECT_EQ(s.Commands().size(), own ? 3u : 1u);
  }
}

TEST(Plans, AHostThatVanishesStopsIt) {
  Scenario s(3);
  RunOn(s, 1, 3);
  s.Host(2, v1::HostEdge::HOST_LOST);
  s.Pass(kHour);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_THAT(s.Plan().reason(), HasSubstr("web-2 is not connected"));
  ASSERT_EQ(s.Commands().size(), 1u);
  s.ConnectHost(2);
  s.ConnectHost(4);
  s.Pass(kHour);
  EXPECT_EQ(s.Commands().size(), 1u) << "and is not taken up again";
}

TEST(Plans, AStartOfOursWaitsForTheTargetsToBeBackAndNotForEver) {
  for (bool back : {true, false}) {
    Scenario s(3);
    RunOn(s, 1, 3);
    s.Pass(kMillisecond);
    s.Restart(back);
    s.ConnectHost(1);
    s.Report(s.Command(), v1::OUTCOME_SUCCEEDED);
    s.Pass(kMinute);
    EXPECT_EQ(s.Plan().state(), v1::PLAN_RUNNING);
    EXPECT_EQ(s.Commands().size(), 1u);
    if (back) s.ConnectHost(2), s.ConnectHost(3);
    s.Pass(2 * kMinute);
    EXPECT_EQ(s.Plan().state(), back ? v1::PLAN_DONE : v1::PLAN_STOPPED);
    EXPECT_EQ(s.Commands().size(), back ? 3u : 1u);
  }
}

TEST(Plans, NothingElseOfItsGroupIsBegunWhileOneRuns) {
  Scenario s(4);
  s.remedy_takes = kMinute;
  RunOn(s, 1, 3);
  EXPECT_EQ(RunOn(s, 4, 4).exit, 5u);
  EXPECT_EQ(RunOn(s, 2, 4).exit, 5u);
  s.Fire(4);
  EXPECT_EQ(s.LastDecision(), "wait/group");
  s.Pass(4 * kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_EQ(s.Command(3).host(), "web-4") << "and what waited goes on";
}

TEST(Plans, ThePolicysCommandUnderWayIsWaitedFor) {
  Scenario s(3);
  s.remedy_takes = 20 * kSecond;
  s.Fire(3);
  ASSERT_EQ(s.Commands().size(), 1u);
  RunOn(s, 1, 2);
  s.Pass(10 * kSecond);
  EXPECT_EQ(s.Commands().size(), 1u);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
}

// ---- a storm behind a change

v1::Config Storms(const std::function<void(v1::Policy&)>& change = {}) {
  v1::Config config = Scenario::DefaultConfig();
  *config.add_policies() = Scenario::ReleasePolicy();
  if (change) change(*config.mutable_policies(1));
  return config;
}

bool RollbackHelps(const v1::CommandEntry& command) { return command.action() == "release.rollback"; }

// Hosts up to `ill` get a bad release.
void BadRelease(Scenario& s, int ill) {
  s.helps = RollbackHelps;
  for (int n = 1; n <= ill; ++n) s.Changed(n, [&](v1::Change& c) { c.set_author("ci"); });
  for (int n = 1; n <= ill; ++n) s.Fire(n, "AppDown", v1::P2);
}

class N04_ABadReleaseOnAllHosts : public testing::TestWithParam<int> {};

TEST_P(N04_ABadReleaseOnAllHosts, GetsItsRollbackAsOnePlanThatAPersonApproves) {
  const int hosts = GetParam();
  Scenario s(hosts, Storms());
  BadRelease(s, hosts);
  s.Pass(3 * kMinute);
  const size_t restarts = s.Commands().size();
  EXPECT_EQ(restarts, 1u) << "one restart, on one host";
  ASSERT_EQ(s.Plans().size(), 1u);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_AWAITING_APPROVAL) << "whatever the policy's mode is";
  EXPECT_EQ(s.Plan().hosts_size(), hosts);
  EXPECT_EQ(s.Plan().step(), 1u);
  const std::string name = "1." + std::to_string(s.Plan().number());
  EXPECT_THAT(s.Pages(), Contains("oncall/approval-" + std::to_string(s.Plan().number())));
  EXPECT_TRUE(s.Told(name + " waits for approval: release.rollback deploy/shop on"));
  EXPECT_EQ(s.Decide("bob", true, name).exit, 0u);
  for (int i = 0; i < 4000 && s.Plan().state() == v1::PLAN_RUNNING; ++i) {
    ASSERT_LE(InFlight(s), s.Command(restarts).verification() == v1::VERIFIED
                               ? std::max<size_t>(1, static_cast<size_t>(hosts) / 10)
                               : 1);
    s.Pass(kSecond);
  }
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_EQ(s.Commands().size(), restarts + static_cast<size_t>(hosts));
  EXPECT_EQ(s.Command(restarts).approved_by(), "person:bob");
  EXPECT_EQ(s.Command(restarts).verify().expr(), "probe_success == 1");
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
}
INSTANTIATE_TEST_SUITE_P(Hosts, N04_ABadReleaseOnAllHosts, testing::Values(2, 3, 5, 50),
                         [](const auto& info) { return std::to_string(info.param); });

TEST(Storm, N04_OneHostAloneGetsACommandAndNoPlan) {
  Scenario s(1, Storms());
  BadRelease(s, 1);
  s.Pass(5 * kMinute);
  EXPECT_THAT(s.Plans(), IsEmpty());
  EXPECT_EQ(s.Commands().size(), 2u);
}

TEST(Storm, F25_TooManyIllAtOnceAreNotRestartedButProposedForRollbackWhenTheListStandsStill) {
  Scenario s(10, Storms());
  for (int n = 5; n <= 8; ++n) s.Fire(n, "AppOdd", v1::P2);  // no policy; 4 of 10 are ill
  BadRelease(s, 2);
  EXPECT_EQ(s.LastDecision(), "wait/storm");
  s.Pass(10 * kSecond);
  s.Changed(3);
  s.Fire(3, "AppDown", v1::P2);
  s.Pass(10 * kSecond);
  EXPECT_THAT(s.Plans(), IsEmpty()) << "the third came ten seconds ago";
  s.Pass(30 * kSecond);
  EXPECT_THAT(s.Commands(), IsEmpty());
  ASSERT_EQ(s.Plans().size(), 1u);
  EXPECT_EQ(s.Plan().hosts_size(), 3);
  EXPECT_THAT(s.Decisions(), Contains("ask/plan"));
}

TEST(Storm, WithoutAChangeBehindItNothingIsProposed) {
  Scenario s(10, Storms());
  s.remedy_takes = kHour;
  for (int n = 1; n <= 6; ++n) s.Fire(n, "AppDown", v1::P2);
  s.Pass(10 * kMinute);
  EXPECT_THAT(s.Plans(), IsEmpty());
  EXPECT_THAT(s.Pages(), Not(IsEmpty()));
}

TEST(Storm, AChangeThatIsToldLateIsStillAReason) {
  Scenario s(10, Storms());
  s.helps = RollbackHelps;
  for (int n = 5; n <= 8; ++n) s.Fire(n, "AppOdd", v1::P2);  // no policy; 4 of 10 are ill
  for (int n = 1; n <= 2; ++n) s.Fire(n, "AppDown", v1::P2);
  EXPECT_EQ(s.LastDecision(), "withhold/fleet");
  for (int n = 1; n <= 2; ++n) {
    v1::Payload payload;
    v1::AppEvent* event = payload.mutable_app_event();
    event->set_host_id("00000000-0000-4000-8000-" + std::to_string(100000000000 + n));
    event->set_host("web-" + std::to_string(n));
    event->set_kind("change.release");
    event->set_text("1.8.1 -> 1.8.2");
    event->set_at_us(s.now() - kMinute);
    s.Input(payload, "agent");
  }
  s.Pass(kMinute);
  ASSERT_EQ(s.Plans().size(), 1u);
  EXPECT_THAT(s.Plan().hosts(), ElementsAre("web-1", "web-2"));
}

TEST(Storm, OnlyHostsThatWereChangedAreInItsPlan) {
  Scenario s(4, Storms());
  s.helps = RollbackHelps;
  s.Changed(1);
  s.Changed(2);
  for (int n = 1; n <= 4; ++n) s.Fire(n, "AppDown", v1::P2);
  s.Pass(2 * kMinute);
  EXPECT_THAT(s.Plan().hosts(), ElementsAre("web-1", "web-2"));
}

TEST(Storm, AChangeToldFromOutsideIsSharedByAllOfItsService) {
  Scenario s(3, Storms());
  s.helps = RollbackHelps;
  s.Changed(0, [](v1::Change& c) { c.set_service("portal"); });
  for (int n = 1; n <= 3; ++n) s.Fire(n, "AppDown", v1::P2);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Plan().hosts_size(), 3);
}

TEST(Storm, AHostThatWontActIsNotInThePlanAndOneThatComesLaterNeither) {
  Scenario s(4, Storms());
  s.Host(3, v1::HostEdge::HOST_CAPABILITY);
  BadRelease(s, 2);
  s.Pass(2 * kMinute);
  ASSERT_EQ(s.Plan().hosts_size(), 2);
  s.Changed(4);
  s.Fire(4, "AppDown", v1::P2);
  EXPECT_EQ(s.LastDecision(), "wait/group");
  EXPECT_EQ(s.Decide("bob", true, "1." + std::to_string(s.Plan().number())).exit, 0u);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_DONE);
  EXPECT_EQ(s.Plan().commands_size(), 2);
}

TEST(Storm, APlanIsNotApprovedUnderAHoldByItsRequesterOrTwice) {
  Scenario s(2, Storms());
  BadRelease(s, 2);
  s.Pass(2 * kMinute);
  const std::string name = "1." + std::to_string(s.Plan().number());
  Answer held = Hold(s, "all");
  EXPECT_EQ(s.Decide("bob", true, name).exit, 5u);
  s.Person("carol", [&](v1::PersonAct& act) { act.mutable_end_hold()->set_id(held.id); });
  s.Host(2, v1::HostEdge::HOST_LOST);
  EXPECT_EQ(s.Decide("bob", true, name).exit, 5u);
  s.ConnectHost(2);
  EXPECT_EQ(s.Decide("bob", true, name).exit, 0u);
  EXPECT_EQ(s.Decide("bob", true, name).exit, 1u);
}

TEST(Storm, APlanThatNobodyApprovesIsProposedAgainAndNotForEver) {
  Scenario s(3, Storms());
  BadRelease(s, 3);
  s.Pass(14 * kMinute);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_EXPIRED);
  EXPECT_THAT(s.Pages(), Contains(StartsWith("oncall/escalated")));
  s.Pass(kDay);
  EXPECT_EQ(s.Plans().size(), 3u);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_TRUE(s.incident().given_up());
}

TEST(Storm, ADeniedPlanIsNotProposedAgain) {
  Scenario s(3, Storms());
  BadRelease(s, 3);
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Decide("bob", false, "1." + std::to_string(s.Plan().number())).exit, 0u);
  s.Pass(kDay);
  EXPECT_EQ(s.Plans().size(), 1u);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Storm, AProposalIsWithdrawnWhenAllOfItsSignalsCleared) {
  Scenario s(3, Storms());
  BadRelease(s, 3);
  s.Pass(2 * kMinute);
  s.Clear(1, "AppDown");
  s.Clear(2, "AppDown");
  EXPECT_EQ(s.Plan().state(), v1::PLAN_AWAITING_APPROVAL);
  s.Clear(3, "AppDown");
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_FALSE(s.incident().given_up());
}

TEST(Storm, TheFirstRollbackThatDoesNotHelpEndsItAndPages) {
  Scenario s(3, Storms());
  BadRelease(s, 3);
  s.helps = [](const v1::CommandEntry&) { return false; };
  s.Pass(2 * kMinute);
  s.Decide("bob", true, "1." + std::to_string(s.Plan().number()));
  s.Pass(kDay);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_STOPPED);
  EXPECT_EQ(s.Plan().begun(), 1u);
  EXPECT_EQ(s.Plans().size(), 1u);
  EXPECT_EQ(s.Commands().size(), 2u);
  EXPECT_TRUE(s.incident().given_up());
}

TEST(Storm, SurvivesARestartOfOursWhileItWaitsAndWhileItRuns) {
  Scenario s(3, Storms());
  BadRelease(s, 3);
  s.Pass(2 * kMinute);
  const auto back = [&](bool snapshot) {
    s.Restart(snapshot);
    for (int n = 1; n <= 3; ++n) s.ConnectHost(n);
    for (const auto& [key, signal] : std::map(s.state().signals)) {
      if (signal.state() == v1::HELD) s.Edge(signal, v1::FIRING);
    }
  };
  back(true);
  EXPECT_EQ(s.Plan().state(), v1::PLAN_AWAITING_APPROVAL);
  s.Decide("bob", true, "1." + std::to_string(s.Plan().number()));
  s.Pass(20 * kSecond);
  back(false);
  s.Pass(20 * kMinute);
  EXPECT_EQ(s.Plans().size(), 1u);
  std::set<std::string> hosts;
  for (const v1::CommandEntry& command : s.Commands()) {
    if (command.action() != "release.rollback") continue;
    EXPECT_TRUE(hosts.insert(command.host()).second);
  }
}

}  // namespace
}  // namespace quell::engine
