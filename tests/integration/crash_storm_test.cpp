// kill -9 of the real programs in the middle of an incident, again and again, wherever they are.
#include <gtest/gtest.h>

#include <array>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/integration/storm.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// Each life gets as far as its number of commits: later ones see more of what an incident is made of. A
// person's words make commits where nothing else happens.
TEST(CrashStorm, ControllerKilledAtTheNthCommitOfEachLife) {
  Storm storm;
  World& world = storm.world();
  world.Kill("controller");
  storm.scene().Hang();
  int reached = 0;
  for (int commit = 1; commit <= 10; ++commit) {
    for (const char* step : {"before", "after", "effects"}) {
      reached += storm.Live(absl::StrCat(step, ":", commit), 60 * kSecond, Storm::Words::kMany);
    }
  }
  EXPECT_EQ(reached, 30);
  storm.Finish();
  storm.Check();
}

// Whichever dies when: one start of the command at most, and if its outcome was lost with the executor, a
// person hears of it.
TEST(CrashStorm, AnyProgramKilledAtAnyMoment) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937 random(seed);
  Storm storm;
  World& world = storm.world();
  storm.scene().Hang();
  for (int round = 0; round < 24; ++round) {
    const char* program = std::array{"controller", "agent", "executor"}[random() % 3];
    const Micros moment = static_cast<Micros>(random() % 1500) * kMillisecond;
    EXPECT_FALSE(WaitFor([&] { return !world.Running(program); }, moment)) << program << " ended by itself";
    world.Kill(program);
    storm.Restart(program);
  }
  storm.CheckAfterAnyDeath();
}

}  // namespace
}  // namespace quell::test
