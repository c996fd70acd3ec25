#include "common/base/supervisor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "common/base/file.h"

namespace quell {
namespace {

// A service manager's end, at an abstract name of this process's.
class Manager {
 public:
  Manager() : name_("@quell-supervisor-test-" + std::to_string(getpid())) {
    fd_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path, name_.size());
    address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  }
  ~Manager() { unsetenv("NOTIFY_SOCKET"); }
  // What was told since the last call; a datagram is there as soon as it was sent.
  std::string Heard() {
    std::string all;
    char text[256];
    for (ssize_t n; (n = recv(fd_.get(), text, sizeof text, 0)) >= 0;)
      all += std::string(text, static_cast<size_t>(n)) + ";";
    return all;
  }

 private:
  const std::string name_;
  UniqueFd fd_;
};

TEST(Supervisor, HearsWhatItIsTold) {
  Manager manager;
  EXPECT_TRUE(TellSupervisor("READY=1"));
  EXPECT_EQ(manager.Heard(), "READY=1;");
}

TEST(Supervisor, WithoutOneNothingHappens) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_FALSE(TellSupervisor("READY=1"));
  setenv("NOTIFY_SOCKET", "/nowhere/notify", 1);
  EXPECT_FALSE(TellSupervisor("READY=1"));
  setenv("NOTIFY_SOCKET", ("/" + std::string(200, 'x')).c_str(), 1);
  EXPECT_FALSE(TellSupervisor("READY=1"));
  unsetenv("NOTIFY_SOCKET");
}

TEST(Watchdog, IsFedOnlyWhenEveryLoopHasComeRound) {
  Manager manager;
  FakeClock clock;
  Watchdog watchdog(clock, 2, 8 * kSecond);
  for (int i = 0; i < 100; ++i) {
    watchdog.Completed(0);
    clock.Advance(kSecond);
  }
  EXPECT_EQ(manager.Heard(), "");  // the other one hangs
  watchdog.Completed(1);
  EXPECT_EQ(manager.Heard(), "WATCHDOG=1;");
  clock.Advance(2 * kSecond);
  watchdog.Completed(1);
  EXPECT_EQ(manager.Heard(), "");
  watchdog.Completed(0);
  EXPECT_EQ(manager.Heard(), "WATCHDOG=1;");
}

TEST(Watchdog, IsNotFedOftenerThanAnEighthOfItsPatience) {
  Manager manager;
  FakeClock clock;
  Watchdog watchdog(clock, 1, 8 * kSecond);
  watchdog.Completed(0);
  EXPECT_EQ(manager.Heard(), "WATCHDOG=1;");
  for (int i = 0; i < 9; ++i) {
    clock.Advance(100 * kMillisecond);
    watchdog.Completed(0);
  }
  EXPECT_EQ(manager.Heard(), "");
  clock.Advance(100 * kMillisecond);
  watchdog.Completed(0);
  EXPECT_EQ(manager.Heard(), "WATCHDOG=1;");
}

TEST(Watchdog, TheManagersPatienceIsTaken) {
  Manager manager;
  FakeClock clock;
  setenv("WATCHDOG_USEC", "8000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  Watchdog(clock, 1).Completed(0);
  EXPECT_EQ(manager.Heard(), "WATCHDOG=1;");
  setenv("WATCHDOG_PID", "1", 1);  // it was for another process
  Watchdog(clock, 1).Completed(0);
  EXPECT_EQ(manager.Heard(), "");
  unsetenv("WATCHDOG_USEC");
  unsetenv("WATCHDOG_PID");
  Watchdog(clock, 1).Completed(0);
  EXPECT_EQ(manager.Heard(), "");
}

}  // namespace
}  // namespace quell
