// The executor's decisions, over seams: what is done, once, and what is refused, with its reason.
#include "agent/executor/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

TEST(Executor, DoesASignedAndSanctionedCommandOnceAndTellsStepByStep) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  ASSERT_EQ(world.workers.running.size(), 1u);
  EXPECT_EQ(world.workers.running.begin()->second.request.task(), v1::WORKER_TASK_CHECK);
  EXPECT_EQ(world.workers.running.begin()->second.user.uid, 1000u);
  world.End(*executor, Fine());
  EXPECT_EQ(world.workers.running.begin()->second.request.task(), v1::WORKER_TASK_EVIDENCE);
  EXPECT_EQ(world.workers.running.begin()->second.deadline, 2 * kSecond);
  world.clock.Advance(300 * kMillisecond);
  world.End(*executor, Fine());
  EXPECT_EQ(world.workers.running.begin()->second.request.task(), v1::WORKER_TASK_RUN);
  auto started = TakeReports(*executor);
  ASSERT_EQ(started.size(), 1u);
  EXPECT_EQ(started[0].outcome(), v1::OUTCOME_STARTED);
  EXPECT_EQ(started[0].monotonic_us(), world.clock.Monotonic());
  EXPECT_EQ(started[0].evidence_ms(), 300u);
  world.End(*executor, Fine());
  auto ended = TakeReports(*executor);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_GT(ended[0].seq(), started[0].seq());
  EXPECT_EQ(ended[0].evidence(0).name(), "describe");
  EXPECT_EQ(ended[0].evidence(1).name(), "kernel.stack");
  EXPECT_EQ(ended[0].before(0).pid(), 1234);
  EXPECT_EQ(executor->running(), 0u);
  EXPECT_EQ(executor->Status().epoch_number(), 3u);
  EXPECT_EQ(executor->Status().refused(), 0u);
}

TEST(Executor, ReportsUntilAcknowledgedAlsoAfterARestart) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  const v1::CommandReport report = LastReport(*executor, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_TRUE(TakeReports(*executor).empty());
  world.clock.Advance(16 * kSecond);
  executor->Tick();
  EXPECT_EQ(TakeReports(*executor).size(), 2u);  // started and succeeded
  executor = world.Start();
  const v1::CommandReport again = LastReport(*executor, body.id());
  EXPECT_EQ(again.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(again.seq(), report.seq());
  EXPECT_EQ(again.evidence_size(), report.evidence_size());
  executor->Acknowledge(again.seq());
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_UNSPECIFIED);
  executor = world.Start();
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_UNSPECIFIED);
}

TEST(Executor, AnswersTheSameIdUnderANewNonceFromTheJournal) {
  World world;
  auto executor = world.Start();
  v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  executor->Acknowledge(LastReport(*executor, body.id()).seq());
  executor = world.Start();
  body.set_nonce(executor->Status().nonce());
  executor->Submit(world.Sign(body));
  EXPECT_TRUE(world.workers.running.empty());
  EXPECT_EQ(world.workers.effects[body.id()], 1);
  const v1::CommandReport report = LastReport(*executor, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_SUCCEEDED);
  EXPECT_EQ(report.refusal(), v1::REFUSAL_DUPLICATE);
}

// Answers that nobody acknowledges hold no more than 8 MiB together, whatever evidence they repeat.
TEST(Executor, X09_OneCommandSentAgainAndAgainFillsNoMemory) {
  World world;
  auto executor = world.Start();
  v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.End(*executor, Fine());
  v1::WorkerResult evidence = Fine();
  evidence.add_evidence()->set_name("log.out");
  evidence.mutable_evidence(0)->set_content(std::string(900 << 10, 'x'));
  world.End(*executor, evidence);
  world.End(*executor, Fine());
  for (int i = 0; i < 40; ++i) executor->Submit(world.Sign(body));
  executor->OnAgentConnected();
  size_t bytes = 0;
  size_t largest = 0;
  while (true) {
    const auto reports = TakeReports(*executor);
    if (reports.empty()) break;
    for (const v1::CommandReport& report : reports) {
      bytes += report.ByteSizeLong();
      largest = std::max(largest, report.ByteSizeLong());
    }
  }
  EXPECT_GT(largest, 800u << 10) << "the evidence is among what is told again";
  EXPECT_LE(bytes, 9u << 20) << "beside the outcome itself, which stays";
  EXPECT_GE(executor->reports_dropped(), 30u);
}

