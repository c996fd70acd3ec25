#include "agent/collectors/probe/probe.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>

#include "agent/collectors/probe/probe_collector.h"
#include "common/metrics/metrics.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/support/http_receiver.h"
#include "tests/support/loopback_server.h"

namespace quell::agent {
namespace {

using test::HttpReceiver;
using test::RecordingSink;
using testing::HasSubstr;

ProbeConfig Probe(const std::string& url) {
  return {.name = "health", .user = "deploy", .app = "portal", .url = url, .timeout = 5 * kSecond};
}

TEST(ProbeTest, SucceedsWithPhases) {
  HttpReceiver server;
  ProbeConfig config = Probe(server.Url("/health"));
  config.body = "ok";
  const ProbeResult result = RunProbe(config);
  EXPECT_TRUE(result.success) << result.reason;
  EXPECT_EQ(result.status, 200);
  EXPECT_GT(result.duration, 0);
  EXPECT_GT(result.processing, 0);
  EXPECT_LE(result.resolve + result.connect + result.processing + result.transfer, result.duration + 1e-3);
  ASSERT_TRUE(server.WaitForRequests(1));
  EXPECT_EQ(server.requests()[0].path, "/health");
}

TEST(ProbeTest, WrongStatusAndWrongBody) {
  HttpReceiver server;
  server.AnswerStatus(503);
  ProbeResult result = RunProbe(Probe(server.Url()));
  EXPECT_FALSE(result.success);
  EXPECT_EQ(result.status, 503);
  EXPECT_THAT(result.reason, HasSubstr("503"));

  ProbeConfig wants_503 = Probe(server.Url());
  wants_503.status = 503;
  EXPECT_TRUE(RunProbe(wants_503).success);

  server.set_answer({.body = "all is lost"});
  ProbeConfig wants_text = Probe(server.Url());
  wants_text.body = "all is well";
  result = RunProbe(wants_text);
  EXPECT_FALSE(result.success);
  EXPECT_TRUE(result.body_mismatch);
}

TEST(ProbeTest, NoAnswerInTime) {
  HttpReceiver server;
  server.Hang();
  ProbeConfig config = Probe(server.Url());
  config.timeout = 150 * kMillisecond;
  const ProbeResult result = RunProbe(config);
  EXPECT_FALSE(result.success);
  EXPECT_EQ(result.status, 0);
  EXPECT_GE(result.duration, 0.14);
  EXPECT_LT(result.duration, 5);
  server.Close();
  EXPECT_FALSE(RunProbe(Probe(server.Url())).success);
  server.Stop();
  EXPECT_FALSE(RunProbe(Probe(server.Url())).success);
}

TEST(ProbeTest, RedirectsStayOnTheHost) {
  HttpReceiver server, other;
  other.set_answer({.body = "elsewhere"});
  server.set_answer(
      {.status = 302, .headers = {{"location", "http://localhost:" + std::to_string(other.port()) + "/"}}});
  ProbeResult result = RunProbe(Probe(server.Url()));
  EXPECT_FALSE(result.success);
  EXPECT_THAT(result.reason, HasSubstr("another host"));
  EXPECT_TRUE(other.requests().empty());

  server.set_answer({.status = 302, .headers = {{"location", "file:///etc/passwd"}}});
  result = RunProbe(Probe(server.Url()));
  EXPECT_FALSE(result.success);
  server.set_answer({.status = 302, .headers = {{"location", "/again"}}});
  EXPECT_THAT(RunProbe(Probe(server.Url())).reason, HasSubstr("too often"));
  // The same host, another port.
  server.set_answer({.status = 307, .headers = {{"location", other.Url("/there")}}});
  result = RunProbe(Probe(server.Url()));
  EXPECT_TRUE(result.success) << result.reason;
  EXPECT_EQ(other.requests().size(), 1u);
  // An expected redirect is the answer itself.
  ProbeConfig config = Probe(server.Url());
  config.status = 307;
  EXPECT_TRUE(RunProbe(config).success);
  EXPECT_EQ(other.requests().size(), 1u);
}

TEST(ProbeTest, AnEndlessBodyIsCutOff) {
  std::string body(3 << 20, 'x');
  body += "needle";
  HttpReceiver server;
  server.set_answer({.body = body});
  EXPECT_TRUE(RunProbe(Probe(server.Url())).success);
  ProbeConfig config = Probe(server.Url());
  config.body = "needle";
  EXPECT_TRUE(RunProbe(config).body_mismatch);
}

TEST(ProbeTest, NoProxyFromTheEnvironment) {
  HttpReceiver server, proxy;
  setenv("http_proxy", proxy.Url().c_str(), 1);
  setenv("ALL_PROXY", proxy.Url().c_str(), 1);
  EXPECT_TRUE(RunProbe(Probe(server.Url())).success);
  unsetenv("http_proxy");
  unsetenv("ALL_PROXY");
  EXPECT_TRUE(proxy.requests().empty());
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(ProbeTest, ForbiddenAddressesAreNotConnectedTo) {
  for (const char* url :
       {"http://169.254.169.254/latest/meta-data/", "http://[fe80::1]/", "http://0.0.0.0/",
        "http://[::ffff:169.254.169.254]/", "http://100.100.100.200/", "http://224.0.0.1/"}) {
    const ProbeResult result = RunProbe(Probe(url));
    EXPECT_FALSE(result.success) << url;
    EXPECT_THAT(result.reason, HasSubstr("link-local")) << url;
  }
  EXPECT_FALSE(RunProbe(Probe("file:///etc/passwd")).success);
}

bool Forbidden(const char* text) {
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) return IsForbiddenAddress(&v4);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
  return IsForbiddenAddress(&v6);
}

TEST(ProbeTest, WhichAddressesAreForbidden) {
  for (const char* bad :
       {"169.254.0.1", "169.254.169.254", "100.100.100.200", "192.0.0.192", "0.0.0.0", "0.1.2.3", "224.0.0.1",
        "255.255.255.255", "fe80::1", "febf::1", "::", "ff02::1", "fd00:ec2::254", "::ffff:169.254.169.254"})
    EXPECT_TRUE(Forbidden(bad)) << bad;
  for (const char* good : {"127.0.0.1", "10.0.0.1", "169.253.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1",
                           "2001:db8::1", "::ffff:10.0.0.1"})
    EXPECT_FALSE(Forbidden(good)) << good;
}

TEST(ProbeCollectorTest, SeriesAndEdges) {
  HttpReceiver server;
  RecordingSink sink;
  const auto collector = MakeProbeCollector(Probe(server.Url()));
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  EXPECT_TRUE(sink.Events().empty());
  auto values = sink.Values("probe");
  EXPECT_EQ(values.at(R"(probe_success{app="portal", probe="health", user="deploy"})"), 1);
  EXPECT_EQ(values.at(R"(probe_http_status_code{app="portal", probe="health", user="deploy"})"), 200);
  EXPECT_EQ(
      values.count(
          R"(probe_http_duration_seconds{app="portal", phase="connect", probe="health", user="deploy"})"),
      1u);
  for (const Series& series : *sink.Latest("probe").series)
    EXPECT_NE(FindMetric(series.name), nullptr) << series.name;

  server.AnswerStatus(500);
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  ASSERT_EQ(sink.Events().size(), 1u);
  const v1::Event edge = sink.Events()[0];
  EXPECT_EQ(edge.kind(), "probe.edge");
  EXPECT_THAT(edge.text(), HasSubstr("500"));
  EXPECT_EQ(edge.samples(0).series().name(), "probe_success");
  EXPECT_EQ(edge.samples(0).value(), 0);
  EXPECT_EQ(edge.samples(0).job(), "probe");
  EXPECT_EQ(sink.Values("probe").at(R"(probe_success{app="portal", probe="health", user="deploy"})"), 0);
  server.AnswerStatus(200);
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  EXPECT_EQ(sink.Events().size(), 2u);
}

TEST(ProbeCollectorTest, FailingFromTheStartIsAnEdge) {
  HttpReceiver server;
  server.AnswerStatus(500);
  RecordingSink sink;
  const auto collector = MakeProbeCollector(Probe(server.Url()));
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  EXPECT_EQ(sink.Events().size(), 1u);
}

}  // namespace
}  // namespace quell::agent
