#include "agent/pm2/messages.h"

#include <gmock/gmock.h>

namespace quell::pm2 {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string List(std::string_view elements) { return "{\"args\":[[" + std::string(elements) + "]]}"; }

v1::Pm2App One(std::string_view element) {
  const auto apps = ParseListReply(List(element));
  EXPECT_TRUE(apps.ok()) << apps.status();
  if (!apps.ok() || apps->size() != 1) return {};
  return (*apps)[0];
}

TEST(ListTest, TakesWhatIsAllowedAndNothingElse) {
  const v1::Pm2App app = One(
      R"({"pid":649,"name":"web","pm_id":4,"monit":{"memory":5,"cpu":2.5},"pm2_env":{"name":"other",
          "env":{"TOKEN":"canary-1","status":"canary-2","nested":{"status":"canary-3"}},"TOKEN":"canary-4",
          "namespace":"front","status":"online","exec_mode":"fork_mode","restart_time":3,
          "unstable_restarts":1,"pm_uptime":1795403704314,"created_at":null,"exit_code":1,"autorestart":false,
          "autostart":true,"max_memory_restart":209715200,"restart_delay":100,"prev_restart_delay":2000,
          "stop_exit_codes":[0,"3"],"version":"2.4.1","node_version":"20.20.2","pm_exec_path":"/srv/a.js",
          "pm_cwd":"/srv","args":["--key","canary-5"],"axm_monitor":{
            "Event Loop Latency":{"historic":true,"unit":"ms","type":"x","value":"0.59"},
            "Heap Usage":{"value":67.05,"unit":"%"},"Queue depth":{"value":88,"unit":"canary-6"},
            "HTTP":{"value":"canary-7"}}}})");
  EXPECT_EQ(app.name(), "web");
  EXPECT_EQ(app.pm_id(), 4);
  EXPECT_EQ(app.pid(), 649);
  EXPECT_EQ(app.name_space(), "front");
  EXPECT_EQ(app.status(), "online");
  EXPECT_EQ(app.restarts(), 3);
  EXPECT_EQ(app.unstable_restarts(), 1);
  EXPECT_EQ(app.started_ms(), 1795403704314);
  EXPECT_EQ(app.created_ms(), 0);
  EXPECT_EQ(app.exit_code(), 1);
  EXPECT_FALSE(app.autorestart());
  EXPECT_TRUE(app.autostart());
  EXPECT_EQ(app.max_memory_bytes(), 209715200);
  EXPECT_EQ(app.restart_delay_ms(), 2000);
  EXPECT_THAT(app.stop_exit_codes(), ElementsAre(0, 3));
  EXPECT_EQ(app.version(), "2.4.1");
  EXPECT_EQ(app.exec_path(), "/srv/a.js");
  ASSERT_EQ(app.metrics_size(), 2);
  EXPECT_EQ(app.metrics(0).name(), "Event Loop Latency");
  EXPECT_DOUBLE_EQ(app.metrics(0).value(), 0.59);
  EXPECT_EQ(app.metrics(0).unit(), "ms");
  EXPECT_THAT(app.SerializeAsString(), Not(HasSubstr("canary")));
}

TEST(ListTest, NumbersAsStringsAndStringsAsNumbers) {
  const v1::Pm2App app = One(
      R"({"pid":"12","name":"a","pm_id":"3","pm2_env":{"status":7,"restart_time":"5","autorestart":"false",
          "pm_uptime":"x","exit_code":null,"stop_exit_codes":2,"max_memory_restart":"300M"}})");
  EXPECT_EQ(app.pid(), 12);
  EXPECT_EQ(app.pm_id(), 3);
  EXPECT_EQ(app.status(), "");
  EXPECT_EQ(app.restarts(), 5);
  EXPECT_FALSE(app.autorestart());
  EXPECT_EQ(app.started_ms(), 0);
  EXPECT_THAT(app.stop_exit_codes(), ElementsAre(2));
  EXPECT_EQ(app.max_memory_bytes(), 0);
}

TEST(ListTest, OnlineWithoutPidIsKept) {
  const v1::Pm2App app =
      One(R"({"name":"missing-dir","pm_id":9,"monit":{"memory":0,"cpu":0},"pm2_env":{"status":"online",
              "axm_monitor":{},"versioning":null}})");
  EXPECT_EQ(app.status(), "online");
  EXPECT_EQ(app.pid(), 0);
}

TEST(ListTest, NamesInUtf8AndTooLongOnes) {
  EXPECT_EQ(One(R"({"name":"工作-é","pm_id":6})").name(), "工作-é");
  std::string name;
  for (int i = 0; i < 200; ++i) name += "é";
  const v1::Pm2App app = One("{\"name\":\"" + name + "\",\"pm_id\":6}");
  EXPECT_EQ(app.name(), name.substr(0, 256));
}

TEST(ListTest, OldWorkersAndForeignShapesAreLeftOut) {
  const auto apps = ParseListReply(
      List(R"({"name":"a","pm_id":"_old_1"},{"name":"b","pm_id":1},null,7,[{"pm_id":2}],{"name":"c"})"));
  ASSERT_TRUE(apps.ok()) << apps.status();
  ASSERT_EQ(apps->size(), 1u);
  EXPECT_EQ((*apps)[0].name(), "b");
}

