#include "agent/pm2/rpc.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "agent/pm2/bus.h"
#include "tests/agent/pm2/fake_daemon.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::pm2 {
namespace {

using test::FakeDaemon;
using test::kMethodsReply;
using test::Reply;

bool AsksFor(const AmpFrame& request, std::string_view what) {
  return request[0].data.find(what) != std::string::npos;
}

auto Connect(const test::TempDir& dir, Micros within = 5 * kSecond) {
  return Pm2Client::Connect(dir.path(), getuid(), within, RealClock());
}

TEST(RpcTest, NoSocketStaleSocketNoRight) {
  const test::TempDir dir;
  EXPECT_EQ(Connect(dir).status().code(), absl::StatusCode::kNotFound);
  { const UniqueFd gone = test::ListenUnix(dir.Path("rpc.sock")); }
  EXPECT_EQ(Connect(dir).status().code(), absl::StatusCode::kUnavailable);
  const std::string deep = dir.MakeDirectory(std::string(100, 'd') + "/" + std::string(100, 'e'));
  EXPECT_EQ(Pm2Client::Connect(deep, getuid(), kSecond, RealClock()).status().code(),
            absl::StatusCode::kNotFound);
}

TEST(RpcTest, ALongHomeIsReached) {
  const test::TempDir dir;
  const std::string short_path = dir.Path("s.sock");
  FakeDaemon daemon(short_path, [](const AmpFrame& request) { return Reply(kMethodsReply, request[1]); });
  const std::string deep = dir.MakeDirectory(std::string(100, 'd'));
  ASSERT_EQ(rename(short_path.c_str(), (deep + "/rpc.sock").c_str()), 0);
  EXPECT_TRUE(Pm2Client::Connect(deep, getuid(), 5 * kSecond, RealClock()).ok());
}

// Who listens is asked of the kernel; a daemon of somebody else is left without a byte.
TEST(RpcTest, AnotherUsersDaemonIsNotSpokenTo) {
  const test::TempDir dir;
  FakeDaemon rpc(dir.Path("rpc.sock"), nullptr);
  FakeDaemon pub(dir.Path("pub.sock"), nullptr);
  const auto client = Pm2Client::Connect(dir.path(), getuid() + 1, kSecond, RealClock());
  EXPECT_EQ(client.status().code(), absl::StatusCode::kPermissionDenied);
  const auto bus = Pm2Bus::Connect(dir.path(), getuid() + 1, kSecond, RealClock());
  EXPECT_EQ(bus.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(rpc.received(), "");
  EXPECT_EQ(pub.received(), "");
}

TEST(RpcTest, MethodsThatAreMissingOrOtherAreNotCalled) {
  const test::TempDir dir;
  FakeDaemon daemon(dir.Path("rpc.sock"), [](const AmpFrame& request) {
    return Reply(R"({"methods":{"getMonitorData":{"params":["cb"]},"getVersion":{"params":[]}}})",
                 request[1]);
  });
  auto client = Connect(dir);
  ASSERT_TRUE(client.ok()) << client.status();
  const std::string asked = daemon.received();
  EXPECT_EQ((*client)->ListApps().status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ((*client)->Restart(0, kSecond).code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(daemon.received(), asked);
}

// Golden bytes: a path is a JSON string in ASCII, whatever its owner put in it.
TEST(RpcTest, RestartFromSendsExactlyThisAndNoPathThatIsNone) {
  EXPECT_EQ(RestartFromJson(3, {"/opt/p/releases/1/a.js", "/opt/p/releases/1", "", ""}),
            R"({"type":"call","method":"restartProcessId","args":[{"id":3,"env":{"current_conf":)"
            R"({"pm_exec_path":"/opt/p/releases/1/a.js","pm_cwd":"/opt/p/releases/1"}}}]})");
  EXPECT_EQ(
      RestartFromJson(3, {"/r/a\"}],\n.js", "/r/é", "/r/c", "/r/p"}),
      R"({"type":"call","method":"restartProcessId","args":[{"id":3,"env":{"PWD":"/r/p","current_conf":)"
      R"({"pm_exec_path":"/r/a\"}],\n.js","pm_cwd":"/r/\u00e9","cwd":"/r/c"}}}]})");
  const test::TempDir dir;
  FakeDaemon daemon(dir.Path("rpc.sock"),
                    [](const AmpFrame& request) { return Reply(kMethodsReply, request[1]); });
  auto client = Connect(dir);
  ASSERT_TRUE(client.ok()) << client.status();
  const std::string asked = daemon.received();
  for (const StartPaths& paths :
       {StartPaths{"relative.js", "/r", "", ""}, StartPaths{"/r/a", "", "", ""},
        StartPaths{"/r/\xff", "/r", "", ""}, StartPaths{"/r/a", "/r", "x", ""},
        StartPaths{"/r/a", "/r", "", "x"}, StartPaths{"/" + std::string(5000, 'x'), "/r", "", ""}}) {
    EXPECT_EQ((*client)->RestartFrom(3, paths, kSecond).code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ((*client)->RestartFrom(-1, {"/r/a", "/r", "", ""}, kSecond).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(daemon.received(), asked);
}

TEST(StartConfig, TakesPathsAndNothingOfTheEnvironment) {
  const auto configs = ParseStartConfigs(
      R"({"args":[[{"pm_id":0,"name":"a","pm2_env":{"pm_exec_path":"/o/releases/1/a.js","pm_cwd":"/o/releases/1",)"
      R"("cwd":"/o/releases/1","args":["--c","/o/releases/1/c"],"env":{"PWD":"/o/releases/1","KEY":"s3cret",)"
      R"("NODE_PATH":"/o/releases/1/lib"},"KEY":"s3cret"}},)"
      R"({"pm_id":1,"name":"b","pm2_env":{"args":"x","env":{"pm_cwd":"/elsewhere"}}},{"pm_id":"_old_1"}]]})",
      "/o/releases/");
  ASSERT_TRUE(configs.ok()) << configs.status();
  ASSERT_EQ(configs->size(), 2u);
  const StartConfig& first = configs->at(0);
  EXPECT_EQ(first.exec_path, "/o/releases/1/a.js");
  EXPECT_EQ(first.cwd, "/o/releases/1");
  EXPECT_EQ(first.cwd_key, "/o/releases/1");
  EXPECT_EQ(first.pwd, "/o/releases/1");
  EXPECT_TRUE(first.arguments_mention);
  EXPECT_EQ(first.environment_mentions, 1);
  EXPECT_FALSE(first.shadowed);
  EXPECT_FALSE(configs->at(1).arguments_mention);
  EXPECT_TRUE(configs->at(1).shadowed);
  EXPECT_FALSE(ParseStartConfigs(R"({"error":"no"})", "x").ok());
  EXPECT_FALSE(ParseStartConfigs("[", "x").ok());
}

TEST(RpcTest, RestartSendsExactlyThis) {
  const test::TempDir dir;
  FakeDaemon daemon(dir.Path("rpc.sock"), [](const AmpFrame& request) {
    return Reply(AsksFor(request, "methods") ? kMethodsReply : R"({"args":[[]]})", request[1]);
  });
  auto client = Connect(dir);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->Restart(5, kSecond).ok());
  EXPECT_EQ(daemon.received(), EncodeRequest(MethodsJson(), 1) + EncodeRequest(RestartJson(5), 2));
  EXPECT_EQ((*client)->Restart(-1, kSecond).code(), absl::StatusCode::kInvalidArgument);
}

TEST(RpcTest, StrangersAnswersAndLateOnesAreDropped) {
  const test::TempDir dir;
  FakeDaemon daemon(dir.Path("rpc.sock"), [](const AmpFrame& request) -> std::string {
    if (AsksFor(request, "methods")) return Reply(kMethodsReply, request[1]);
    const AmpArgument other{AmpArgument::Kind::kJson, "999"};
    const AmpArgument first{AmpArgument::Kind::kJson, "2"};
    if (request[1].data == "2") return "";  // too late, below
    return Reply(R"({"args":["stranger"]})", other) + Reply(R"({"args":["late"]})", first) +
           Reply(R"({"args":["right"]})", request[1]) + Reply(R"({"args":["twice"]})", request[1]);
  });
  auto client = Connect(dir);
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->Version(50 * kMillisecond).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ((*client)->Version().value(), "right");
  EXPECT_EQ((*client)->Version().value(), "right");
}

TEST(RpcTest, NeverAnsweredAndCutOff) {
  const test::TempDir dir;
  FakeDaemon mute(dir.Path("rpc.sock"), nullptr);
  EXPECT_EQ(Connect(dir, 50 * kMillisecond).status().code(), absl::StatusCode::kDeadlineExceeded);
  const test::TempDir other;
  FakeDaemon cut(other.Path("rpc.sock"), nullptr, std::string("\x12\x00\x00\x00\x50j:{", 8), true);
  EXPECT_EQ(Connect(other).status().code(), absl::StatusCode::kUnavailable);
}

TEST(RpcTest, HostileBytesCloseTheConnection) {
  for (const std::string& greeting :
       {std::string("HTTP/1.1 200 OK\r\n"), std::string("\x12\xff\xff\xff\xff", 5), std::string("\x10", 1),
        std::string("\x22", 1)}) {
    const test::TempDir dir;
    FakeDaemon daemon(dir.Path("rpc.sock"), nullptr, greeting);
    const auto client = Connect(dir);
    EXPECT_FALSE(client.ok());
    EXPECT_NE(client.status().code(), absl::StatusCode::kDeadlineExceeded) << client.status();
  }
}

TEST(BusTest, TakesEventsSkipsLogsAndNeverWrites) {
  const test::TempDir dir;
  std::string bytes;
  const auto add = [&](std::string topic, std::string body) {
    bytes += '\x12';
    for (const std::string& part : {"s:" + topic, "j:" + body}) {
      for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(part.size() >> shift));
      bytes += part;
    }
  };
  add("log:out", "{\"data\":\"" + std::string(300'000, 'x') + "\"}");
  add("log:PM2", R"({"data":"App [web:0] exited with code [0] via signal [SIGKILL]\n"})");
  add("process:event", R"({"event":"exit","process":{"name":"web","pm_id":0,"status":"stopped"}})");
  add("process:event", "not json");
  add("process:event", R"({"event":"exit","process":{"pm_id":"_old_0"}})");
  add("pm2:kill", R"({"status":"killed"})");
  FakeDaemon daemon(dir.Path("pub.sock"), nullptr, bytes);
  auto bus = Pm2Bus::Connect(dir.path(), getuid(), kSecond, RealClock());
  ASSERT_TRUE(bus.ok()) << bus.status();
  std::vector<BusMessage> messages;
  ASSERT_TRUE(test::WaitFor([&] {
    const absl::Status read = (*bus)->Read(RealClock().Monotonic() + 10 * kMillisecond,
                                           [&](BusMessage&& m) { messages.push_back(std::move(m)); });
    EXPECT_TRUE(read.ok() || absl::IsDeadlineExceeded(read)) << read;
    return messages.size() >= 3;
  }));
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(std::get<ExitLine>(messages[0]).signal, "SIGKILL");
  EXPECT_EQ(std::get<v1::Pm2Event>(messages[1]).app(), "web");
  EXPECT_TRUE(std::holds_alternative<DaemonKilled>(messages[2]));
  EXPECT_EQ((*bus)->malformed(), 1u);
  EXPECT_EQ(daemon.received(), "");
}

TEST(BusTest, LeavesABusItCannotKeepUpWith) {
  const test::TempDir dir;
  std::string bytes("\x12\x00\x00\x00\x09s:log:out\x7f\xff\xff\xff", 18);
  bytes.resize(2'000'000, 'x');
  FakeDaemon daemon(dir.Path("pub.sock"), nullptr, bytes);
  auto bus = Pm2Bus::Connect(dir.path(), getuid(), kSecond, RealClock(), /*behind=*/1);
  ASSERT_TRUE(bus.ok()) << bus.status();
  absl::Status read;
  ASSERT_TRUE(test::WaitFor([&] {
    read = (*bus)->Read(RealClock().Monotonic() + 10 * kMillisecond, [](BusMessage&&) {});
    return !read.ok();
  }));
  EXPECT_EQ(read.code(), absl::StatusCode::kResourceExhausted) << read;
}

}  // namespace
}  // namespace quell::pm2
