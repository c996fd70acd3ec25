#include "tests/integration/storm.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/support/wait.h"

namespace quell::test {

Storm::Storm(int stubborn_ms) : scene_(Options(stubborn_ms)) {}

SceneOptions Storm::Options(int stubborn_ms) {
  SceneOptions options;
  options.stubborn_ms = stubborn_ms;
  options.page = "at_once";
  options.within = "5m";
  return options;
}

bool Storm::Live(const std::string& crash_at, Micros longest, Words words) {
  world().StartControllerUntil(crash_at);
  bool noted = false;
  const bool came = WaitFor(
      [&] {
        if (!noted || words == Words::kMany) noted = Note() || noted;
        return !world().Running("controller");
      },
      longest);
  if (!came) world().Kill("controller");
  return came;
}

bool Storm::Note() {
  incident_ = incident_ || !world().Items("incidents").empty();
  if (!incident_) return false;
  const std::string text = absl::StrCat("word ", ++words_, ".");
  const bool taken = world().QuellExit({"note", "last", text}) == 0;
  if (taken) taken_.insert(text);
  return taken;
}

void Storm::Restart(const std::string& program) {
  if (program == "controller") world().StartController();
  if (program == "agent") world().StartAgent();
  if (program == "executor") world().StartExecutor();
  Note();
}

void Storm::Finish() {
  world().StartController();
  ASSERT_TRUE(world().WaitForStatus("resolved", 180 * kSecond)) << world().Incident().dump(1);
  ASSERT_TRUE(WaitFor([&] { return Unsent().empty(); }, 60 * kSecond)) << Unsent();
}

void Storm::CheckAfterAnyDeath() {
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
  CheckPromises();
}

void Storm::Check() {
  const std::vector<Json> commands = world().Items("commands");
  ASSERT_EQ(commands.size(), 1u) << Json(commands).dump(1);
  EXPECT_EQ(commands[0]["state"], "succeeded") << commands[0].dump(1);
  EXPECT_EQ(commands[0]["verification"]["state"], "verified") << commands[0].dump(1);
  EXPECT_EQ(world().pm2().AppRestarts("portal"), 1);
  CheckPromises();
}

void Storm::CheckPromises() {
  CheckWords();
  CheckEvents();
  CheckMail();
  CheckHook();
  std::string output;
  EXPECT_EQ(world().QuellExit({"audit", "verify"}, &output), 0) << output;
}

std::string Storm::Unsent() {
  for (const Json& notice : world().Items("notices")) {
    if (notice["state"] != "sent") return notice.dump(1);
  }
  return "";
}

bool Storm::GivenUp() { return world().Incident()["given_up"].is_string(); }

void Storm::CheckWords() {
  std::map<std::string, int> seen;
  const Json incident = world().Incident();
  for (const Json& entry : incident["timeline"]) ++seen[entry["text"].get<std::string>()];
  EXPECT_FALSE(taken_.empty());
  for (const std::string& text : taken_) EXPECT_EQ(seen[text], 1) << text;
}

void Storm::CheckEvents() {
  std::map<std::string, int> seen;
  for (const Json& event : world().Items("events")) {
    if (absl::StartsWith(event["kind"].get<std::string>(), "pm2."))
      ++seen[Json({event["kind"], event["labels"], event["text"]}).dump()];
  }
  for (const auto& [event, times] : seen) EXPECT_EQ(times, 1) << event;
}

void Storm::CheckMail() {
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

void Storm::CheckHook() {
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

}  // namespace quell::test