TEST(ListTest, HugeAndOddNumbersAreNotIds) {
  for (const char* id : {"-1", "1e300", "1.5", "99999999999", "\"\"", "\"0x1\"", "true && 1"})
    EXPECT_FALSE(ParseListReply(List(std::string("{\"name\":\"a\",\"pm_id\":") + id + "}")).ok() &&
                 !ParseListReply(List(std::string("{\"name\":\"a\",\"pm_id\":") + id + "}"))->empty())
        << id;
}

TEST(ListTest, DepthIsBounded) {
  std::string deep = "{\"name\":\"a\",\"pm_id\":1,\"pm2_env\":{\"x\":";
  EXPECT_TRUE(ParseListReply(List(deep + std::string(20, '[') + std::string(20, ']') + "}}")).ok());
  const auto refused =
      ParseListReply(List(deep + std::string(100'000, '[') + std::string(100'000, ']') + "}}"));
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ListTest, ErrorsAndNonsense) {
  EXPECT_EQ(ParseListReply(R"({"error":"boom","stack":"Error: boom"})").status().code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(ParseListReply(R"({"error":{"a":1}})").status().code(), absl::StatusCode::kAborted);
  for (const char* bad :
       {"", "{", "null", "[]", "{\"args\":[]}", "{\"args\":3}", "{\"args\":[[]]} x", "\xff"})
    EXPECT_EQ(ParseListReply(bad).status().code(), absl::StatusCode::kInvalidArgument) << bad;
  EXPECT_TRUE(ParseListReply(R"({"args":[[]]})")->empty());
}

TEST(ListTest, MoreAppsThanAllowed) {
  std::string many;
  for (size_t i = 0; i <= kMaxApps; ++i)
    many += (i ? "," : "") + std::string("{\"name\":\"a\",\"pm_id\":") + std::to_string(i) + "}";
  EXPECT_EQ(ParseListReply(List(many)).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(ReplyTest, DoneTextAndMethods) {
  EXPECT_TRUE(ParseDoneReply(R"({"args":[{"pm2_env":{"status":"online","error":"x"}}]})").ok());
  EXPECT_TRUE(ParseDoneReply(R"({"args":[]})").ok());
  EXPECT_EQ(ParseDoneReply(R"({"args":[{"error":true,"message":"could not kill process w/o pid"}]})").code(),
            absl::StatusCode::kAborted);
  EXPECT_EQ(ParseDoneReply(R"({"error":"id unknown"})").code(), absl::StatusCode::kAborted);
  EXPECT_EQ(*ParseTextReply(R"({"args":["7.0.4"]})"), "7.0.4");
  const auto methods =
      ParseMethodsReply(R"({"methods":{"ping":{"name":"ping","params":["env","cb"]},"x":{"params":[]}}})");
  ASSERT_TRUE(methods.ok());
  ASSERT_EQ(methods->size(), 2u);
  EXPECT_EQ((*methods)[0].name, "ping");
  EXPECT_EQ((*methods)[0].params, 2u);
  EXPECT_EQ((*methods)[1].params, 0u);
}

TEST(EventTest, TakesItsFieldsOnly) {
  const auto event = ParseProcessEvent(
      R"({"event":"exit","manually":false,"at":1795403719038,"process":{"name":"web","pm_id":2,
          "status":"stopped","restart_time":4,"exit_code":3,"autorestart":false,"stop_exit_codes":[3],
          "pm_uptime":1795403704314,"TOKEN":"canary"}})");
  ASSERT_TRUE(event.ok()) << event.status();
  EXPECT_EQ(event->event(), "exit");
  EXPECT_EQ(event->pm_id(), 2);
  EXPECT_EQ(event->status(), "stopped");
  EXPECT_EQ(event->exit_code(), 3);
  EXPECT_FALSE(event->autorestart());
  EXPECT_THAT(event->stop_exit_codes(), ElementsAre(3));
  EXPECT_EQ(event->at_ms(), 1795403719038);
  EXPECT_EQ(event->started_ms(), 1795403704314);
  EXPECT_THAT(event->SerializeAsString(), Not(HasSubstr("canary")));
  EXPECT_EQ(ParseProcessEvent(R"({"event":"exit","process":{"name":"w","pm_id":"_old_1"}})").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(LogTest, OnlyExitsAreTaken) {
  const auto lines = ParseDaemonLog(
      R"({"process":{},"at":1,"data":"PM2: App [web:0] exited with code [0] via signal [SIGKILL]\nhello\n)"
      R"(App [a]:b:12] exited with code [137] via signal [SIGINT]\nApp [x] exited with code [0] via signal [S]\n"})");
  ASSERT_TRUE(lines.ok());
  ASSERT_EQ(lines->size(), 2u);
  EXPECT_EQ((*lines)[0].pm_id, 0);
  EXPECT_EQ((*lines)[0].signal, "SIGKILL");
  EXPECT_EQ((*lines)[1].pm_id, 12);
  EXPECT_EQ((*lines)[1].exit_code, 137);
}

// An app's name can hold what the line is made of; only the end of the line is PM2's own.
TEST(LogTest, ANameCannotForgeTheRest) {
  const auto lines = ParseDaemonLog(
      R"({"data":"App [x:9] exited with code [1] via signal [SIGSEGV]:3] exited with code [0] via signal [SIGINT]"})");
  ASSERT_TRUE(lines.ok());
  ASSERT_EQ(lines->size(), 1u);
  EXPECT_EQ((*lines)[0].pm_id, 3);
  EXPECT_EQ((*lines)[0].signal, "SIGINT");
}

}  // namespace
}  // namespace quell::pm2
