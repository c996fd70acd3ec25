// An incident's way from the first signal to resolved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Lifecycle, AHungAppIsRestartedVerifiedWatchedAndResolved) {
  Scenario s;
  s.Fire(1);
  ASSERT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().id(), "INC-20261123-031207");
  EXPECT_EQ(s.incident().number(), 1u);
  EXPECT_EQ(s.incident().severity(), v1::P1);
  EXPECT_EQ(s.incident().status(), v1::MITIGATING);
  EXPECT_THAT(s.Decisions(), ElementsAre("act/"));
  ASSERT_EQ(s.Commands().size(), 1u);
  EXPECT_EQ(s.Command().state(), v1::ISSUED);
  EXPECT_EQ(s.Command().target(), "pm2.restart deploy/portal");
  ASSERT_EQ(s.Command().typed().pm2_restart().expect_size(), 1);
  EXPECT_EQ(s.Command().typed().pm2_restart().expect(0).pid(), 4711);

  s.Pass(10 * kSecond);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
  EXPECT_EQ(s.Command().verification(), v1::HOLDING);
  EXPECT_EQ(s.incident().status(), v1::MITIGATING);
  s.Pass(30 * kSecond);
  EXPECT_EQ(s.Command().verification(), v1::VERIFIED);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_NE(s.incident().mitigated_us(), 0);
  s.Pass(31 * kMinute);
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_THAT(s.Copies(), ElementsAre("chat/declared", "chat/resolved"));
  EXPECT_TRUE(s.state().watches.empty());
}

TEST(Lifecycle, WhatClearsByItselfIsWatchedAndResolvedWithoutAPage) {
  Scenario s;
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(20 * kSecond);
  s.Clear(1, "AppDown");
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  s.Pass(kHour);
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_THAT(s.Commands(), IsEmpty());
}

TEST(Lifecycle, ARelapseWhileWatchedGoesBackToMitigatingAndIsNoNewIncident) {
  Scenario s;
  s.Fire(1);
  s.Pass(2 * kMinute);
  ASSERT_EQ(s.incident().status(), v1::MONITORING);
  s.Fire(1);
  EXPECT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().status(), v1::MITIGATING);
  EXPECT_EQ(s.incident().relapses(), 1u);
  s.Pass(10 * kMinute);
  EXPECT_EQ(s.Commands().size(), 2u) << "the cooldown over, a newer sample confirms, and it is tried again";
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  s.Pass(kHour);
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
}

TEST(Lifecycle, AResolvedOneThatComesBackIsANewIncident) {
  Scenario s;
  s.Fire(1);
  s.Pass(kHour);
  ASSERT_EQ(s.incident().status(), v1::RESOLVED);
  s.Fire(1);
  ASSERT_EQ(s.incidents(), 2u);
  EXPECT_EQ(s.incident(1).number(), 2u);
}

TEST(Lifecycle, SignalsOfOneServiceJoinWithinTheWindowAndNotAfterIt) {
  Scenario s(3);
  s.Fire(1, "AppDown");
  s.Fire(2, "AppDown");
  EXPECT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().signals_size(), 2);
  EXPECT_THAT(s.incident().hosts(), ElementsAre("web-1", "web-2"));
  s.Clear(1, "AppDown");
  s.Clear(2, "AppDown");
  s.Pass(11 * kMinute);
  s.Fire(3, "AppDown");
  EXPECT_EQ(s.incidents(), 2u);
}

TEST(Lifecycle, SecuritySignalsAreNeverJoinedAndGetNoRemedyAndNoCopies) {
  Scenario s;
  for (int n = 1; n <= 2; ++n) {
    v1::Signal signal = s.SignalOf(1, "AppHung", v1::P1);
    signal.set_key(signal.key() + std::to_string(n));
    v1::Label* category = signal.add_labels();
    category->set_name("category");
    category->set_value("security");
    s.Edge(signal, v1::FIRING);
  }
  EXPECT_EQ(s.incidents(), 2u);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_THAT(s.Copies(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "withhold/security");
}

TEST(Lifecycle, SeverityIsAtMostP2WithoutAService) {
  Scenario s;
  s.Fire(1, "DiskFull", v1::P1);
  EXPECT_EQ(s.incident().severity(), v1::P2);
  EXPECT_EQ(s.incident().group(), "host:web-1");
}

TEST(Lifecycle, TwoIncidentsOfOneSecondHaveDifferentIds) {
  Scenario s(2);
  s.Fire(1, "DiskFull", v1::P2);
  s.Fire(2, "DiskFull", v1::P2);
  EXPECT_EQ(s.incident(0).id(), "INC-20261123-031207");
  EXPECT_EQ(s.incident(1).id(), "INC-20261123-031207-2");
}

TEST(Lifecycle, AFlappingSignalIsEntriesOfOneIncident) {
  Scenario s;
  for (int i = 0; i < 20; ++i) {
    s.Fire(1, "AppDown", v1::P1);
    s.Pass(30 * kSecond);
    s.Clear(1, "AppDown");
    s.Pass(30 * kSecond);
  }
  EXPECT_EQ(s.incidents(), 1u);
  EXPECT_LE(s.Pages().size(), 1u);
}

TEST(Lifecycle, ALostHostIsAnIncidentAndHoldsItsSignals) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1, "AppDown", v1::P2);
  s.Host(1, v1::HostEdge::HOST_LOST);
  ASSERT_EQ(s.incidents(), 2u);
  EXPECT_EQ(s.incident(1).title(), "web-1 is lost: no heartbeat any more");
  EXPECT_EQ(s.incident(1).severity(), v1::P2);
  EXPECT_EQ(s.incident(0).firing(), 1u) << "held is not cleared";
  EXPECT_EQ(s.incident(0).status(), v1::INVESTIGATING);
  s.ConnectHost(1);
  EXPECT_EQ(s.incident(1).status(), v1::MONITORING);
  s.Clear(1, "AppDown");
  EXPECT_EQ(s.incident(0).status(), v1::MONITORING);
}