TEST(Executor, SaysUnknownWhenItEndedBetweenIntentAndOutcome) {
  World world;
  auto executor = world.Start();
  v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.End(*executor, Fine());
  world.End(*executor, Fine());
  ASSERT_EQ(world.Effects(), 1);
  world.disk.Crash();
  executor = world.Start();
  const v1::CommandReport report = LastReport(*executor, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_GT(report.evidence_size(), 0);  // taken before, and not lost
  body.set_nonce(executor->Status().nonce());
  executor->Submit(world.Sign(body));
  EXPECT_TRUE(world.workers.running.empty());
  EXPECT_EQ(world.Effects(), 1);
}

TEST(Executor, AWorkerThatEndsWithoutAResultIsUnknownAndNeverRunAgain) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  world.End(*executor, Fine());
  world.EndAbruptly(*executor, 9);  // the evidence's: it is missing, and the command goes on
  world.EndAbruptly(*executor, 9);
  const v1::CommandReport report = LastReport(*executor, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_UNKNOWN);
  EXPECT_THAT(report.reason(), HasSubstr("signal 9"));
  EXPECT_THAT(report.evidence(0).missing(), HasSubstr("signal 9"));
  EXPECT_EQ(world.Effects(), 1);
}

// A journal entry with half a character in it could be written and never read again.
TEST(Executor, LongTextsOfAWorkerAreCutAtACharacterAndReadAgainAtTheNextStart) {
  World world;
  const std::string text = std::string(1023, 'x') + "\xc3\xa4";
  {
    auto executor = world.Start();
    const v1::CommandBody body = world.Body(*executor);
    executor->Submit(world.Sign(body));
    world.End(*executor, Fine());
    v1::WorkerResult result = Fine();
    v1::EvidenceItem* item = result.add_evidence();
    item->set_name(std::string(63, 'n') + "\xc3\xa4");
    item->set_missing(text);
    world.End(*executor, result);
    result = v1::WorkerResult();
    result.set_reason(text);
    world.End(*executor, result);
    EXPECT_EQ(LastReport(*executor, body.id()).reason(), std::string(1023, 'x'));
  }
  auto executor = world.Start();
  EXPECT_TRUE(executor->Status().journal_ok()) << executor->Status().journal_error();
  const std::vector<v1::CommandReport> reports = TakeReports(*executor);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].outcome(), v1::OUTCOME_FAILED);
  EXPECT_EQ(reports[0].evidence(1).missing(), std::string(1023, 'x'));
}

