// The ledger of commands, approvals, and what people run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "controller/commands/ledger.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::IsEmpty;

v1::Config Asking() {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_policies(0)->set_mode(v1::ASK);
  return config;
}

Answer Decide(Scenario& s, const std::string& who, bool approve) { return s.Decide(who, approve, "1.1"); }

void Hold(Scenario& s, const std::string& scope) {
  EXPECT_EQ(s.Person("carol", [&](v1::PersonAct& act) { act.mutable_hold()->set_scope(scope); }).exit, 0u);
}

Answer RunOn(Scenario& s, std::vector<int> hosts, const std::string& incident = "",
             const std::string& app = "portal", bool dry_run = false) {
  return s.Person("alice", [&](v1::PersonAct& act) {
    v1::RunAct* run = act.mutable_run();
    run->mutable_action()->mutable_pm2_restart()->set_user("deploy");
    run->mutable_action()->mutable_pm2_restart()->set_app(app);
    run->set_incident(incident);
    run->set_dry_run(dry_run);
    for (int host : hosts) run->add_hosts("00000000-0000-4000-8000-" + std::to_string(100000000000 + host));
  });
}

void NotHandedOver(Scenario& s) {
  v1::Payload payload;
  payload.mutable_command_delivered()->set_command(s.Command().id());
  payload.mutable_command_delivered()->set_why("no nonce yet");
  s.Input(payload);
}

TEST(Ledger, NotDeliveredInTimeItExpiresAndIsNotSentLater) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  for (int i = 0; i < 20; ++i) {
    NotHandedOver(s);
    s.Pass(2 * kSecond);
  }
  EXPECT_EQ(s.Command().state(), v1::EXPIRED);
  const int starts = s.starts[s.Command().id()];
  s.ConnectHost(1);
  s.Pass(kMinute);
  EXPECT_EQ(s.starts[s.Command().id()], starts);
}

TEST(Ledger, OneThatMayHaveReachedTheHostIsUnknownAndNeverTakenForUndone) {
  Scenario s;
  s.deliver = false;  // nobody says whether it was handed over, as when the process is killed there
  s.Fire(1);
  s.Restart();
  s.Pass(kHour);
  EXPECT_EQ(s.Command().state(), v1::COMMAND_UNKNOWN);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
}

// The next process finds no stream of the host yet, and says so: that is no word about the one before it.
TEST(Ledger, OneThatAKilledProcessMayHaveHandedOverIsUnknownThoughTheNextOneCouldNot) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  s.Restart();
  for (int i = 0; i < 20; ++i) {
    NotHandedOver(s);
    s.Pass(2 * kSecond);
  }
  s.Pass(kHour);
  EXPECT_EQ(s.Command().state(), v1::COMMAND_UNKNOWN);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
}

TEST(Ledger, OneThatTheRimCouldNotHandOverStaysSoOverAStart) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  NotHandedOver(s);
  s.Restart();
  for (int i = 0; i < 20; ++i) {
    NotHandedOver(s);
    s.Pass(2 * kSecond);
  }
  EXPECT_EQ(s.Command().state(), v1::EXPIRED);
}

TEST(Ledger, OneThatAnEarlierStreamTookIsUnknownWhenNoLaterOneDoes) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  EXPECT_EQ(s.Command().state(), v1::DELIVERED);
  s.deliver = false;
  s.ConnectHost(1);
  for (int i = 0; i < 20; ++i) {
    NotHandedOver(s);
    s.Pass(2 * kSecond);
  }
  EXPECT_EQ(s.Command().state(), v1::COMMAND_UNKNOWN);
}

TEST(Ledger, EvidenceThatCouldNotBeHadIsInTheTimelineWithItsReason) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  v1::Payload payload;
  v1::CommandReported* reported = payload.mutable_command_reported();
  reported->set_host_id(s.Command().host_id());
  reported->mutable_report()->set_id(*HexDecode(s.Command().id()));
  reported->mutable_report()->set_outcome(v1::OUTCOME_FAILED);
  reported->add_evidence_missing("proc.stack: not permitted");
  reported->add_evidence_missing("log: no such file");
  s.Input(payload);
  EXPECT_TRUE(s.Told("evidence of 1.1 that could not be had: proc.stack: not permitted; log: no such file"));
}

TEST(Ledger, WhatNoHostHasYetIsCancelledWhenItsSignalClears) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  NotHandedOver(s);
  s.Clear(1);
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  s.deliver = true;
  s.Pass(kHour);
  EXPECT_EQ(s.starts[s.Command().id()], 1);
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Ledger, WithoutASessionItIsTriedAgainWhileItIsFresh) {
  Scenario s;
  s.deliver = false;
  s.Fire(1);
  NotHandedOver(s);
  s.deliver = true;
  s.Pass(5 * kSecond);
  EXPECT_EQ(s.starts[s.Command().id()], 2);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
}

