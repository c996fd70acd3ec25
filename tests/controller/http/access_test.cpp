// Every route of the web port by every credential: what is read is open to whoever reaches the port, and
// every write needs a credential of its own, on loopback too.
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/clock.h"
#include "controller/http/server.h"

// After the generated headers, whose names its own includes would replace.
#include <httplib.h>

namespace quell::http {
namespace {

class AccessTest : public testing::Test {
 protected:
  void SetUp() override {
    std::vector<ChangeSource> sources(2);
    sources[0] = {"ci", config::Secret("ci-token-0123456789"), true, {}, 1'000};
    sources[1] = {"prometheus", config::Secret("prometheus-token-0123456789"), false, {}, 1'000};
    changes_ = std::make_unique<ChangeReceiver>(
        ChangeReceiver::Parts{.submit =
                                  [this](v1::PersonAct, absl::Duration) {
                                    ++acts_;
                                    return engine::Answer{"", 0, "done", "change", "CH-1"};
                                  },
                              .now = [] { return Micros{0}; },
                              .clock = RealClock(),
                              .metrics = metrics_},
        sources);
    auto started =
        HttpServer::Start({"127.0.0.1:0", {}}, metrics_, *changes_, [] { return absl::OkStatus(); });
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = std::move(*started);
  }
  int Status(const std::string& method, const std::string& path, const std::string& authorization) {
    httplib::Client client("127.0.0.1", server_->port());
    httplib::Request request;
    request.method = method;
    request.path = path;
    if (!authorization.empty()) request.headers.emplace("Authorization", authorization);
    if (method != "GET" && method != "HEAD") {
      request.headers.emplace("Content-Type", "application/json");
      request.body = R"({"change":"start","summary":"1.8.2","service":"portal"})";
    }
    const auto answer = client.send(request);
    return answer ? answer->status : 0;
  }

  std::atomic<int> acts_{0};
  Metrics metrics_;
  std::unique_ptr<ChangeReceiver> changes_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(AccessTest, X12_EveryRouteByEveryCredential) {
  const std::vector<std::string> nobodys = {"",
                                            "Bearer ",
                                            "Bearer wrong",
                                            "Bearer prometheus-token-0123456789",
                                            "Bearer ci-token-0123456789x",
                                            "Bearer ci-token-012345678",
                                            "bearer ci-token-0123456789",
                                            "Basic Y2k6Y2ktdG9rZW4tMDEyMzQ1Njc4OQ=="};
  std::vector<std::string> all = nobodys;
  all.push_back("Bearer ci-token-0123456789");
  for (const std::string& credential : all) {
    for (const char* path : {"/metrics", "/-/healthy", "/-/ready"}) {
      for (const char* method : {"GET", "HEAD"}) EXPECT_EQ(Status(method, path, credential), 200) << path;
      for (const char* method : {"POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
        EXPECT_EQ(Status(method, path, credential), 405) << method << " " << path;
    }
    for (const char* path : {"/", "/api", "/api/changes/", "/api/changes/1", "/API/CHANGES", "/api//changes",
                             "/debug/pprof", "/-/reload", "/api/v2/silences"}) {
      EXPECT_EQ(Status("GET", path, credential), 404) << path;
      EXPECT_NE(Status("POST", path, credential), 200) << path;
    }
    for (const char* method : {"GET", "PUT", "DELETE"})
      EXPECT_EQ(Status(method, "/api/changes", credential), 405) << method;
  }
  for (const std::string& credential : nobodys) {
    const int status = Status("POST", "/api/changes", credential);
    EXPECT_TRUE(status == 401 || status == 403) << status << " for " << credential;
  }
  EXPECT_EQ(acts_, 0);
  EXPECT_EQ(Status("POST", "/api/changes", all.back()), 201);
  EXPECT_EQ(acts_, 1);
}

}  // namespace
}  // namespace quell::http