TEST(Lifecycle, SanctionsThatRefuseEverythingAreAnIncident) {
  Scenario s;
  s.ConnectHost(1, [](v1::Host& host) { host.set_sanctions_error("not root's"); });
  EXPECT_EQ(s.incidents(), 1u);
  s.ConnectHost(1);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
}

TEST(Lifecycle, AHigherEpochHoldsEverythingUntilAPersonEndsIt) {
  Scenario s;
  s.Host(1, v1::HostEdge::HOST_AHEAD);
  s.ConnectHost(1);
  s.Fire(1);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "withhold/hold");
  Answer answer =
      s.Person("alice", [](v1::PersonAct& act) { act.mutable_end_hold()->set_id("higher-epoch"); });
  EXPECT_EQ(answer.exit, 0u);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Lifecycle, ARuleThatIsGoneClearsItsSignals) {
  Scenario s;
  s.Fire(1, "AppDown", v1::P2);
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_alerts()->DeleteSubrange(1, 1);
  s.Load(config);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
}

TEST(Lifecycle, ResolvedIncidentsLeaveTheStateAfterADay) {
  Scenario s(2);
  s.Fire(1);
  s.Pass(2 * kHour);
  s.Pass(kDay);
  s.Fire(2);
  EXPECT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().number(), 2u) << "numbers count on";
  EXPECT_EQ(s.state().commands.size(), 1u);
}

TEST(People, DeclareAcknowledgeNoteAndResolve) {
  Scenario s;
  Answer declared = s.Person("alice", [](v1::PersonAct& act) {
    act.mutable_declare()->set_title("checkout fails");
    act.mutable_declare()->set_severity(v1::P1);
    act.mutable_declare()->set_service("portal");
  });
  EXPECT_EQ(declared.kind, "incident");
  EXPECT_EQ(declared.id, s.incident().id());
  EXPECT_EQ(s.incident().declared_by(), "person:alice");
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
  for (const char* name : {"#1", "1", "last", "INC-2026", ""}) {
    Answer noted = s.Person("bob", [&](v1::PersonAct& act) {
      act.mutable_note()->set_incident(name);
      act.mutable_note()->set_text("looking");
    });
    EXPECT_EQ(noted.exit, 0u) << name;
  }
  EXPECT_EQ(s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge()->set_incident("#9"); }).exit,
            3u);
  EXPECT_EQ(s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); }).exit, 0u);
  EXPECT_EQ(s.incident().acknowledged_by(), "person:bob");
  EXPECT_EQ(s.incident().acknowledge_by_us(), 0);
  EXPECT_EQ(s.Person("bob", [](v1::PersonAct& act) { act.mutable_resolve()->set_fix("restarted"); }).exit, 1u)
      << "a P1 needs its cause";
  Answer resolved = s.Person("bob", [](v1::PersonAct& act) {
    act.mutable_resolve()->set_cause("unknown");
    act.mutable_resolve()->set_fix("restarted");
  });
  EXPECT_EQ(resolved.exit, 0u);
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
  EXPECT_EQ(s.incident().resolution(), "restarted");
}

TEST(People, ASignalThatFiresOnAfterAPersonResolvedIsNotNews) {
  Scenario s;
  s.Fire(1, "AppDown", v1::P2);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_resolve()->set_cause("known"); });
  s.Host(1, v1::HostEdge::HOST_LOST);
  s.ConnectHost(1);
  s.Fire(1, "AppDown", v1::P2);
  EXPECT_EQ(s.incident(0).status(), v1::RESOLVED);
  EXPECT_EQ(s.incidents(), 2u) << "the lost host's alone was added";
  s.Clear(1, "AppDown");
  s.Fire(1, "AppDown", v1::P2);
  EXPECT_EQ(s.incidents(), 3u);
}

}  // namespace
}  // namespace quell::engine
