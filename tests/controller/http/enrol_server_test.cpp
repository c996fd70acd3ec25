// The enrolment port, asked by real clients over real TLS: its form, and its bounds.
#include "controller/http/enrol_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <httplib.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/security/join_token.h"
#include "tests/common/security/test_pki.h"

namespace quell::http {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

// Takes down what it is asked.
class Desk final : public EnrolDesk {
 public:
  std::string TrustBundle() override { return std::string("bundle\0bytes", 12); }
  std::string Challenge() override { return "challenge"; }
  absl::StatusOr<Issued> Enrol(const security::Secret& token, const std::string& key,
                               const std::string& wish) override {
    ++asked;
    secret = token.Reveal(), public_key = key, name = wish;
    return answer;
  }
  absl::StatusOr<Issued> Recover(const std::string& id, const std::string& key, const std::string& challenge,
                                 const std::string& signature) override {
    ++asked;
    recovered = id + "/" + key + "/" + challenge + "/" + signature;
    return answer;
  }

  absl::StatusOr<Issued> answer = Issued{"id", "web-1", "PEM"};
  std::atomic<int> asked{0};
  std::string secret, public_key, name, recovered;
};

class EnrolServerTest : public testing::Test {
 protected:
  void SetUp() override {
    const testing_support::TestLeaf leaf = pki_.Controller();
    auto started = EnrolServer::Start({"127.0.0.1:0", security::Secret(leaf.key_pem), leaf.certificate_pem},
                                      desk_, metrics_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  std::unique_ptr<httplib::SSLClient> Client() {
    auto client = std::make_unique<httplib::SSLClient>("127.0.0.1", server_->port());
    client->enable_server_certificate_verification(false);
    client->set_read_timeout(20);
    return client;
  }
  httplib::Result Post(const std::string& path, const std::string& body,
                       const std::string& type = "application/json", const httplib::Headers& headers = {}) {
    return Client()->Post(path, headers, body, type);
  }
  UniqueFd Connect() {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(server_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    return fd;
  }
  // Whether the server ends the connection within the time.
  static bool Ended(int fd, int milliseconds) {
    pollfd p{fd, POLLIN, 0};
    char byte = 0;
    return poll(&p, 1, milliseconds) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
  }
  std::string Token() { return security::EncodeTokenSecret(security::Secret(std::string(32, 's'))); }

  const testing_support::TestPki pki_{RealClock().Wall()};
  Desk desk_;
  Metrics metrics_;
  std::unique_ptr<EnrolServer> server_;
};

TEST_F(EnrolServerTest, GivesTheBundleAndAChallengeToAnybody) {
  const auto trust = Client()->Get("/v1/trust");
  ASSERT_TRUE(trust);
  EXPECT_EQ(trust->body, std::string("bundle\0bytes", 12));
  const auto challenge = Client()->Get("/v1/challenge");
  ASSERT_TRUE(challenge);
  EXPECT_EQ(Json::parse(challenge->body)["challenge"], absl::Base64Escape("challenge"));
}

TEST_F(EnrolServerTest, HandsWhatWasSentToTheDesk) {
  const Json body = {{"token", Token()}, {"public_key", absl::Base64Escape("key")}, {"host", "web-1"}};
  const auto answer = Post("/v1/enrol", body.dump());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(Json::parse(answer->body), (Json{{"id", "id"}, {"name", "web-1"}, {"certificate", "PEM"}}));
  EXPECT_EQ(desk_.secret, std::string(32, 's'));
  EXPECT_EQ(desk_.public_key, "key");
  EXPECT_EQ(desk_.name, "web-1");
  const std::string id = RandomUuid();
  const Json recover = {{"id", id},
                        {"public_key", absl::Base64Escape("k")},
                        {"challenge", absl::Base64Escape("c")},
                        {"signature", absl::Base64Escape("s")}};
  ASSERT_EQ(Post("/v1/recover", recover.dump())->status, 200);
  EXPECT_EQ(desk_.recovered, id + "/k/c/s");
}

TEST_F(EnrolServerTest, ARefusalTellsItsReason) {
  const Json body = {{"token", Token()}, {"public_key", "a2V5"}};
  const std::pair<absl::Status, int> cases[] = {{absl::PermissionDeniedError("used"), 403},
                                                {absl::InvalidArgumentError("bad key \xff"), 400},
                                                {absl::DeadlineExceededError("late"), 503}};
  for (const auto& [status, code] : cases) {
    desk_.answer = status;
    const auto answer = Post("/v1/enrol", body.dump());
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, code);
    EXPECT_THAT(Json::parse(answer->body)["error"].get<std::string>(),
                HasSubstr(std::string(status.message()).substr(0, 3)));
  }
}

TEST_F(EnrolServerTest, X01_WhatIsMisshapenNeverReachesTheDesk) {
  const std::string deep(8000, '[');
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("{\"token\":1}"),
        std::string("{\"token\":{\"a\":\"b\"}}"), deep, std::string("{\"token\":\"") + Token() + "\"}",
        std::string("{\"token\":\"x\",\"public_key\":\"a2V5\"}"),
        std::string("{\"token\":\"") + Token() + "\",\"public_key\":\"!\"}",
        std::string("{\"token\":\"") + Token() + "\",\"public_key\":\"a2V5\",\"host\":\"$(id)\"}"}) {
    const auto answer = Post("/v1/enrol", body);
    ASSERT_TRUE(answer) << body.substr(0, 40);
    EXPECT_EQ(answer->status, 400) << body.substr(0, 40);
  }
  EXPECT_EQ(Post("/v1/recover", "{\"id\":\"../x\"}")->status, 400);
  const std::string good = Json{{"token", Token()}, {"public_key", "a2V5"}}.dump();
  EXPECT_EQ(Post("/v1/enrol", good, "text/plain")->status, 400);
  EXPECT_EQ(Post("/v1/enrol", good, "application/json", {{"Content-Encoding", "gzip"}})->status, 400);
  EXPECT_EQ(Post("/v1/enrolment", good)->status, 404);
  EXPECT_EQ(Client()->Get("/v1/enrol")->status, 404);
  EXPECT_EQ(Client()->Get("/../../etc/passwd")->status, 404);
  EXPECT_EQ(Client()->Delete("/v1/trust")->status, 404);
  EXPECT_EQ(desk_.asked, 0);
}

TEST_F(EnrolServerTest, X01_TooMuchIsNotRead) {
  const auto answer = Post("/v1/enrol", std::string(1 << 20, 'x'));
  EXPECT_TRUE(!answer || answer->status == 413);
  EXPECT_EQ(desk_.asked, 0);
}

// What speaks TLS 1.2 at most, or none, gets nothing.
TEST_F(EnrolServerTest, X02_TlsOfTodayAlone) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> old(SSL_CTX_new(TLS_client_method()),
                                                              &SSL_CTX_free);
  SSL_CTX_set_max_proto_version(old.get(), TLS1_2_VERSION);
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(old.get()), &SSL_free);
  const UniqueFd fd = Connect();
  SSL_set_fd(ssl.get(), fd.get());
  EXPECT_NE(SSL_connect(ssl.get()), 1);
  httplib::Client plain("127.0.0.1", server_->port());
  EXPECT_FALSE(plain.Get("/v1/trust"));
}

TEST_F(EnrolServerTest, X01_AConnectionThatSaysNothingEndsByItself) {
  const Micros begun = RealClock().Monotonic();
  const UniqueFd fd = Connect();
  EXPECT_TRUE(Ended(fd.get(), 20'000));
  EXPECT_GE(RealClock().Monotonic() - begun, 4 * kSecond);
}

TEST_F(EnrolServerTest, X01_OneAddressHasAShareAndNoMore) {
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 4; ++i) silent.push_back(Connect());
  // The accepting thread takes them in order: the fifth is over the share.
  const UniqueFd over = Connect();
  EXPECT_TRUE(Ended(over.get(), 3'000));
  EXPECT_FALSE(Ended(silent[0].get(), 0));
  EXPECT_THAT(metrics_.Render(), HasSubstr("quell_enrol_closed_total 1"));
  silent.clear();
  const Micros until = RealClock().Monotonic() + 20 * kSecond;
  bool served = false;
  while (!served && RealClock().Monotonic() < until) {
    served = static_cast<bool>(Client()->Get("/v1/trust"));
  }
  EXPECT_TRUE(served) << "what they held is given back";
}

}  // namespace
}  // namespace quell::http
