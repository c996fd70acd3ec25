// X14_: a Unix socket where the PM2 daemon's should be, held by another user. Runs as root.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "agent/pm2/bus.h"
#include "agent/pm2/rpc.h"
#include "tests/agent/pm2/fake_daemon.h"
#include "tests/agent/pm2/reader_process.h"
#include "tests/support/files.h"

namespace quell::pm2 {
namespace {

constexpr uid_t kNobody = 65534;

// Listens as another user on rpc.sock and pub.sock, and writes every byte that comes into `heard`.
class Impostor {
 public:
  explicit Impostor(const std::string& home) {
    int ends[2];
    Require(pipe2(ends, O_CLOEXEC) == 0, "making a pipe");
    heard_.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    pid_ = fork();
    Require(pid_ >= 0, "forking");
    if (pid_ == 0) Serve(home, theirs.get());
    char ready = 0;
    Require(read(heard_.get(), &ready, 1) == 1 && ready == 'R', "the impostor listens");
  }
  ~Impostor() {
    if (pid_ > 0) Stop();
  }
  // Ends it and returns what it has heard, and "C" for each connection.
  std::string Stop() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
    std::string all(4096, '\0');
    const ssize_t n = read(heard_.get(), all.data(), all.size());
    all.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return all;
  }

 private:
  [[noreturn]] static void Serve(const std::string& home, int out) {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(1);
    const UniqueFd rpc = test::ListenUnix(home + "/rpc.sock"), pub = test::ListenUnix(home + "/pub.sock");
    if (write(out, "R", 1) != 1) _exit(1);
    for (;;) {
      pollfd entries[] = {{rpc.get(), POLLIN, 0}, {pub.get(), POLLIN, 0}};
      poll(entries, 2, -1);
      for (const pollfd& entry : entries) {
        if (entry.revents == 0) continue;
        const UniqueFd connection(accept(entry.fd, nullptr, nullptr));
        if (write(out, "C", 1) != 1) _exit(1);
        char buffer[256];
        for (ssize_t n = 0; (n = read(connection.get(), buffer, sizeof(buffer))) > 0;)
          if (write(out, buffer, static_cast<size_t>(n)) != n) _exit(1);
      }
    }
  }
  UniqueFd heard_;
  pid_t pid_ = 0;
};

TEST(RootTest, X14_ADaemonOfAnotherUserNeverGetsAByte) {
  ASSERT_EQ(geteuid(), 0u) << "this test is for root";
  const test::TempDir dir;
  ASSERT_EQ(chmod(dir.path().c_str(), 0777), 0);
  Impostor impostor(dir.path());
  EXPECT_TRUE(absl::IsPermissionDenied(Pm2Client::Connect(dir.path(), 0, kSecond, RealClock()).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Pm2Bus::Connect(dir.path(), 0, kSecond, RealClock()).status()));
  test::ReaderProcess reader(dir.path());
  ASSERT_TRUE(reader.ReadUntil([](const v1::ReaderFrame& f) { return !f.daemon_up(); }));
  EXPECT_THAT(reader.frames().back().daemon_error(), testing::HasSubstr("not spoken to"));
  reader.CloseAgentEnd();
  // Connections, and not a byte in any.
  EXPECT_THAT(impostor.Stop(), testing::MatchesRegex("C+"));
}

}  // namespace
}  // namespace quell::pm2