TEST(Ledger, AStaleNonceIsAnsweredByTheSameIdAtMostThreeTimes) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  for (int i = 0; i < 5; ++i) {
    s.Pass(3 * kSecond);
    s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_STALE_NONCE, "of another boot");
  }
  EXPECT_EQ(s.starts[s.Command().id()], 3);
  EXPECT_EQ(s.Command().state(), v1::EXPIRED);
}

TEST(Ledger, AnUnknownOutcomePagesAndIsNeverRepeated) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_UNKNOWN, v1::REFUSAL_UNSPECIFIED, "the worker vanished");
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_EQ(s.starts[s.Command().id()], 1);
}

TEST(Ledger, SilenceAfterDeliveryIsUnknownAndALateTruthStillCounts) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(3 * kMinute);
  EXPECT_EQ(s.Command().state(), v1::COMMAND_UNKNOWN);
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
  s.Report(s.Command(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
  EXPECT_EQ(s.Command().verification(), v1::VERIFYING);
}

// The stream had dropped when it was cancelled, and the host is still at its evidence when it is back.
TEST(Ledger, ACancellationIsToldAgainToAHostThatComesBackAndNotForEver) {
  Scenario s(2);
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  ASSERT_EQ(s.Command().state(), v1::DELIVERED);
  const std::string id = s.Command().id();
  Hold(s, "all");
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  EXPECT_EQ(s.cancels[id], 1);
  s.ConnectHost(2);
  EXPECT_EQ(s.cancels[id], 1) << "it is another host's";
  s.ConnectHost(1);
  EXPECT_EQ(s.cancels[id], 2);
  s.Host(1, v1::HostEdge::HOST_CAPABILITY);
  EXPECT_EQ(s.cancels[id], 3) << "its agent lost the executor for a moment";
  s.Restart();
  s.ConnectHost(1);
  EXPECT_EQ(s.cancels[id], 4);
  EXPECT_EQ(s.starts[id], 1);
  s.Pass(2 * kMinute);
  s.ConnectHost(1);
  EXPECT_EQ(s.cancels[id], 4) << "no host takes it any more";
}

TEST(Ledger, WhatWasNeverIssuedIsNotCalledBack) {
  Scenario s(1, Asking());
  s.Fire(1);
  s.Clear(1);
  ASSERT_EQ(s.Command().state(), v1::CANCELLED);
  s.ConnectHost(1);
  EXPECT_THAT(s.cancels, IsEmpty());
}

// The host refused it after it was in its journal, and says so again when the same id comes once more.
TEST(Ledger, ARefusalThatIsRepeatedFromTheJournalIsARefusal) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_STALE_NONCE, "the command has expired");
  s.Pass(3 * kSecond);
  ASSERT_EQ(s.Command().state(), v1::DELIVERED);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_DUPLICATE, "the command has expired");
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
  EXPECT_EQ(s.Command().reason(), "the command has expired");
  s.Pass(5 * kMinute);
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
}

// The worker looks once more, right before it acts.
TEST(Ledger, ARefusalAfterTheStartIsNoUnknownAndAnOlderOneCountsForNothing) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  v1::Payload before;
  before.mutable_command_reported()->set_host_id(s.Command().host_id());
  before.mutable_command_reported()->set_at_us(s.now());
  v1::CommandReport* report = before.mutable_command_reported()->mutable_report();
  report->set_id(*HexDecode(s.Command().id()));
  report->set_outcome(v1::OUTCOME_REFUSED);
  report->set_refusal(v1::REFUSAL_CHECK);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_STARTED);
  s.Input(before, "agent");
  EXPECT_EQ(s.Command().state(), v1::RUNNING);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, "it was started again since");
  EXPECT_EQ(s.Command().state(), v1::REFUSED);
}

TEST(Ledger, AHealedTargetIsRefusedByTheHostAndNobodyIsWoken) {
  Scenario s(1, [] {
    v1::Config config = Scenario::DefaultConfig();
    config.mutable_policies(0)->set_page(v1::PAGE_ON_FAILURE);
    return config;
  }());
  s.remedy_succeeds = false;
  s.Fire(1, "AppHung", v1::P2);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_CHECK, "PM2 has healed it");
  EXPECT_EQ(s.LastDecision(), "withhold/earlier");
  s.Pass(10 * kSecond);
  s.Clear(1);
  s.Pass(kHour);
  EXPECT_THAT(s.Pages(), IsEmpty());
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
}

