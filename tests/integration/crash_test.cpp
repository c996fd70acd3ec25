// kill -9 of the real controller around each commit of a remedy: nothing that was acknowledged is lost,
// nothing that was done is done twice, nobody is told twice without being told so.
#include <gtest/gtest.h>
#include <signal.h>

#include <iterator>

#include "absl/strings/str_cat.h"
#include "tests/integration/storm.h"

namespace quell::test {
namespace {

constexpr int kStubborn = 4000;  // ms that a restart takes: PM2 has to kill the app
constexpr Micros kPatience = 60 * kSecond;

// The commits that a remedy's life consists of, in their order. Each is made once: when the controller is
// killed before it is durable the next life makes it again, after that none does. Up to the word that it
// started the host's executor is held still, lest two of them come at once.
struct Moment {
  const char* name;
  bool held;
};
constexpr Moment kMoments[] = {{"command_issued", true},  // with the incident, and what is to be told
                               {"notice_result", true},      {"handed_over", true}, {"outcome_started", true},
                               {"outcome_succeeded", false}, {"verified", false},   {"resolved", false}};

// Ends a life of the controller at each of these steps of each moment, one after the other; each is reached.
void KillAroundEachMoment(Storm& storm, const std::vector<std::string>& steps) {
  World& world = storm.world();
  world.Kill("controller");
  storm.scene().Hang();
  size_t reached = 0;
  for (const Moment& moment : kMoments) {
    if (moment.name == std::string("outcome_started")) {
      // The restart takes longer than this: the executor has told that it started, and not yet how it ended.
      world.Signal("executor", SIGCONT);
      ASSERT_TRUE(storm.Live("before:outcome_started", kPatience));
    }
    world.Signal("executor", moment.held ? SIGSTOP : SIGCONT);
    for (const std::string& step : steps) {
      const std::string at = absl::StrCat(step, ":", moment.name);
      ASSERT_TRUE(storm.Live(at, kPatience)) << "no life came to " << at;
      ++reached;
    }
  }
  EXPECT_EQ(reached, steps.size() * std::size(kMoments));
  storm.Finish();
  storm.Check();
}

TEST(Crash, ControllerKilledBeforeAndAfterEachCommitOfARemedy) {
  Storm storm(kStubborn);
  KillAroundEachMoment(storm, {"before", "after"});
}

// What the commit allowed was begun, and nobody wrote down how far it came.
TEST(Crash, ControllerKilledWithTheEffectsOfEachCommitOfARemedy) {
  Storm storm(kStubborn);
  KillAroundEachMoment(storm, {"effects"});
}

}  // namespace
}  // namespace quell::test
