// Changes: what agents, people and CI tell of them, what a running one keeps from happening, and how
// incidents show those around their start.
#include "controller/changes/changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

using LabelList = std::vector<std::pair<std::string, std::string>>;

class ChangesTest : public testing::Test {
 protected:
  explicit ChangesTest(int hosts = 2) : s(hosts) {}

  // An event of host `n`, `ago` before now.
  void Event(int n, const std::string& kind, const LabelList& labels, const std::string& text,
             Micros ago = 0) {
    v1::Payload payload;
    v1::AppEvent* event = payload.mutable_app_event();
    auto host = std::next(s.state().hosts.begin(), n - 1);
    event->set_host_id(host->first);
    event->set_host(host->second.name());
    event->set_seq(++seq_);
    event->set_kind(kind);
    event->set_text(text);
    event->set_at_us(s.now() - ago);
    for (const auto& [name, value] : labels) {
      v1::Label* label = event->add_labels();
      label->set_name(name);
      label->set_value(value);
    }
    s.Input(payload, "agent:" + host->first);
  }
  void Release(int n, Micros ago, const std::string& app = "portal") {
    Event(n, "change.release",
          {{"app", app}, {"author", "deploy"}, {"from", "1.8.1"}, {"to", "1.8.2"}, {"user", "deploy"}},
          app + " 1.8.1 -> 1.8.2", ago);
  }
  Answer Start(const std::string& service, Micros length = 0, const std::string& via = "socket",
               const std::string& who = "alice", const std::string& summary = "1.8.2") {
    return s.Person(who, [&](v1::PersonAct& act) {
      act.set_via(via);
      act.mutable_change_start()->set_service(service);
      act.mutable_change_start()->set_summary(summary);
      if (length != 0) act.mutable_change_start()->set_until_us(s.now() + length);
    });
  }
  Answer Finish(const std::string& service, bool failed = false, const std::string& id = "",
                const std::string& via = "socket", const std::string& who = "alice") {
    return s.Person(who, [&](v1::PersonAct& act) {
      act.set_via(via);
      act.mutable_change_finish()->set_service(service);
      act.mutable_change_finish()->set_change(id);
      act.mutable_change_finish()->set_failed(failed);
    });
  }
  const v1::Change& Only() {
    EXPECT_EQ(s.state().changes.size(), 1u);
    return s.state().changes.begin()->second;
  }

  Scenario s;
  uint64_t seq_ = 0;
};

TEST_F(ChangesTest, AnAgentsEventBecomesAChange) {
  Release(1, 3 * kSecond);
  const v1::Change& change = Only();
  EXPECT_EQ(change.kind(), "release");
  EXPECT_EQ(change.host(), "web-1");
  EXPECT_EQ(change.service(), "portal");
  EXPECT_EQ(change.author(), "deploy");
  EXPECT_EQ(change.by(), "agent");
  EXPECT_EQ(change.at_us(), s.now() - 3 * kSecond);
  EXPECT_EQ(change.until_us(), 0);
  EXPECT_EQ(changes::LabelOf(change, "user"), "deploy");
  EXPECT_EQ(changes::LabelOf(change, "app"), "portal");
  EXPECT_EQ(changes::Describe(change), "change.release web-1 portal 1.8.1 -> 1.8.2");
  Event(1, "pm2.exit", {{"app", "portal"}}, "exit");
  EXPECT_EQ(s.state().changes.size(), 1u) << "other events are no changes";
  EXPECT_EQ(RowsFor({s.log().end() - 2, s.log().end()}, s.state()).size(), 2u) << "in both lists";
}

TEST_F(ChangesTest, Never11AHealthyDayWithDeploymentsIsSilent) {
  for (int hour = 0; hour < 24; ++hour) {
    Start("portal");
    for (int n : {1, 2}) {
      Release(n, kSecond);
      Event(n, "change.config", {{"path", "/opt/portal/.env"}}, "/opt/portal/.env changed");
      Event(n, "change.package", {{"upgraded", "12"}}, "12 upgraded: openssl");
    }
    Finish("portal", hour % 2 == 0);
    s.Pass(kHour);
  }
  EXPECT_EQ(s.incidents(), 0u);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_THAT(s.Copies(), IsEmpty());
}

