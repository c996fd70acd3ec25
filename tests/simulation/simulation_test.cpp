#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "tests/simulation/world.h"

namespace quell::simulation {
namespace {

using testing::HasSubstr;

TEST(Simulation, HundredSeedsHoldAndRunAlikeTwice) {
  google::protobuf::SetLogHandler(nullptr);
  size_t effects = 0, crashes = 0, pages = 0, waves = 0, second_steps = 0, signed_effects = 0;
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    const Result first = RunSeed(seed);
    EXPECT_EQ(first.trace, RunSeed(seed).trace) << "again: simulation --seeds " << seed << "-" << seed;
    for (const std::string& what : first.broken) {
      ADD_FAILURE() << what << "; again: simulation --seeds " << seed << "-" << seed;
    }
    effects += first.effects, crashes += first.crashes, pages += first.pages;
    waves += first.waves, second_steps += first.second_steps, signed_effects += first.signed_effects;
  }
  EXPECT_GT(effects, 100u);
  EXPECT_GT(crashes, 100u);
  EXPECT_GT(pages, 50u);
  EXPECT_GT(waves, 50u);
  EXPECT_GT(second_steps, 30u);
  EXPECT_GT(signed_effects, 20u) << "where hosts ask for approvals";
}

// The first broken invariant of up to 150 seeds with a planted bug; the first that says so.
std::string Found(const Bugs& bugs, const std::string& saying = "") {
  google::protobuf::SetLogHandler(nullptr);
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    for (const std::string& broken : RunSeed(seed, bugs).broken) {
      if (broken.find(saying) != std::string::npos) return broken;
    }
  }
  return "not found";
}

TEST(PlantedBug, AJournalThatForgetsIsFound) {
  Bugs bugs;
  bugs.journal_forgets = true;
  EXPECT_THAT(Found(bugs), HasSubstr("was started twice"));
}
TEST(PlantedBug, ADispatchThatIgnoresHoldIsFound) {
  Bugs bugs;
  bugs.dispatch_ignores_hold = true;
  EXPECT_NE(Found(bugs, "while on hold"), "not found");
}
TEST(PlantedBug, ACancellationThatNoHostIsToldIsFound) {
  Bugs bugs;
  bugs.cancel_not_carried = true;
  EXPECT_THAT(Found(bugs), HasSubstr("after it was cancelled"));
}
TEST(PlantedBug, ACancellationThatAHostWhichComesBackIsNotToldIsFound) {
  Bugs bugs;
  bugs.cancel_not_repeated = true;
  EXPECT_THAT(Found(bugs), HasSubstr("after it was cancelled"));
}
TEST(PlantedBug, AStopFileThatNobodySeesIsFound) {
  Bugs bugs;
  bugs.stop_file_unseen = true;
  EXPECT_THAT(Found(bugs), HasSubstr("beside its stop file"));
}
TEST(PlantedBug, ANoticeThatIsNeverSentIsFound) {
  Bugs bugs;
  bugs.give_up_not_sent = true;
  EXPECT_THAT(Found(bugs), HasSubstr("nobody was told"));
}
TEST(PlantedBug, ActingBeforeTheCommitIsFound) {
  Bugs bugs;
  bugs.acts_before_commit = true;
  EXPECT_THAT(Found(bugs), testing::Not("not found"));
}
TEST(PlantedBug, AnUnmarkedRepetitionIsFound) {
  Bugs bugs;
  bugs.repeats_unmarked = true;
  EXPECT_THAT(Found(bugs), HasSubstr("sent twice"));
}
TEST(PlantedBug, AFoldThatForgetsIsFound) {
  Bugs bugs;
  bugs.apply_forgets = true;
  EXPECT_THAT(Found(bugs), testing::Not("not found"));
}

TEST(PlantedBug, ABlindVerificationIsFound) {
  Bugs bugs;
  bugs.verifies_blindly = true;
  EXPECT_THAT(Found(bugs), HasSubstr("as ill as before"));
}
TEST(PlantedBug, AFailureToldAsSuccessIsFound) {
  Bugs bugs;
  bugs.failure_told_as_success = true;
  EXPECT_THAT(Found(bugs), HasSubstr("died"));
}
TEST(PlantedBug, AWaveBeforeTheOneBeforeIsVerifiedIsFound) {
  Bugs bugs;
  bugs.wave_before_verified = true;
  EXPECT_THAT(Found(bugs), HasSubstr("was verified"));
}
TEST(PlantedBug, AWaveAfterTheStopIsFound) {
  Bugs bugs;
  bugs.goes_on_after_stop = true;
  EXPECT_THAT(Found(bugs), HasSubstr("does not run"));
}
TEST(PlantedBug, SanctionsThatForgetTheirApprovalAreFound) {
  Bugs bugs;
  bugs.sanctions_forget_approval = true;
  EXPECT_THAT(Found(bugs), HasSubstr("without the approvals"));
}
TEST(PlantedBug, AStepBeforeTheOneBeforeEndedIsFound) {
  Bugs bugs;
  bugs.step_before_end = true;
  EXPECT_NE(Found(bugs, "began before"), "not found");
}

}  // namespace
}  // namespace quell::simulation
