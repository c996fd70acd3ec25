// ReaderProcess: the real quell-pm2-reader with one end of a socketpair as its descriptor 3, and the other
// end for the test. Ends with this object. One thread.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <vector>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "quell/v1/reader.pb.h"

namespace quell::test {

class ReaderProcess {
 public:
  explicit ReaderProcess(const std::string& home) {
    int ends[2];
    Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "making a socketpair");
    agent_.reset(ends[0]);
    const UniqueFd theirs(ends[1]);
    pid_ = fork();
    Require(pid_ >= 0, "forking");
    if (pid_ != 0) return;
    if (theirs.get() == 3) {
      const int copy = dup(3);
      dup2(copy, 3);
    } else {
      dup2(theirs.get(), 3);
    }
    const std::string program = std::string(QUELL_BINARY_DIR) + "/bin/quell-pm2-reader";
    execl(program.c_str(), "quell-pm2-reader", home.c_str(), nullptr);
    _exit(127);
  }
  ~ReaderProcess() {
    agent_.reset();
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  int TakeAgentEnd() { return agent_.release(); }
  void CloseAgentEnd() { agent_.reset(); }
  // Its exit status once it has ended; -1 before.
  int Ended() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) return -1;
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  // Reads frames until one holds `until`, or 20 s have passed; all are kept in frames(), and the bytes in
  // raw().
  template <typename Predicate>
  bool ReadUntil(Predicate until) {
    const Micros deadline = RealClock().Monotonic() + 20 * kSecond;
    for (;;) {
      while (Next()) {
        frames_.emplace_back();
        const std::string body = pending_.substr(4, Length());
        pending_.erase(0, 4 + body.size());
        if (!frames_.back().ParseFromString(body)) return false;
        if (until(frames_.back())) return true;
      }
      pollfd entry{agent_.get(), POLLIN, 0};
      if (RealClock().Monotonic() > deadline || poll(&entry, 1, 200) < 0) return false;
      if (entry.revents == 0) continue;
      char buffer[65536];
      const ssize_t n = recv(agent_.get(), buffer, sizeof(buffer), 0);
      if (n <= 0) return false;
      pending_.append(buffer, static_cast<size_t>(n));
      raw_.append(buffer, static_cast<size_t>(n));
    }
  }
  const std::vector<v1::ReaderFrame>& frames() const { return frames_; }
  const std::string& raw() const { return raw_; }

 private:
  size_t Length() const {
    size_t length = 0;
    for (size_t i = 4; i-- > 0;) length = length << 8 | static_cast<unsigned char>(pending_[i]);
    return length;
  }
  bool Next() const { return pending_.size() >= 4 && pending_.size() >= 4 + Length(); }

  UniqueFd agent_;
  pid_t pid_ = 0;
  std::string pending_, raw_;
  std::vector<v1::ReaderFrame> frames_;
};

}  // namespace quell::test
