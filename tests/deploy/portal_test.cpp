// The demo's application must fail in the ways that the demo shows.
#include <curl/curl.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/files.h"
#include "tests/support/pm2_daemon.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kName[] = "boutique-client-portal";

class PortalTest : public testing::Test {
 protected:
  void SetUp() override {
    port_ = std::to_string(FreePort());
    control_ = dir_.MakeDirectory("control");
    auto daemon = Pm2Daemon::Start(dir_.path(), {},
                                   {.environment = {{"PORTAL_PORT", port_}, {"PORTAL_CONTROL", control_}}});
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = std::move(*daemon);
    const auto started = daemon_->Command({"start", QUELL_SOURCE_DIR "/deploy/demo/ecosystem.config.cjs"});
    ASSERT_TRUE(started.ok()) << started.status();
    ASSERT_TRUE(WaitFor([this] { return Health() == "ok\n"; }));
  }

  // The health endpoint's text; "" when there is no answer within a quarter of a second.
  std::string Health() const {
    const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(), curl_easy_cleanup);
    const std::string url = "http://127.0.0.1:" + port_ + "/api/admin/health";
    std::string text;
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, 250L);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &text);
    curl_easy_setopt(
        curl.get(), CURLOPT_WRITEFUNCTION, +[](char* bytes, size_t size, size_t n, void* out) {
          static_cast<std::string*>(out)->append(bytes, size * n);
          return size * n;
        });
    return curl_easy_perform(curl.get()) == CURLE_OK ? text : "";
  }

  TempDir dir_;
  std::string port_;
  std::string control_;
  std::unique_ptr<Pm2Daemon> daemon_;
};

TEST_F(PortalTest, HangsWithAProcessThatIsOnlineAndARestartHelps) {
  const pid_t pid = daemon_->AppPid(kName);
  dir_.Write("control/hang", "");
  ASSERT_TRUE(WaitFor([this] { return Health().empty(); }));
  EXPECT_EQ(daemon_->AppStatus(kName), "online");
  EXPECT_EQ(daemon_->AppPid(kName), pid);
  EXPECT_EQ(Health(), "");
  ASSERT_TRUE(daemon_->Command({"restart", kName}).ok());
  EXPECT_TRUE(WaitFor([this] { return Health() == "ok\n"; }));
  EXPECT_NE(daemon_->AppPid(kName), pid);
}

TEST_F(PortalTest, CrashesAndIsHealedByPm2) {
  const pid_t pid = daemon_->AppPid(kName);
  dir_.Write("control/crash", "");
  ASSERT_TRUE(WaitFor([&] { return daemon_->AppRestarts(kName) == 1 && daemon_->AppPid(kName) > 0; }));
  EXPECT_NE(daemon_->AppPid(kName), pid);
  EXPECT_TRUE(WaitFor([this] { return Health() == "ok\n"; }));
  EXPECT_NE(ReadFile(daemon_->AppLog(kName, true)).find("client 4711"), std::string::npos);
}

}  // namespace
}  // namespace quell::test
