// Storm: an app that hangs, whose incident pages at once, on a World whose programs are killed; and an
// account of all that was promised meanwhile. One thread.
#pragma once
#include <set>
#include <string>

#include "common/base/time.h"
#include "tests/integration/scene.h"

namespace quell::test {

class Storm {
 public:
  // `stubborn_ms`: as in SceneOptions.
  explicit Storm(int stubborn_ms = 0);
  World& world() { return scene_.world(); }
  HungAppScene& scene() { return scene_; }

  enum class Words { kOne, kMany };  // taken in a life: each is a commit
  // One life of the controller: until it ends itself at that step, or is killed when it has not by then.
  // Whether it came there.
  bool Live(const std::string& crash_at, Micros longest, Words words = Words::kOne);
  // A person's word, noted where it was taken.
  bool Note();
  void Restart(const std::string& program);
  // Lets all end well, and everybody be told.
  void Finish();

  // After deaths of the controller alone: the remedy happened once, and nothing was lost or told twice.
  void Check();
  // A command whose outcome died with the executor is unknown and never tried again by itself: it either
  // helped, or a person is told.
  void CheckAfterAnyDeath();

 private:
  static SceneOptions Options(int stubborn_ms);
  std::string Unsent();
  bool GivenUp();
  void CheckPromises();
  void CheckWords();
  void CheckEvents();
  void CheckMail();
  void CheckHook();

  HungAppScene scene_;
  bool incident_ = false;  // there is one
  int words_ = 0;
  std::set<std::string> taken_;  // the controller said that it has them
};

}  // namespace quell::test
