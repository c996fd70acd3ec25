// Webhooks to a real HTTP server on loopback.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/controller/receivers/receiver_fixture.h"
#include "tests/support/files.h"
#include "tests/support/http_receiver.h"

namespace quell::receivers {
namespace {

using test::HttpReceiver;
using testing::HasSubstr;
using testing::Not;

constexpr Micros kDeadline = 20 * kSecond;

class WebhookTest : public testing::Test {
 protected:
  std::unique_ptr<ReceiverPlugin> Plugin() {
    return Make("{type: webhook, url: \"" + server.Url("/hook") + "\"}");
  }
  Delivery Send(const v1::Notice& notice = DeclaredNotice()) {
    return Plugin()->Send(notice, kInstallation, kDeadline);
  }
  HttpReceiver server;
  test::TempDir directory;
};

TEST_F(WebhookTest, TheBodyIsAlertmanagersWithOurIncident) {
  v1::Notice notice = DeclaredNotice();
  v1::Signal* second = notice.add_signals();
  *second = notice.signals(0);
  second->mutable_labels(1)->set_value("web-2");
  second->set_state(v1::CLEARED);
  second->set_cleared_us(1'795'000'060 * kSecond);
  EXPECT_TRUE(Send(notice).sent);
  ASSERT_TRUE(server.WaitForRequests(1));
  const auto request = server.requests()[0];
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/hook");
  EXPECT_EQ(request.headers.at("content-type"), "application/json");
  EXPECT_EQ(request.headers.at("idempotency-key"), "INC-20261123-031207/oncall/declared");
  const auto body = nlohmann::json::parse(request.body);
  EXPECT_EQ(body["version"], "4");
  EXPECT_EQ(body["status"], "firing");
  EXPECT_EQ(body["receiver"], "oncall");
  EXPECT_EQ(body["truncatedAlerts"], 0);
  EXPECT_EQ(body["groupLabels"]["incident"], "INC-20261123-031207");
  EXPECT_EQ(body["commonLabels"], nlohmann::json({{"alertname", "AppHung"}, {"app", "portal"}}));
  ASSERT_EQ(body["alerts"].size(), 2u);
  EXPECT_EQ(body["alerts"][0]["labels"]["instance"], "web-1");
  EXPECT_EQ(body["alerts"][0]["fingerprint"], "00112233445566aa");
  EXPECT_EQ(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
  EXPECT_EQ(body["alerts"][1]["status"], "resolved");
  EXPECT_THAT(body["alerts"][1]["endsAt"], HasSubstr("2026-11-18T11:07:40"));
  EXPECT_EQ(body["quell"]["key"], "INC-20261123-031207/oncall/declared");
  EXPECT_EQ(body["quell"]["severity"], "P1");
  EXPECT_EQ(body["quell"]["may_repeat"], false);
}

TEST_F(WebhookTest, AServerErrorIsTriedAgain) {
  server.AnswerStatus(500);
  const Delivery delivery = Send();
  EXPECT_FALSE(delivery.sent);
  EXPECT_FALSE(delivery.permanent);
  EXPECT_FALSE(delivery.ambiguous);
  EXPECT_EQ(delivery.retry_after, 0);
  EXPECT_THAT(delivery.error, HasSubstr("500"));
}

TEST_F(WebhookTest, TooManyRequestsSaysWhen) {
  server.set_answer({.status = 429, .headers = {{"Retry-After", "17"}}});
  const Delivery delivery = Send();
  EXPECT_FALSE(delivery.permanent);
  EXPECT_EQ(delivery.retry_after, 17 * kSecond);
}

TEST_F(WebhookTest, AnAbsurdRetryAfterIsCut) {
  server.set_answer({.status = 503, .headers = {{"Retry-After", "99999999999"}}});
  EXPECT_EQ(Send().retry_after, kHour);
}

TEST_F(WebhookTest, ARequestThatIsWrongIsNotTriedAgain) {
  server.AnswerStatus(400);
  EXPECT_TRUE(Send().permanent);
}

TEST_F(WebhookTest, ARedirectIsNotFollowed) {
  HttpReceiver other;
  server.set_answer({.status = 307, .headers = {{"Location", other.Url("/elsewhere")}}});
  const Delivery delivery = Send();
  EXPECT_FALSE(delivery.sent);
  EXPECT_TRUE(delivery.permanent);
  EXPECT_THAT(delivery.error, HasSubstr("redirects are not followed"));
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(WebhookTest, ALostAnswerIsAmbiguousAndTheRepeatBearsTheSameKeyAndAMark) {
  v1::Notice notice = DeclaredNotice();
  auto plugin = Plugin();
  server.Hang();
  EXPECT_TRUE(plugin->Send(notice, kInstallation, 500 * kMillisecond).ambiguous);
  server.Close();
  EXPECT_TRUE(plugin->Send(notice, kInstallation, kDeadline).ambiguous);
  server.AnswerStatus(200);
  notice.set_may_repeat(true);
  EXPECT_TRUE(plugin->Send(notice, kInstallation, kDeadline).sent);
  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].headers.at("idempotency-key"), requests[2].headers.at("idempotency-key"));
  EXPECT_EQ(nlohmann::json::parse(requests[2].body)["quell"]["may_repeat"], true);
}

TEST_F(WebhookTest, AnUnreachableServerIsNeitherPermanentNorAmbiguous) {
  auto plugin = Plugin();
  server.Stop();
  const Delivery delivery = plugin->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_FALSE(delivery.sent || delivery.permanent || delivery.ambiguous);
}

TEST_F(WebhookTest, AnEndlessAnswerIsCutButItsStatusCounts) {
  server.set_answer({.status = 200, .body = std::string(2 << 20, 'x')});
  EXPECT_TRUE(Send().sent);
  server.set_answer({.status = 400, .body = std::string(2 << 20, 'x')});
  EXPECT_LT(Send().error.size(), 600u);
}

TEST_F(WebhookTest, X06_HostileTextStaysInItsPlace) {
  v1::Notice notice = DeclaredNotice();
  notice.set_key("k\r\nX-Forged: 1\xff%");
  notice.set_subject("\"},\"version\":\"5\xff\x1b[31m");
  notice.mutable_signals(0)->mutable_labels(0)->set_value(std::string("a\0\"\n<!channel>", 14));
  ASSERT_TRUE(Send(notice).sent);
  const auto request = server.requests()[0];
  EXPECT_EQ(request.headers.count("x-forged"), 0u);
  EXPECT_EQ(request.headers.at("idempotency-key"), "k%0D%0AX-Forged:%201%FF%25");
  const auto body = nlohmann::json::parse(request.body);
  EXPECT_EQ(body["version"], "4");
  EXPECT_EQ(body["quell"]["subject"], "\"},\"version\":\"5\xef\xbf\xbd\x1b[31m");
  EXPECT_EQ(body["alerts"][0]["labels"]["app"], std::string("a\0\"\n<!channel>", 14));
}

TEST_F(WebhookTest, X06_AServersAnswerCannotForgeALogLine) {
  server.set_answer({.status = 400, .body = "no\n2026-11-23 everything is fine\x1b[2J"});
  const std::string error = Send().error;
  EXPECT_EQ(error.find('\n'), std::string::npos);
  EXPECT_EQ(error.find('\x1b'), std::string::npos);
}

TEST_F(WebhookTest, UrlAndTokenComeFromFilesAndAreNotRepeated) {
  const std::string url = directory.Write("url", server.Url("/t0ps3cret") + "\n", 0600);
  const std::string token = directory.Write("token", "b34rer\n", 0600);
  auto plugin = Make("{type: webhook, url_file: " + url + ", token_file: " + token + "}");
  EXPECT_TRUE(plugin->Send(DeclaredNotice(), kInstallation, kDeadline).sent);
  EXPECT_EQ(server.requests()[0].path, "/t0ps3cret");
  EXPECT_EQ(server.requests()[0].headers.at("authorization"), "Bearer b34rer");
  server.Stop();
  const std::string error = plugin->Send(DeclaredNotice(), kInstallation, kDeadline).error;
  EXPECT_THAT(error,
              testing::AllOf(Not(HasSubstr("t0ps3cret")), Not(HasSubstr("b34rer")), Not(testing::IsEmpty())));
}

TEST_F(WebhookTest, TheEnvironmentsProxyIsNotUsed) {
  HttpReceiver proxy;
  setenv("http_proxy", proxy.Url().c_str(), 1);
  setenv("ALL_PROXY", proxy.Url().c_str(), 1);
  EXPECT_TRUE(Send().sent);
  unsetenv("http_proxy");
  unsetenv("ALL_PROXY");
  EXPECT_TRUE(proxy.requests().empty());
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(WebhookConfig, OnlyHttpsUnlessSaidOrLoopback) {
  std::string mistakes;
  for (const char* good :
       {"url: \"https://hooks.example/x\"", "url: \"http://127.0.0.1:9/x\"", "url: \"http://localhost:9\"",
        "url: \"http://hooks.example/x\", insecure: true"}) {
    EXPECT_NE(Make(std::string("{type: webhook, ") + good + "}", &mistakes), nullptr) << good << mistakes;
  }
  for (const char* bad : {"url: \"http://hooks.example/x\"", "url: \"http://127.0.0.1.evil.example/\"",
                          "url: \"http://127.evil.a.b/\"", "url: \"file:///etc/passwd\"",
                          "url: \"gopher://127.0.0.1/\"", "url: \"https://u:p@hooks.example/\"",
                          "url: \"/x\"", "wakes: true", "url: \"https://a\", url_file: /x"}) {
    EXPECT_EQ(Make(std::string("{type: webhook, ") + bad + "}", &mistakes), nullptr) << bad;
    EXPECT_THAT(mistakes, HasSubstr("controller.yaml:1:")) << bad;
  }
}

}  // namespace
}  // namespace quell::receivers
