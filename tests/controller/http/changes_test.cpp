// POST /api/changes, asked by real clients over real sockets: what CI may tell, and what everybody else may
// not.
#include "controller/http/changes.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "controller/http/server.h"

// After the generated headers, whose names its own includes would replace.
#include <httplib.h>

namespace quell::http {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr char kToken[] = "ci-token-canary-0123456789";
constexpr char kStart[] = R"({"change":"start","summary":"1.8.2","service":"portal","for":"15m"})";
constexpr Micros kNow = 1'795'000'000 * kSecond;

class ChangesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<ChangeSource> sources(3);
    sources[0] = {"ci", config::Secret(kToken), true, {}, 30};
    sources[1] = {"prometheus", config::Secret("prometheus-token-0123456789"), false, {}, 30};
    sources[2] = {"narrow", config::Secret("narrow-token-0123456789"), true, {"portal"}, 30};
    changes = std::make_unique<ChangeReceiver>(
        ChangeReceiver::Parts{
            .submit = [this](v1::PersonAct act, absl::Duration) { return Submit(std::move(act)); },
            .now = [] { return kNow; },
            .clock = clock,
            .metrics = metrics},
        sources);
    auto started = HttpServer::Start({"127.0.0.1:0", {"quell.example"}}, metrics, *changes,
                                     [] { return absl::OkStatus(); });
    ASSERT_TRUE(started.ok()) << started.status();
    server = std::move(*started);
  }
  absl::StatusOr<engine::Answer> Submit(v1::PersonAct act) {
    absl::MutexLock lock(&mutex);
    acts.push_back(std::move(act));
    return answer;
  }
  std::vector<v1::PersonAct> Acts() {
    absl::MutexLock lock(&mutex);
    return acts;
  }
  httplib::Result Post(const std::string& body, httplib::Headers headers = {},
                       const std::string& token = kToken, const char* type = "application/json") {
    httplib::Client client("127.0.0.1", server->port());
    if (!token.empty()) headers.emplace("Authorization", "Bearer " + token);
    return client.Post("/api/changes", headers, body, type);
  }
  // What comes back for these bytes; gives up after 20 s.
  std::string Raw(const std::string& bytes, bool half_close = false) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(server->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) break;
      at += static_cast<size_t>(n);
    }
    if (half_close) shutdown(fd, SHUT_WR);
    std::string all;
    char buffer[4096];
    for (;;) {
      pollfd p{fd, POLLIN, 0};
      if (poll(&p, 1, 20'000) <= 0) {
        all += "<timeout>";
        break;
      }
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n <= 0) break;
      all.append(buffer, static_cast<size_t>(n));
    }
    close(fd);
    return all;
  }
  std::string Head(const std::string& more) {
    return absl::StrCat("POST /api/changes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ", kToken,
                        "\r\nContent-Type: application/json\r\n", more);
  }

  FakeClock clock;
  Metrics metrics;
  absl::Mutex mutex;
  std::vector<v1::PersonAct> acts ABSL_GUARDED_BY(mutex);
  absl::StatusOr<engine::Answer> answer = engine::Answer{"", 0, "CH-12 is under way", "change", "CH-12"};
  std::unique_ptr<ChangeReceiver> changes;
  std::unique_ptr<HttpServer> server;
};

TEST_F(ChangesTest, AStartIsTheActOfItsSource) {
  const auto got = Post(kStart);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->status, 201) << got->body;
  EXPECT_EQ(nlohmann::json::parse(got->body)["id"], "CH-12");
  ASSERT_EQ(Acts().size(), 1u);
  const v1::PersonAct act = Acts()[0];
  EXPECT_EQ(act.person(), "ci");
  EXPECT_EQ(act.via(), "source");
  EXPECT_EQ(act.change_start().summary(), "1.8.2");
  EXPECT_EQ(act.change_start().service(), "portal");
  EXPECT_EQ(act.change_start().until_us(), kNow + 15 * kMinute);
  EXPECT_EQ(
      Post(R"({"change":"start","summary":"1","service":"p"})", {}, kToken, "application/json; charset=utf-8")
          ->status,
      201);
  EXPECT_EQ(Acts()[1].change_start().until_us(), 0) << "the engine's own length";
}

TEST_F(ChangesTest, AFinishToo) {
  EXPECT_EQ(Post(R"({"change":"finish","service":"portal","failed":true})")->status, 200);
  EXPECT_EQ(Post(R"({"change":"finish","id":"CH-12"})")->status, 200);
  ASSERT_EQ(Acts().size(), 2u);
  EXPECT_TRUE(Acts()[0].change_finish().failed());
  EXPECT_EQ(Acts()[1].change_finish().change(), "CH-12");
}