TEST(Executor, RefusesWhatTheCheckRefusesAndTheSameIdMayComeAgain) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  v1::WorkerResult result;
  result.set_refusal(v1::REFUSAL_CHECK);
  result.set_reason("another process than the evidence: pid 7, was 5");
  world.End(*executor, result);
  v1::CommandReport report = LastReport(*executor, body.id());
  EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
  EXPECT_EQ(report.refusal(), v1::REFUSAL_CHECK);
  EXPECT_EQ(report.reason(), result.reason());
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST(Executor, LooksAtTheStopFileSanctionsAndExpiryRightBeforeTheEffect) {
  const auto refused_with = [](const std::function<void(World&)>& change) {
    World world;
    auto executor = world.Start();
    const v1::CommandBody body = world.Body(*executor);
    executor->Submit(world.Sign(body));
    world.End(*executor, Fine());
    change(world);
    world.End(*executor, Fine());
    EXPECT_EQ(world.Effects(), 0);
    const v1::CommandReport report = LastReport(*executor, body.id());
    EXPECT_EQ(report.outcome(), v1::OUTCOME_REFUSED);
    return report.refusal();
  };
  EXPECT_EQ(refused_with([](World& w) { w.host.held = true; }), v1::REFUSAL_HOLD);
  EXPECT_EQ(refused_with([](World& w) { w.host.Sanctions("[]"); }), v1::REFUSAL_SANCTION);
  EXPECT_EQ(refused_with([](World& w) { w.clock.Advance(31 * kSecond); }), v1::REFUSAL_STALE_NONCE);
  EXPECT_EQ(refused_with([](World& w) { w.clock.Suspend(31 * kSecond); }), v1::REFUSAL_STALE_NONCE);
}

TEST(Executor, OneCommandAtATimePerTargetAndEightInAll) {
  World world;
  auto executor = world.Start();
  executor->Submit(world.Sign(world.Body(*executor, "a0")));
  const v1::CommandBody second = world.Body(*executor, "a0");
  executor->Submit(world.Sign(second));
  EXPECT_EQ(LastReport(*executor, second.id()).refusal(), v1::REFUSAL_BUSY);
  for (int i = 1; i < 8; ++i) executor->Submit(world.Sign(world.Body(*executor, "a" + std::to_string(i))));
  EXPECT_EQ(executor->running(), 8u);
  const v1::CommandBody ninth = world.Body(*executor, "a9");
  executor->Submit(world.Sign(ninth));
  EXPECT_EQ(LastReport(*executor, ninth.id()).refusal(), v1::REFUSAL_BUSY);
}

TEST(Executor, CountsRatesInTheJournalAcrossRestarts) {
  World world;
  world.host.Sanctions(
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"p*\"]}, limits: {per_hour: 2}}\n");
  for (int i = 0; i < 3; ++i) {
    auto executor = world.Start();
    const v1::CommandBody body = world.Body(*executor);
    executor->Submit(world.Sign(body));
    world.EndAll(*executor);
    const v1::CommandReport report = LastReport(*executor, body.id());
    EXPECT_EQ(report.outcome(), i < 2 ? v1::OUTCOME_SUCCEEDED : v1::OUTCOME_REFUSED);
    EXPECT_EQ(report.reason(), i < 2 ? "" : "sanctions.yaml:1 allows 2 an hour, and there were 2");
  }
  world.clock.Advance(kHour);
  auto executor = world.Start();
  executor->Submit(world.Sign(world.Body(*executor)));
  world.EndAll(*executor);
  EXPECT_EQ(world.Effects(), 3);
}

TEST(Executor, CancelsBeforeTheEffectAndNotAfter) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody first = world.Body(*executor);
  executor->Submit(world.Sign(first));
  executor->Cancel(first.id());
  EXPECT_EQ(LastReport(*executor, first.id()).outcome(), v1::OUTCOME_CANCELLED);
  EXPECT_EQ(world.workers.killed.size(), 1u);
  world.EndAll(*executor);  // the killed one's end changes nothing
  EXPECT_EQ(world.Effects(), 0);
  const v1::CommandBody second = world.Body(*executor);
  executor->Submit(world.Sign(second));
  world.End(*executor, Fine());
  world.End(*executor, Fine());
  executor->Cancel(second.id());
  world.EndAll(*executor);
  EXPECT_EQ(LastReport(*executor, second.id()).outcome(), v1::OUTCOME_SUCCEEDED);
}

TEST(Executor, ADryRunChecksAndDoesNothing) {
  World world;
  auto executor = world.Start();
  v1::CommandBody body = world.Body(*executor);
  body.set_dry_run(true);
  executor->Submit(world.Sign(body));
  world.EndAll(*executor);
  EXPECT_EQ(LastReport(*executor, body.id()).outcome(), v1::OUTCOME_DRY_RUN);
  EXPECT_EQ(world.Effects(), 0);
}

