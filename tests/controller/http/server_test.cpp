// The web port, asked by a real client over a real socket.
#include "controller/http/server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "controller/http/bounded_server.h"

namespace quell::http {
namespace {

using testing::HasSubstr;

// Changes that nobody may tell of.
struct Nobody {
  explicit Nobody(Metrics& metrics)
      : changes({.submit = [](v1::PersonAct, absl::Duration) { return absl::InternalError("nobody asks"); },
                 .now = [] { return Micros{0}; },
                 .clock = RealClock(),
                 .metrics = metrics},
                {}) {}
  ChangeReceiver changes;
};

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = HttpServer::Start({"127.0.0.1:0", {"quell.example"}}, metrics, nobody.changes,
                                     [this] { return ready; });
    ASSERT_TRUE(started.ok()) << started.status();
    server = std::move(*started);
  }
  httplib::Result Get(const std::string& path, const std::string& host = "") {
    httplib::Client client("127.0.0.1", server->port());
    return host.empty() ? client.Get(path) : client.Get(path, httplib::Headers{{"Host", host}});
  }
  int Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(server->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return fd;
  }
  // All that the server sends until it closes; gives up after 20 s.
  std::string ReadAll(int fd) {
    std::string all;
    char buffer[4096];
    for (;;) {
      pollfd p{fd, POLLIN, 0};
      if (poll(&p, 1, 20'000) <= 0) return all + "<timeout>";
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) return all;
      all.append(buffer, static_cast<size_t>(n));
    }
  }

  Metrics metrics;
  Nobody nobody{metrics};
  absl::Status ready;
  std::unique_ptr<HttpServer> server;
};

TEST_F(ServerTest, MetricsAreServedAsPrometheusReadsThem) {
  metrics.AddCounter("quell_commits_total", "Commit groups.").Add(7);
  auto answer = Get("/metrics");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->get_header_value("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(answer->body, HasSubstr("quell_commits_total 7\n"));
}

TEST_F(ServerTest, HealthyAndReadyFollowTheController) {
  EXPECT_EQ(Get("/-/healthy")->status, 200);
  EXPECT_EQ(Get("/-/ready")->status, 200);
  ready = absl::UnavailableError("the log is being read");
  EXPECT_EQ(Get("/-/healthy")->status, 200);
  auto answer = Get("/-/ready");
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, HasSubstr("the log is being read"));
}

TEST_F(ServerTest, ARequestForAnotherHostIsRefused) {
  EXPECT_EQ(Get("/metrics", "rebound.example:7402")->status, 403);
  EXPECT_EQ(Get("/metrics", "quell.example")->status, 200);
  EXPECT_EQ(Get("/metrics", "QUELL.example:7402")->status, 200);
  EXPECT_EQ(Get("/metrics", "[::1]:7402")->status, 200);
  EXPECT_THAT(metrics.Render(), HasSubstr("quell_http_refused_host_total 1\n"));
}

TEST_F(ServerTest, TwoHostsInOneRequestAreRefused) {
  const int fd = Connect();
  const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n";
  ASSERT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  EXPECT_THAT(ReadAll(fd), HasSubstr(" 403 "));
  close(fd);
}

TEST_F(ServerTest, WritesAndUnknownPathsAreRefused) {
  httplib::Client client("127.0.0.1", server->port());
  EXPECT_EQ(client.Post("/metrics", "x=1", "application/x-www-form-urlencoded")->status, 405);
  EXPECT_EQ(client.Delete("/metrics")->status, 405);
  EXPECT_EQ(Get("/")->status, 404);
  EXPECT_EQ(Get("/../etc/passwd")->status, 404);
}

TEST_F(ServerTest, ABodyIsNeverTakenForTheNextRequest) {
  const int fd = Connect();
  const std::string request =
      "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 46\r\n\r\n"
      "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_GT(send(fd, request.data(), request.size(), 0), 0);
  const std::string all = ReadAll(fd);
  EXPECT_THAT(all, HasSubstr(" 405 "));
  EXPECT_THAT(all, testing::Not(HasSubstr("is healthy")));
  close(fd);
}

TEST_F(ServerTest, X07_EndlessHeadersEndTheirConnectionAndNoOther) {
  const int fd = Connect();
  std::string header = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 4000; ++i) header += "X-" + std::to_string(i) + ": aaaaaaaaaaaaaaaa\r\n";
  // The server stops reading at its bound; what it hasn't read makes the kernel reset the connection.
  send(fd, header.data(), header.size(), MSG_NOSIGNAL);
  EXPECT_THAT(ReadAll(fd), testing::Not(HasSubstr("<timeout>")));
  EXPECT_EQ(Get("/-/healthy")->status, 200);
  close(fd);
}

TEST_F(ServerTest, X07_SilentConnectionsHoldNobodyUpForLong) {
  std::vector<int> silent;
  for (int i = 0; i < 60; ++i) silent.push_back(Connect());
  // More than are answered and kept waiting: some were closed at once, the rest end at their time limit.
  const Micros until = RealClock().Monotonic() + 60 * kSecond;
  bool answered = false;
  while (!answered && RealClock().Monotonic() < until) {
    auto answer = Get("/-/healthy");
    answered = answer && answer->status == 200;
    if (!answered) poll(nullptr, 0, 20);
    // The silent ones give up here, as a client of an unanswering server would.
    if (!silent.empty()) close(silent.back()), silent.pop_back();
  }
  EXPECT_TRUE(answered);
  for (const int fd : silent) close(fd);
}

TEST_F(ServerTest, StopEndsWithAConnectionOpen) {
  const int fd = Connect();
  server->Stop();
  server->Stop();
  close(fd);
  EXPECT_FALSE(Get("/-/healthy"));
}

TEST(ServerStart, AnAddressInUseIsSaid) {
  Metrics metrics;
  Nobody nobody(metrics);
  auto first =
      HttpServer::Start({"127.0.0.1:0", {}}, metrics, nobody.changes, [] { return absl::OkStatus(); });
  ASSERT_TRUE(first.ok());
  auto second = HttpServer::Start({"127.0.0.1:" + std::to_string((*first)->port()), {}}, metrics,
                                  nobody.changes, [] { return absl::OkStatus(); });
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(second.status().message(), HasSubstr("in use"));
}

TEST(ServerStart, AddressesAreCheckedBeforeUse) {
  EXPECT_EQ(ParseHostPort("[::1]:7402")->host, "::1");
  EXPECT_EQ(ParseHostPort("localhost:0")->port, 0);
  for (const char* bad : {"", "localhost", ":7402", "h:", "h:65536", "h:-1", "h:7a", "h: 7"}) {
    EXPECT_FALSE(ParseHostPort(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace quell::http