TEST_F(ChangesTest, WhatTheEngineSaysIsTheAnswer) {
  for (const auto& [exit, status] : {std::pair(1u, 409), {3u, 404}, {4u, 403}}) {
    answer = engine::Answer{"", exit, "because", "", ""};
    const auto got = Post(kStart);
    EXPECT_EQ(got->status, status);
    EXPECT_EQ(nlohmann::json::parse(got->body)["error"], "because");
  }
  answer = absl::DeadlineExceededError("late");
  EXPECT_EQ(Post(kStart)->status, 504);
  answer = absl::ResourceExhaustedError("too many requests wait");
  EXPECT_EQ(Post(kStart)->status, 503);
}

TEST_F(ChangesTest, X01_NobodyWritesWithoutACredentialOnLoopbackEither) {
  EXPECT_EQ(Post(kStart, {}, "")->status, 401);
  EXPECT_EQ(Post(kStart, {}, "")->get_header_value("WWW-Authenticate"), "Bearer");
  const std::string token = kToken;
  for (const std::string& wrong :
       {std::string("x"), token + "x", token.substr(1), std::string(), token + " "}) {
    httplib::Client client("127.0.0.1", server->port());
    const auto got =
        client.Post("/api/changes", {{"Authorization", "Bearer " + wrong}}, kStart, "application/json");
    // The library trims a header's value: a space at its end is no other token.
    EXPECT_EQ(got->status, wrong == token + " " ? 201 : 401) << wrong;
  }
  for (const std::string& scheme : {"bearer " + token, "Basic " + token, token}) {
    httplib::Client client("127.0.0.1", server->port());
    EXPECT_EQ(client.Post("/api/changes", {{"Authorization", scheme}}, kStart, "application/json")->status,
              401);
  }
  EXPECT_EQ(Post(kStart, {{"Authorization", "Bearer other"}})->status, 401) << "two of them are none";
  EXPECT_EQ(Acts().size(), 1u);
  EXPECT_THAT(metrics.Render(), HasSubstr("quell_http_refused_writes_total"));
}

TEST_F(ChangesTest, ASourceWithoutTheRightIsRefused) {
  EXPECT_EQ(Post(kStart, {}, "prometheus-token-0123456789")->status, 403);
  EXPECT_EQ(Post(kStart, {}, "narrow-token-0123456789")->status, 201);
  EXPECT_EQ(
      Post(R"({"change":"start","summary":"x","service":"other"})", {}, "narrow-token-0123456789")->status,
      403);
  EXPECT_EQ(Post(R"({"change":"finish","service":"other"})", {}, "narrow-token-0123456789")->status, 403);
  EXPECT_EQ(Acts().size(), 1u);
}

TEST_F(ChangesTest, TokensAreTakenAnew) {
  changes->SetSources({{"ci", config::Secret("another-token-0123456789"), true, {}, 30}});
  EXPECT_EQ(Post(kStart)->status, 401);
  EXPECT_EQ(Post(kStart, {}, "another-token-0123456789")->status, 201);
}

TEST_F(ChangesTest, APageOfAnotherSiteWritesNothing) {
  EXPECT_EQ(Post(kStart, {{"Origin", "https://evil.example"}})->status, 403);
  EXPECT_EQ(Post(kStart, {{"Origin", "null"}})->status, 403);
  EXPECT_EQ(Post(kStart, {{"Origin", "https://quell.example.evil.example"}})->status, 403);
  EXPECT_EQ(Post(kStart, {{"Host", "rebound.example"}})->status, 403);
  for (const char* type : {"application/x-www-form-urlencoded", "text/plain",
                           "multipart/form-data; boundary=x", "application/json-patch"}) {
    EXPECT_EQ(Post(kStart, {}, kToken, type)->status, 415) << type;
  }
  EXPECT_THAT(Acts(), IsEmpty());
  EXPECT_EQ(Post(kStart, {{"Origin", "https://quell.example:7402"}})->status, 201);
}

TEST_F(ChangesTest, OnlyPostIsServed) {
  httplib::Client client("127.0.0.1", server->port());
  for (const auto& got : {client.Get("/api/changes"), client.Delete("/api/changes"),
                          client.Put("/api/changes", kStart, "application/json")}) {
    EXPECT_EQ(got->status, 405);
    EXPECT_EQ(got->get_header_value("Allow"), "POST");
  }
  EXPECT_EQ(client.Post("/api/changes/x", kStart, "application/json")->status, 405);
  EXPECT_THAT(Acts(), IsEmpty());
}

