// kill -9 of the real programs in the middle of an incident, again and again: nothing that was acknowledged
// is lost, nothing that was done is done twice, nobody is told twice without being told so.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "tests/integration/scene.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// An app that hangs, whose incident pages at once, and an account of all that was promised meanwhile.
class Storm {
 public:
  Storm() : scene_(Options()) {}
  World& world() { return scene_.world(); }
  HungAppScene& scene() { return scene_; }

  // One life of the controller: until it ends itself at that step, or is killed when it has not by then.
  // Whether it came there.
  bool Live(const std::string& crash_at, Micros longest) {
    world().StartControllerUntil(crash_at);
    bool noted = false;
    const bool came = WaitFor(
        [&] {
          noted = noted || Note();
          return !world().Running("controller");
        },
        longest);
    if (!came) world().Kill("controller");
    return came;
  }

  // A person's word, noted where it was taken.
  bool Note() {
    if (world().Items("incidents").empty()) return false;
    const std::string text = absl::StrCat("word ", ++words_, ".");
    const bool taken = world().QuellExit({"note", "last", text}) == 0;
    if (taken) taken_.insert(text);
    return taken;
  }

  void Restart(const std::string& program) {
    if (program == "controller") world().StartController();
    if (program == "agent") world().StartAgent();
    if (program == "executor") world().StartExecutor();
    Note();
  }

  void Finish() {
    world().StartController();
    ASSERT_TRUE(world().WaitForStatus("resolved", 180 * kSecond)) << world().Incident().dump(1);
    ASSERT_TRUE(WaitFor([&] { return Unsent().empty(); }, 60 * kSecond)) << Unsent();
  }

  // A command whose outcome died with the executor is unknown and never tried again by itself: it either
  // helped, or a person is told.
  void CheckAfterAnyDeath() {
    ASSERT_TRUE(WaitFor(
        [&] {
          const Json incident = world().Incident();
          return incident["status"] == "resolved" || GivenUp();
        },
        180 * kSecond))
        << world().Incident().dump(1);
    int started = 0;
    for (const Json& command : world().Items("commands")) {
      started += command["state"] == "succeeded" || command["state"] == "unknown";
    }
    const int restarts = world().pm2().AppRestarts("portal");
    EXPECT_LE(restarts, started) << Json(world().Items("commands")).dump(1);
    EXPECT_LE(restarts, 1);
    EXPECT_TRUE(restarts == 1 || GivenUp());
    CheckWords();
    CheckEvents();
    CheckMail();
    CheckHook();
    std::string output;
    EXPECT_EQ(world().QuellExit({"audit", "verify"}, &output), 0) << output;
  }

  void Check() {
    const std::vector<Json> commands = world().Items("commands");
    ASSERT_EQ(commands.size(), 1u) << Json(commands).dump(1);
    EXPECT_EQ(commands[0]["state"], "succeeded") << commands[0].dump(1);
    EXPECT_EQ(commands[0]["verification"]["state"], "verified") << commands[0].dump(1);
    EXPECT_EQ(world().pm2().AppRestarts("portal"), 1);
    CheckWords();
    CheckEvents();
    CheckMail();
    CheckHook();
    std::string output;
    EXPECT_EQ(world().QuellExit({"audit", "verify"}, &output), 0) << output;
  }

 private:
  static SceneOptions Options() {
    SceneOptions options;
    options.page = "at_once";
    options.within = "5m";
    return options;
  }

  std::string Unsent() {
    for (const Json& notice : world().Items("notices")) {
      if (notice["state"] != "sent") return notice.dump(1);
    }
    return "";
  }

  bool GivenUp() { return world().Incident()["given_up"].is_string(); }

  void CheckWords() {
    std::map<std::string, int> seen;
    const Json incident = world().Incident();
    for (const Json& entry : incident["timeline"]) ++seen[entry["text"].get<std::string>()];
    EXPECT_FALSE(taken_.empty());
    for (const std::string& text : taken_) EXPECT_EQ(seen[text], 1) << text;
  }

  void CheckEvents() {
    std::map<std::string, int> seen;
    for (const Json& event : world().Items("events")) {
      if (absl::StartsWith(event["kind"].get<std::string>(), "pm2."))
        ++seen[Json({event["kind"], event["labels"], event["text"]}).dump()];
    }
    for (const auto& [event, times] : seen) EXPECT_EQ(times, 1) << event;
  }

  void CheckMail() {
    std::map<std::string, int> by_key;
    for (const SmtpReceiver::Message& mail : world().mail().messages()) {
      const size_t at = mail.data.find("Message-ID: ");
      ASSERT_NE(at, std::string::npos);
      const std::string key = mail.data.substr(at, mail.data.find('\r', at) - at);
      const bool marked = absl::StrContains(mail.data, "[may be a repeat]");
      if (++by_key[key] > 1) {
        EXPECT_TRUE(marked) << mail.data;
      }
    }
    EXPECT_GE(by_key.size(), 1u);
  }

  void CheckHook() {
    std::map<std::string, int> by_key;
    std::map<std::string, int> by_transition;
    for (const HttpReceiver::Request& request : world().hook().requests()) {
      const Json body = Json::parse(request.body)["quell"];
      const std::string key = request.headers.at("idempotency-key");
      EXPECT_EQ(body["key"], key);
      if (++by_key[key] > 1) {
        EXPECT_EQ(body["may_repeat"], true) << request.body;
      } else {
        EXPECT_EQ(++by_transition[body["transition"].get<std::string>()], 1) << request.body;
      }
    }
    EXPECT_EQ(by_transition["declared"], 1);
  }

  HungAppScene scene_;
  int words_ = 0;
  std::set<std::string> taken_;  // the controller said that it has them
};

// What an incident's life consists of, in about this order; a life of the controller ends at each step of the
// next one of them.
TEST(Crash, ControllerKilledAroundEachKindOfCommitOfAnIncident) {
  Storm storm;
  World& world = storm.world();
  world.Kill("controller");
  storm.scene().Hang();
  std::set<std::string> reached;
  for (const char* kind : {"signal_edge", "notice_result", "command_delivered", "command_reported",
                           "app_event", "watch_edge", "time_passed"}) {
    for (const char* step : {"before", "after", "effects"}) {
      const std::string at = absl::StrCat(step, ":", kind);
      if (storm.Live(at, 4 * kSecond)) reached.insert(at);
    }
  }
  storm.Finish();
  storm.Check();
  // How far lives of four seconds come with the command is a matter of the machine; these two are always
  // reached.
  for (const char* kind : {"signal_edge", "notice_result"}) {
    for (const char* step : {"before", "after", "effects"}) {
      EXPECT_TRUE(reached.contains(absl::StrCat(step, ":", kind))) << step << " " << kind;
    }
  }
}

// Each life gets as far as its number of commits: later ones see more of what an incident is made of.
TEST(Crash, ControllerKilledAtTheNthCommitOfEachLife) {
  Storm storm;
  World& world = storm.world();
  world.Kill("controller");
  storm.scene().Hang();
  int reached = 0;
  for (int commit = 1; commit <= 10; ++commit) {
    for (const char* step : {"before", "after", "effects"}) {
      reached += storm.Live(absl::StrCat(step, ":", commit), 4 * kSecond);
    }
  }
  EXPECT_GE(reached, 15);
  storm.Finish();
  storm.Check();
}

// Whichever dies when: one start of the command at most, and if its outcome was lost with the executor, a
// person hears of it.
TEST(Crash, AnyProgramKilledAtAnyMoment) {
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