TEST(Ledger, SessionsOfAReportStayWithTheCommandAlsoWhenItIsRefused) {
  for (const v1::Outcome outcome : {v1::OUTCOME_SUCCEEDED, v1::OUTCOME_REFUSED}) {
    v1::CommandReported input;
    input.set_host_id("h");
    input.mutable_report()->set_id(std::string(16, 'i'));
    input.mutable_report()->set_outcome(outcome);
    input.mutable_report()->set_refusal(outcome == v1::OUTCOME_REFUSED ? v1::REFUSAL_SANCTION
                                                                       : v1::REFUSAL_UNSPECIFIED);
    input.mutable_report()->add_sessions()->set_pid(4711);
    engine::State state;
    v1::CommandEntry& command = state.commands[HexEncode(input.report().id())];
    command.set_id(HexEncode(input.report().id()));
    command.set_host_id("h");
    command.set_state(v1::DELIVERED);
    bool named = false;
    for (const v1::Payload& payload : commands::OnReported(state, input, kSecond).records) {
      const auto& sessions = payload.command_changed().set().sessions();
      named = named || (sessions.size() == 1 && sessions[0].pid() == 4711);
    }
    EXPECT_TRUE(named) << v1::Outcome_Name(outcome);
  }
}

TEST(Ledger, ASanctionThatRefusesEndsAutomationAndPages) {
  Scenario s;
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  s.Report(s.Command(), v1::OUTCOME_REFUSED, v1::REFUSAL_SANCTION, "asks for approval");
  EXPECT_TRUE(s.incident().given_up());
  EXPECT_THAT(s.Pages(), Contains("oncall/given_up"));
}

TEST(Ledger, AHostSpeaksOfItsOwnCommandsAlone) {
  Scenario s(2);
  s.remedy_succeeds = false;
  s.Fire(1);
  s.Pass(kSecond);
  v1::CommandEntry command = s.Command();
  command.set_host_id("00000000-0000-4000-8000-100000000002");
  const size_t records = s.log().size();
  s.Report(command, v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(s.Command().state(), v1::DELIVERED);
  EXPECT_EQ(s.log().size(), records);
}

// A clock at the host that is off dates the report: far back, or ahead.
TEST(Ledger, F19_AReportIsNotDatedBeforeItsCommandNorAfterNow) {
  for (const Micros off : {-kDay, -kHour, kHour}) {
    Scenario s;
    s.remedy_succeeds = false;
    s.Fire(1);
    s.Pass(kSecond);
    const v1::CommandEntry command = s.Command();
    v1::Payload payload;
    v1::CommandReported* reported = payload.mutable_command_reported();
    reported->set_host_id(command.host_id());
    reported->set_at_us(command.issued_us() + off);
    reported->mutable_report()->set_id(*HexDecode(command.id()));
    reported->mutable_report()->set_outcome(v1::OUTCOME_STARTED);
    s.Input(payload, "agent:" + command.host_id());
    s.Pass(10 * kSecond);
    EXPECT_EQ(s.Command().state(), v1::RUNNING) << off << s.Command().reason();
    EXPECT_GE(s.Command().started_us(), command.issued_us());
    s.Report(command, v1::OUTCOME_SUCCEEDED);
    EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
  }
}

TEST(Ledger, ARepeatedReportLeavesNoRecord) {
  Scenario s;
  s.Fire(1);
  s.Pass(5 * kSecond);
  const size_t records = s.log().size();
  s.Report(s.Command(), v1::OUTCOME_SUCCEEDED);
  s.Report(s.Command(), v1::OUTCOME_STARTED);
  EXPECT_EQ(s.log().size(), records);
}

TEST(Approvals, AnAskedCommandWaitsIsPagedAndRunsWhenApproved) {
  Scenario s(1, Asking());
  s.Fire(1);
  EXPECT_EQ(s.Command().state(), v1::AWAITING_APPROVAL);
  EXPECT_THAT(s.Pages(), Contains("oncall/approval-1"));
  s.Pass(kMinute);
  EXPECT_THAT(s.starts, IsEmpty());
  EXPECT_EQ(Decide(s, "bob", true).exit, 0u);
  EXPECT_EQ(s.Command().approved_by(), "person:bob");
  EXPECT_EQ(s.incident().acknowledged_by(), "person:bob");
  s.Pass(kMinute);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_EQ(Decide(s, "bob", true).exit, 1u);
}

TEST(Approvals, OneThatNobodyDecidesExpiresAndPagesTheNext) {
  Scenario s(1, Asking());
  s.Fire(1);
  s.Pass(4 * kMinute);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); });
  s.Pass(7 * kMinute);
  EXPECT_EQ(s.Command().state(), v1::EXPIRED);
  EXPECT_THAT(s.Pages(), Contains(testing::StartsWith("management/escalated")));
  EXPECT_EQ(s.Commands().size(), 1u);
}

TEST(Approvals, ADeniedCommandIsNotProposedAgain) {
  Scenario s(1, Asking());
  s.Fire(1);
  EXPECT_EQ(Decide(s, "bob", false).exit, 0u);
  s.Pass(kDay);
  EXPECT_EQ(s.Commands().size(), 1u);
  EXPECT_EQ(s.Command().state(), v1::DENIED);
  EXPECT_THAT(s.starts, IsEmpty());
}

