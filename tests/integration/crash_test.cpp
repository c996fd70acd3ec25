// kill -9 of the real programs in the middle of an incident, again and again: nothing that was acknowledged
// is lost, nothing that was done is done twice, nobody is told twice without being told so.
#include <gtest/gtest.h>

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
    const bool came = WaitFor(
        [&] {
          Note();
          return !world().Running("controller");
        },
        longest);
    if (!came) world().Kill("controller");
    return came;
  }

  // A person's word, noted where it was taken.
  void Note() {
    if (world().Items("incidents").empty()) return;
    const std::string text = absl::StrCat("word ", ++words_, ".");
    if (world().QuellExit({"note", "last", text}) == 0) taken_.insert(text);
  }

  void Finish() {
    world().StartController();
    ASSERT_TRUE(world().WaitForStatus("resolved", 180 * kSecond)) << world().Incident().dump(1);
    ASSERT_TRUE(WaitFor([&] { return Unsent().empty(); }, 60 * kSecond)) << Unsent();
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

  void CheckWords() {
    std::map<std::string, int> seen;
    for (const Json& entry : world().Incident()["timeline"]) ++seen[entry["text"].get<std::string>()];
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
    EXPECT_EQ(by_key.size(), 2u) << "declared and resolved";
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
    EXPECT_EQ(by_transition["resolved"], 1);
  }

  HungAppScene scene_;
  int words_ = 0;
  std::set<std::string> taken_;  // the controller said that it has them
};

TEST(Crash, KilledAtEveryStepOfEveryKindOfCommitOfAnIncident) {
  Storm storm;
  World& world = storm.world();
  world.Kill("controller");
  storm.scene().Hang();
  std::set<std::string> reached;
  for (const char* kind :
       {"signal_edge", "command_delivered", "command_reported", "notice_result", "watch_edge"}) {
    for (const char* step : {"before", "after", "effects"}) {
      const std::string at = absl::StrCat(step, ":", kind);
      const Micros t = RealClock().Monotonic();
      if (storm.Live(at, 20 * kSecond)) reached.insert(at);
      printf("%s %d %.1f\n", at.c_str(), (int)reached.count(at),
             (double)(RealClock().Monotonic() - t) / kSecond);
      fflush(stdout);
    }
  }
  storm.Finish();
  storm.Check();
}

}  // namespace
}  // namespace quell::test
