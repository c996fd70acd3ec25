#include "common/base/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace quell {
namespace {

using testing::HasSubstr;

// By the shell itself: another program, or a pipe to one, would bring descriptors of its own.
constexpr std::string_view kListDescriptors =
    "n=0; while [ $n -lt 64 ]; do [ -e /proc/$$/fd/$n ] && printf '%d ' $n; n=$((n+1)); done";

SpawnOptions Shell(std::string script) {
  SpawnOptions o;
  o.program = "/bin/sh";
  o.argv = {"sh", "-c", std::move(script)};
  o.environment = {"PATH=/usr/bin:/bin"};
  o.deadline = 20 * kSecond;
  return o;
}

ExitStatus Finish(const SpawnOptions& o) {
  auto child = RealProcess().Start(o);
  if (!child.ok()) Fatal(child.status().ToString());
  return (*child)->Wait();
}

TEST(ProcessTest, GivesInputAndTakesOutput) {
  SpawnOptions o = Shell("cat; echo oops >&2; exit 3");
  o.input = std::string(300'000, 'x');
  const ExitStatus s = Finish(o);
  EXPECT_EQ(s.code, 3);
  EXPECT_EQ(s.signal, 0);
  EXPECT_EQ(s.output, o.input);
  EXPECT_EQ(s.error_output, "oops\n");
  EXPECT_FALSE(s.timed_out);
}

TEST(ProcessTest, AChildThatReadsNothingDoesNotEndUs) {
  SpawnOptions o = Shell("exit 0");
  o.input = std::string(1 << 20, 'x');
  EXPECT_EQ(Finish(o).code, 0);
}

TEST(ProcessTest, SaysThatAProgramCouldNotBeStarted) {
  SpawnOptions o = Shell("");
  o.program = "/no/such/program";
  const auto child = RealProcess().Start(o);
  EXPECT_EQ(child.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(child.status().message()), HasSubstr("/no/such/program"));
  o.program = "sh";
  EXPECT_EQ(RealProcess().Start(o).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ProcessTest, PastItsDeadlineTheWholeGroupIsKilled) {
  SpawnOptions o = Shell("trap '' TERM; sleep 300 & echo $!; wait");
  o.deadline = 300 * kMillisecond;
  const Micros start = RealClock().Monotonic();
  const ExitStatus s = Finish(o);
  EXPECT_LT(RealClock().Monotonic() - start, 10 * kSecond);
  EXPECT_TRUE(s.timed_out);
  EXPECT_EQ(s.signal, SIGKILL);
  const pid_t grandchild = std::stoi(s.output);
  const Micros deadline = RealClock().Monotonic() + 10 * kSecond;
  // A killed orphan is reaped by init, or stays a zombie where there is none.
  const auto gone = [&] {
    std::error_code error;
    return kill(grandchild, 0) != 0 ||
           std::filesystem::read_symlink("/proc/" + std::to_string(grandchild) + "/exe", error).empty();
  };
  while (!gone() && RealClock().Monotonic() < deadline) std::this_thread::yield();
  EXPECT_TRUE(gone());
}

TEST(ProcessTest, TooMuchOutputIsCutAndKilled) {
  SpawnOptions o = Shell("cat /dev/zero");
  o.output_limit = 1000;
  const ExitStatus s = Finish(o);
  EXPECT_TRUE(s.output_exceeded);
  EXPECT_EQ(s.output.size(), 1000u);
  EXPECT_EQ(s.signal, SIGKILL);
}

TEST(ProcessTest, ErrorOutputIsCutAndDrained) {
  const ExitStatus s = Finish(Shell("head -c 1000000 /dev/zero >&2; exit 4"));
  EXPECT_EQ(s.code, 4);
  EXPECT_EQ(s.error_output.size(), 4096u);
}

TEST(ProcessTest, X14_TheChildInheritsNothing) {
  const int leak = open("/dev/null", O_RDONLY);  // on purpose without close-on-exec
  ASSERT_GE(leak, 0);
  ASSERT_EQ(setenv("QUELL_TEST_SECRET", "hunter2", 1), 0);
  const ExitStatus s = Finish(Shell(std::string(kListDescriptors) +
                                    "; env; umask; grep NoNewPrivs /proc/$$/status; ulimit -n; pwd; "
                                    "test $(ps -o pgid= -p $$) = $$ && echo own-group"));
  close(leak);
  EXPECT_THAT(s.output, testing::StartsWith("0 1 2 PATH="));
  EXPECT_THAT(s.output, testing::Not(HasSubstr("hunter2")));
  EXPECT_THAT(s.output, HasSubstr("0077\n"));
  EXPECT_THAT(s.output, HasSubstr("NoNewPrivs:\t1\n64\n/\nown-group\n"));
}

TEST(ProcessTest, PassesOneDescriptorWhenAsked) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  SpawnOptions o = Shell("echo hello >&3; " + std::string(kListDescriptors));
  o.pass_fd = fds[1];
  const ExitStatus s = Finish(o);
  EXPECT_THAT(s.output, testing::Eq("0 1 2 3 "));
  close(fds[1]);
  char bytes[16];
  EXPECT_EQ(read(fds[0], bytes, sizeof(bytes)), 6);
  close(fds[0]);
}

TEST(ProcessTest, IsStartedFromThreadsThatEndAndLivesOn) {
  std::unique_ptr<ChildProcess> child;
  std::thread starter([&] {
    auto started = RealProcess().Start(Shell("read line; echo got $line"));
    ASSERT_TRUE(started.ok());
    child = std::move(*started);
  });
  starter.join();
  ASSERT_NE(child, nullptr);
  EXPECT_EQ(child->Wait().output, "got\n");
}

TEST(ProcessTest, KillEndsAWaitOnAnotherThread) {
  auto child = RealProcess().Start(Shell("sleep 300"));
  ASSERT_TRUE(child.ok());
  std::thread killer([&] { (*child)->Kill(); });
  const ExitStatus s = (*child)->Wait();
  killer.join();
  EXPECT_EQ(s.signal, SIGKILL);
  EXPECT_FALSE(s.timed_out);
  (*child)->Kill();  // of one that is reaped: nothing
}

TEST(ProcessTest, DroppingAChildKillsIt) {
  pid_t pid = 0;
  {
    auto child = RealProcess().Start(Shell("sleep 300"));
    ASSERT_TRUE(child.ok());
    pid = (*child)->pid();
    EXPECT_EQ(kill(pid, 0), 0);
  }
  EXPECT_NE(kill(pid, 0), 0);
}

}  // namespace
}  // namespace quell