TEST(Approvals, AProposalIsWithdrawnWhenItsSignalClears) {
  Scenario s(1, Asking());
  s.Fire(1);
  s.Clear(1);
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
  EXPECT_EQ(Decide(s, "bob", true).exit, 1u);
}

TEST(Approvals, AHoldWithholdsAnApprovedCommandToo) {
  Scenario s(1, Asking());
  s.Fire(1);
  s.Person("alice", [](v1::PersonAct& act) { act.mutable_hold()->set_scope("all"); });
  EXPECT_EQ(Decide(s, "bob", true).exit, 5u);
  EXPECT_THAT(s.starts, IsEmpty());
}

TEST(PersonRun, OneTargetIsACommandAndTheAnswerNamesIt) {
  Scenario s(3);
  Answer answer = RunOn(s, {2, 2});
  EXPECT_EQ(answer.exit, 0u);
  EXPECT_EQ(answer.kind, "command");
  EXPECT_EQ(answer.message, "1 target: web-2");
  EXPECT_EQ(s.Command().requested_by(), "person:alice");
  EXPECT_THAT(s.Plans(), IsEmpty());
  s.Pass(kMinute);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
}

TEST(PersonRun, IsWithheldByAHoldBySelfAndByAHostThatWontAct) {
  Scenario s(2);
  EXPECT_EQ(RunOn(s, {1}, "", "quell-agent").exit, 5u);
  EXPECT_EQ(RunOn(s, {7}).exit, 3u);
  EXPECT_EQ(RunOn(s, {}).exit, 3u);
  EXPECT_EQ(RunOn(s, {1}, "#12").exit, 3u);
  s.Host(2, v1::HostEdge::HOST_LOST);
  EXPECT_EQ(RunOn(s, {1, 2}).exit, 5u);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_hold()->set_scope("all"); });
  EXPECT_EQ(RunOn(s, {1}).exit, 5u);
  EXPECT_THAT(s.Commands(), IsEmpty());
}

TEST(PersonRun, AHoldOfAServiceCoversItsAppOutsideAnIncidentToo) {
  Scenario s;
  s.remedy_succeeds = false;
  EXPECT_EQ(RunOn(s, {1}).exit, 0u);
  s.Pass(kSecond);
  ASSERT_EQ(s.Command().state(), v1::DELIVERED);
  Hold(s, "service:shop");
  EXPECT_EQ(s.Command().state(), v1::DELIVERED);
  Hold(s, "service:portal");
  EXPECT_EQ(s.Command().state(), v1::CANCELLED);
  EXPECT_EQ(RunOn(s, {1}).exit, 5u);
  EXPECT_EQ(RunOn(s, {1}, "", "other").exit, 0u);
  Hold(s, "service:deploy/other");
  EXPECT_EQ(RunOn(s, {1}, "", "other").exit, 5u);
}

TEST(PersonRun, AHoldOfADatabaseCoversItsSessions) {
  Scenario s;
  s.ConnectHost(1, [](v1::Host& host) { host.add_actions("postgres.cancel"); });
  Hold(s, "service:orders");
  for (const char* database : {"orders", "stock"}) {
    const Answer answer = s.Person("alice", [&](v1::PersonAct& act) {
      auto* cancel = act.mutable_run()->mutable_action()->mutable_postgres_cancel();
      cancel->set_connection("main");
      cancel->set_database(database);
      act.mutable_run()->add_hosts("00000000-0000-4000-8000-100000000001");
    });
    EXPECT_EQ(answer.exit, std::string(database) == "orders" ? 5u : 0u) << answer.message;
  }
}

TEST(PersonRun, WithinAnIncidentItIsVerifiedOnTheTarget) {
  Scenario s(1, Asking());
  s.Fire(1, "AppDown", v1::P1);
  EXPECT_EQ(RunOn(s, {1}, "#1").exit, 0u);
  EXPECT_EQ(s.incident().status(), v1::MITIGATING);
  s.Pass(kMinute);
  EXPECT_EQ(s.Command().verification(), v1::VERIFIED);
  EXPECT_EQ(s.incident().status(), v1::MONITORING);
}

TEST(PersonRun, ADryRunChangesNothingAndCountsForNothing) {
  Scenario s;
  EXPECT_EQ(RunOn(s, {1}, "", "portal", true).exit, 0u);
  s.Pass(kMinute);
  EXPECT_EQ(s.Command().state(), v1::SUCCEEDED);
  EXPECT_TRUE(s.state().counts.empty());
  EXPECT_EQ(s.Command().verification(), v1::VERIFICATION_STATE_UNSPECIFIED);
}

}  // namespace
}  // namespace quell::engine