TEST_F(ChangesTest, EachMistakeOfABodyHasItsSentence) {
  const std::pair<std::string, std::string> bodies[] = {
      {"", "not JSON"},
      {"{", "not JSON"},
      {"[]", "one JSON object"},
      {"\"start\"", "one JSON object"},
      {"{\"change\":\"\xff\"}", "not JSON"},
      {R"({"change":"start","summary":"1"})", "\\\"service\\\" is missing"},
      {R"({"change":"start","service":"p"})", "\\\"summary\\\" is missing"},
      {R"({"change":"stop"})", "must be \\\"start\\\" or"},
      {R"({})", "must be \\\"start\\\" or"},
      {R"({"change":1})", "\\\"change\\\" must be a text"},
      {R"({"change":"start","summary":"1","service":["p"]})", "\\\"service\\\" must be a text"},
      {R"({"change":"start","summary":"1","service":"p","for":"soon"})", "must be a time"},
      {R"({"change":"start","summary":"1","service":"p","for":"-5m"})", "must be a time"},
      {R"({"change":"start","summary":"1","service":"p","for":"0s"})", "must be a time"},
      {R"({"change":"start","summary":"1","service":"p","forr":"5m"})", "a key that is none"},
      {R"({"change":"finish","failed":"yes"})", "true or false"},
      {R"({"change":"finish","id":")" + std::string(100, 'x') + "\"}", "no change's id"},
      {R"({"change":"finish","x":)" + std::string(20'000, '[') + std::string(20'000, ']') + "}",
       "too deeply"}};
  for (const auto& [body, sentence] : bodies) {
    clock.Advance(kMinute);
    const auto got = Post(body);
    ASSERT_TRUE(got) << body;
    EXPECT_EQ(got->status, 400) << body;
    EXPECT_THAT(got->body, HasSubstr(sentence)) << body.substr(0, 100);
  }
  EXPECT_THAT(Acts(), IsEmpty());
}

TEST_F(ChangesTest, X01_ABodyIsBoundedBeforeItIsRead) {
  EXPECT_EQ(Post(std::string(65'537, ' '))->status, 413);
  EXPECT_THAT(Raw(Head("Content-Length: 99999999999999999999\r\n\r\n")), HasSubstr(" 411 "));
  EXPECT_THAT(Raw(Head("Content-Length: -1\r\n\r\n")), HasSubstr(" 411 "));
  EXPECT_THAT(Raw(Head("Content-Length: 10000000000\r\n\r\n")), HasSubstr(" 413 "));
  EXPECT_THAT(Raw(Head("\r\n")), HasSubstr(" 411 "));
  EXPECT_THAT(Raw(Head("Content-Length: 2\r\nContent-Length: 70\r\n\r\n{}")), HasSubstr(" 411 "));
  EXPECT_THAT(Raw(Head("Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")), HasSubstr(" 411 "));
  EXPECT_THAT(Raw(Head("Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}")), HasSubstr(" 415 "));
  EXPECT_THAT(Raw(Head("Content-Length: 900\r\n\r\n{"), true), HasSubstr(" 400 ")) << "it never comes whole";
  EXPECT_THAT(Acts(), IsEmpty());
  EXPECT_EQ(Post(R"({"change":"start","summary":"1","service":"p"})" + std::string(60'000, ' '))->status,
            201);
}

TEST_F(ChangesTest, ABodyIsNeverTakenForTheNextRequest) {
  const std::string second = Head("Content-Length: 2\r\n\r\n{}");
  const std::string got =
      Raw(Head(absl::StrCat("Content-Length: ", sizeof kStart - 1, "\r\n\r\n", kStart)) + second);
  EXPECT_THAT(got, StartsWith("HTTP/1.1 201"));
  EXPECT_THAT(got, Not(HasSubstr(" 400 ")));
  EXPECT_EQ(Acts().size(), 1u);
}

TEST_F(ChangesTest, ARateIsPerSourceAndMinute) {
  for (int i = 0; i < 30; ++i) ASSERT_EQ(Post(kStart)->status, 201);
  EXPECT_EQ(Post(kStart)->status, 429);
  EXPECT_EQ(Post(kStart, {}, "narrow-token-0123456789")->status, 201) << "another's is not touched";
  clock.Advance(kMinute);
  EXPECT_EQ(Post(kStart)->status, 201);
}

TEST_F(ChangesTest, X17_NoTokenComesBack) {
  std::string all = metrics.Render();
  for (const std::string& token : {std::string(kToken), std::string("canary-wrong")}) {
    for (const char* body : {kStart, "{", ""}) all += Post(body, {}, token)->body;
  }
  for (const auto& act : Acts()) all += act.DebugString();
  EXPECT_THAT(all, Not(HasSubstr("canary")));
}

TEST_F(ChangesTest, X06_TextsArriveAsTheyAre) {
  const std::string hostile = "$(reboot)\n\xe2\x80\xae<!channel>";
  EXPECT_EQ(
      Post(nlohmann::json{{"change", "start"}, {"summary", hostile}, {"service", hostile}}.dump())->status,
      201);
  EXPECT_EQ(Acts()[0].change_start().summary(), hostile);
}

}  // namespace
}  // namespace quell::http
