// HungAppScene: a World with one app, `portal`, that can be made to hang or crash, a probe that is about it,
// and a policy that restarts it. Fast: the rule fires after 2 s.
#pragma once
#include <string>

#include "tests/integration/world.h"

namespace quell::test {

struct SceneOptions {
  std::string mode = "automatic";
  bool sanctioned = true;
  std::string approval = "none";  // what the sanction asks for
  bool autorestart = true;
  int stubborn_ms = 0;  // not 0: the app, when it hangs, ends no sooner than PM2 kills it, after so long
  std::string page = "{unless_verified_in: 90s}";
  std::string within = "30s";  // of the verification
  std::string deadlines = "{}";
  std::string audience = "{P0: [oncall], P1: [oncall], P2: [oncall]}";
  std::string receivers;
  bool enrols = false;  // as WorldOptions has it
  bool people = false;
};

// An app that writes a line to `starts` in the directory `control` at each start, and hangs or crashes when a
// file of that name is put there; on 127.0.0.1:`port`. And the rules that see it.
Pm2App HangingApp(const std::string& name, const std::string& control, uint16_t port,
                  const std::string& settings = "{}");
extern const char kAppRules[];

class HungAppScene {
 public:
  explicit HungAppScene(const SceneOptions& options = SceneOptions());
  World& world() { return *world_; }
  void Hang();
  void Crash();
  bool Answers();  // whether the app answers over HTTP
  // What the host asks for from now on.
  void Sanction(const std::string& approval);

 private:
  static WorldOptions Options(const SceneOptions& options, const std::string& control, uint16_t port);
  TempDir control_;
  uint16_t port_;
  std::unique_ptr<World> world_;
};

}  // namespace quell::test