TEST_F(ChangesTest, ARunningChangeKeepsAutomationAwayUntilItIsFinished) {
  Answer started = Start("portal", 15 * kMinute);
  EXPECT_EQ(started.exit, 0u);
  EXPECT_EQ(started.kind, "change");
  EXPECT_THAT(started.message, HasSubstr("is under way"));
  EXPECT_THAT(started.message, Not(HasSubstr("no host, rule or signal")));
  s.Fire(1);
  EXPECT_THAT(s.Commands(), IsEmpty());
  EXPECT_EQ(s.LastDecision(), "wait/change");
  EXPECT_EQ(s.incidents(), 1u) << "it is noticed all the same";
  s.Pass(kMinute);
  EXPECT_EQ(Finish("portal").exit, 0u);
  s.Pass(kSecond);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST_F(ChangesTest, ARunningChangeKeepsNobodyFromBeingPaged) {
  Start("portal", kHour);
  s.Fire(1);
  s.Pass(2 * kMinute);
  EXPECT_THAT(s.Pages(), Contains(StartsWith("oncall/")));
  EXPECT_THAT(s.Commands(), IsEmpty());
}

TEST_F(ChangesTest, ARunningChangeEndsByItself) {
  Start("portal");
  s.Fire(1);
  s.Pass(14 * kMinute);
  EXPECT_THAT(s.Commands(), IsEmpty());
  s.Pass(2 * kMinute);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_FALSE(changes::IsRunning(Only(), s.now()));
  EXPECT_EQ(Finish("portal").exit, 3u);
}

TEST_F(ChangesTest, ARunningChangeIsRememberedOverARestart) {
  Start("portal", kHour);
  s.Restart(true);
  for (int n : {1, 2}) s.ConnectHost(n);
  s.Fire(1);
  EXPECT_EQ(s.LastDecision(), "wait/change");
}

TEST_F(ChangesTest, AChangeOfAnotherServiceKeepsNothingAway) {
  Answer started = Start("websocket", kHour);
  EXPECT_THAT(started.message, HasSubstr("no host, rule or signal has named that service"));
  s.Fire(1);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST_F(ChangesTest, TheLabelServiceAndTheAppWithItsUserAreNamesOfTheService) {
  for (const char* name : {"client-portal", "portal", "deploy/portal"}) {
    Scenario other(1);
    other.Person("alice", [&](v1::PersonAct& act) {
      act.mutable_change_start()->set_service(name);
      act.mutable_change_start()->set_summary("x");
    });
    v1::Signal signal = other.SignalOf(1, "AppHung", v1::P1);
    v1::Label* label = signal.add_labels();
    label->set_name("service");
    label->set_value("client-portal");
    other.Edge(signal, v1::FIRING);
    EXPECT_EQ(other.LastDecision(), "wait/change") << name;
  }
}

TEST_F(ChangesTest, WhatAPersonAsksForIsNotKeptAway) {
  Start("portal", kHour);
  const Answer ran = s.Person("alice", [&](v1::PersonAct& act) {
    act.mutable_run()->mutable_action()->mutable_pm2_restart()->set_user("deploy");
    act.mutable_run()->mutable_action()->mutable_pm2_restart()->set_app("portal");
    act.mutable_run()->add_hosts(s.state().hosts.begin()->first);
  });
  EXPECT_EQ(ran.exit, 0u) << ran.message;
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST_F(ChangesTest, StartingIsCheckedAndBounded) {
  EXPECT_EQ(Start("").exit, 1u);
  EXPECT_EQ(Start("portal", 0, "socket", "alice", "").exit, 1u);
  EXPECT_EQ(Start(std::string(200, 'x')).exit, 1u);
  EXPECT_EQ(Start("portal", -kMinute).exit, 1u);
  EXPECT_EQ(Start("portal", 5 * kHour).exit, 1u);
  EXPECT_THAT(s.state().changes, IsEmpty());
  for (size_t i = 0; i < changes::kMostRunning; ++i) EXPECT_EQ(Start("s" + std::to_string(i)).exit, 0u);
  EXPECT_EQ(Start("portal").exit, 1u);
}

TEST_F(ChangesTest, FinishingNamesTheRightOne) {
  EXPECT_EQ(Finish("").exit, 3u);
  const Answer first = Start("portal");
  s.Pass(kSecond);
  const Answer second = Start("portal");
  EXPECT_EQ(Finish("").exit, 1u) << "several are under way";
  const Answer newest = Finish("portal", true);
  EXPECT_EQ(newest.id, second.id);
  EXPECT_THAT(newest.message, HasSubstr(first.id + " is still under way"));
  EXPECT_TRUE(s.state().changes.at(second.id).failed());
  EXPECT_EQ(Finish("", false, second.id).exit, 1u) << "it has ended";
  EXPECT_EQ(Finish("", false, "CH-1").exit, 3u);
  EXPECT_EQ(Finish("", false, first.id).exit, 0u);
}

TEST_F(ChangesTest, ASourceEndsOnlyWhatItBeganAndDoesNothingElse) {
  const Answer ours = Start("portal", 0, "source", "ci");
  EXPECT_EQ(Only().by(), "ci:ci");
  const Answer theirs = Start("portal", 0, "socket", "alice");
  EXPECT_EQ(Finish("", false, theirs.id, "source", "ci").exit, 4u);
  EXPECT_EQ(Finish("", false, ours.id, "source", "other").exit, 4u);
  EXPECT_EQ(Finish("portal", false, "", "source", "ci").id, ours.id);
  EXPECT_EQ(Finish("portal", false, "", "source", "ci").exit, 3u);
  const Answer hold = s.Person("ci", [](v1::PersonAct& act) {
    act.set_via("source");
    act.mutable_hold()->set_scope("all");
  });
  EXPECT_EQ(hold.exit, 4u);
  EXPECT_TRUE(s.state().holds.empty());
}

TEST_F(ChangesTest, AnIncidentShowsTheChangesAroundItsStart) {
  Release(1, 3 * kHour);
  Event(1, "change.package", {{"upgraded", "2"}}, "2 upgraded: a, b", kHour);
  Release(2, 40 * kMinute);
  Event(2, "change.config", {{"path", "/x"}}, "/x changed", kMinute);
  Release(1, 4 * kMinute);
  s.Fire(1);
  const v1::Incident& incident = s.incident();
  EXPECT_EQ(incident.changes_size(), 3) << "not the one of three hours ago, not another host's file";
  EXPECT_TRUE(s.Told("change.release web-1 portal 1.8.1 -> 1.8.2 by deploy, 3m50s before the start"));
  EXPECT_EQ(incident.probable_cause(), "change.release web-1 portal 1.8.1 -> 1.8.2, 3m50s before");
}

TEST_F(ChangesTest, AChangeThatIsToldLaterOrFollowsIsAddedWhileTheIncidentIsOpen) {
  s.Fire(1);
  EXPECT_EQ(s.incident().changes_size(), 0);
  EXPECT_EQ(s.incident().probable_cause(), "");
  Event(1, "change.config", {{"app", "portal"}, {"path", "/x"}}, "/x changed", 20 * kMinute);
  EXPECT_THAT(s.incident().probable_cause(), StartsWith("change.config"));
  Release(1, kMinute);
  EXPECT_THAT(s.incident().probable_cause(), StartsWith("change.release")) << "likelier than the file";
  const std::string named = s.incident().probable_cause();
  Release(1, 0);
  EXPECT_EQ(s.incident().probable_cause(), named) << "what came after the start caused nothing";
  EXPECT_EQ(s.incident().changes_size(), 3);
  EXPECT_TRUE(s.Told("after the start"));
  const Answer started = Start("portal");
  Finish("", true, started.id);
  EXPECT_EQ(s.incident().changes_size(), 4);
  EXPECT_TRUE(s.Told("change.deploy portal 1.8.2 (" + started.id + ") failed"));
}

TEST_F(ChangesTest, ADeploymentThatWasToldFromOutsideIsACauseByItsService) {
  Start("portal");
  s.Pass(2 * kMinute);
  s.Fire(2);
  EXPECT_THAT(s.incident().probable_cause(), StartsWith("change.deploy portal 1.8.2"));
}

TEST_F(ChangesTest, ASignalThatJoinsBringsTheChangesOfItsHost) {
  Event(2, "change.package", {{"upgraded", "2"}}, "2 upgraded: a, b", 5 * kMinute);
  s.Fire(1);
  EXPECT_EQ(s.incident().changes_size(), 0);
  s.Fire(2);
  ASSERT_EQ(s.incidents(), 1u);
  EXPECT_EQ(s.incident().changes_size(), 1);
  EXPECT_THAT(s.incident().probable_cause(), StartsWith("change.package web-2 2 upgraded"));
}

TEST_F(ChangesTest, AChangeOfAnotherHostAndMatterIsNoCause) {
  Release(1, kMinute);
  s.Fire(2, "DiskFull", v1::P2);
  EXPECT_EQ(s.incident().changes_size(), 0) << "another host, another matter";
  EXPECT_EQ(s.incident().probable_cause(), "");
}

TEST_F(ChangesTest, X07_AnAgentsFloodOfChangesDisplacesNothing) {
  const Answer started = Start("portal", kHour);
  Event(2, "change.config", {}, "kept", kHour - kMinute);
  for (int i = 0; i < 2000; ++i) Event(1, "change.config", {}, "flood");
  EXPECT_EQ(s.state().changes.size(), changes::kMostPerHost + 2);
  EXPECT_TRUE(s.state().changes.contains(started.id));
  s.Fire(1);
  EXPECT_EQ(s.LastDecision(), "wait/change");
  EXPECT_LE(s.incident().changes_size(), 50);
  EXPECT_LE(s.incident().timeline_size(), 30);
}

TEST_F(ChangesTest, ARunningChangeOutlivesAThousandThatAreOver) {
  const Answer started = Start("portal", 4 * kHour);
  for (int hour = 0; hour < 3; ++hour) {
    for (int i = 0; i < 400; ++i) {
      const Answer other = Start("other");
      Finish("", false, other.id);
    }
    s.Pass(kHour);
  }
  EXPECT_EQ(s.state().changes.size(), 1000u);
  EXPECT_TRUE(s.state().changes.contains(started.id));
}

TEST_F(ChangesTest, X06_WhatATextHoldsIsData) {
  const std::string hostile = "$(reboot)\n\xe2\x80\xae<!channel>\xff{{ .x }}";
  Event(1, "change.release", {{"app", hostile}, {"author", hostile}, {"user", "deploy"}}, hostile, kMinute);
  Start(hostile, 0, "socket", "alice", hostile);
  s.Fire(1);
  EXPECT_THAT(s.incident().probable_cause(), HasSubstr("$(reboot)\n"));
  s.Restart(true);  // what was written is read again
}

}  // namespace
}  // namespace quell::engine