TEST(Executor, WithoutRootItActsForItsOwnUserAlone) {
  World world;
  world.root = false;
  auto executor = world.Start();
  executor->Submit(world.Sign(world.Body(*executor)));
  world.EndAll(*executor);
  EXPECT_EQ(world.Effects(), 1);
  auto options = world.Options();
  options.own_uid = 1001;
  Executor other(options, world.clock, world.disk, world.workers, world.host);
  ASSERT_TRUE(other.Open(world.bundle).ok());
  const v1::CommandBody body = world.Body(other);
  other.Submit(world.Sign(body));
  EXPECT_EQ(LastReport(other, body.id()).refusal(), v1::REFUSAL_SANCTION);
  EXPECT_TRUE(world.workers.running.empty());
}

TEST(Executor, TakesOnlyBundlesOfHigherSerialSignedByThePinnedRoot) {
  World world;
  auto executor = world.Start();
  EXPECT_TRUE(absl::IsAlreadyExists(executor->OfferTrust(world.bundle)));
  testing_support::TestPki stranger(world.clock.Wall());
  stranger.bundle().set_serial(100);
  EXPECT_FALSE(executor->OfferTrust(stranger.signed_bundle()).ok());
  world.pki.bundle().set_serial(world.pki.bundle().serial() + 1);
  world.pki.bundle().add_revoked(world.pki.controller_id());
  ASSERT_TRUE(executor->OfferTrust(world.pki.signed_bundle()).ok());
  const v1::CommandBody body = world.Body(*executor);
  executor->Submit(world.Sign(body));
  EXPECT_THAT(LastReport(*executor, body.id()).reason(), HasSubstr("revoked"));
  executor = world.Start();  // with the old installed bundle: the kept one is newer
  EXPECT_EQ(executor->Status().trust_serial(), world.pki.bundle().serial());
}

TEST(Executor, NonceEvery5SecondsGoodFor30) {
  World world;
  auto executor = world.Start();
  const v1::CommandBody body = world.Body(*executor);
  world.clock.Advance(5 * kSecond);
  executor->Tick();
  EXPECT_NE(executor->Status().nonce(), body.nonce());
  world.clock.Advance(24 * kSecond);
  executor->Tick();
  executor->Submit(world.Sign(body));
  EXPECT_EQ(executor->running(), 1u);
  world.EndAll(*executor);
  v1::CommandBody late = body;
  late.set_id(RandomBytes(16));
  world.clock.Advance(kSecond);
  executor->Submit(world.Sign(late));
  EXPECT_EQ(LastReport(*executor, late.id()).refusal(), v1::REFUSAL_STALE_NONCE);
  v1::CommandBody brief = world.Body(*executor, "other");
  brief.set_valid_for_ms(100);
  world.clock.Advance(kSecond);
  executor->Submit(world.Sign(brief));
  EXPECT_EQ(LastReport(*executor, brief.id()).reason(), "the command has expired");
}

TEST(Executor, OutcomesAreNeverDroppedAndTooManyMakeItBusy) {
  World world;
  auto executor = world.Start();
  for (int i = 0; i < 64; ++i) {
    executor->Submit(world.Sign(world.Body(*executor)));
    world.EndAll(*executor);
  }
  EXPECT_EQ(world.Effects(), 64);
  const v1::CommandBody more = world.Body(*executor);
  executor->Submit(world.Sign(more));
  const v1::CommandReport report = LastReport(*executor, more.id());
  EXPECT_EQ(report.refusal(), v1::REFUSAL_BUSY);
  executor->Acknowledge(report.seq());
  executor->Submit(world.Sign(world.Body(*executor)));
  EXPECT_EQ(executor->running(), 1u);
}

}  // namespace
}  // namespace quell::agent
