// FakeDaemon: one Unix socket that takes connections and answers each RPC request with what the test says.
// For what no real daemon does; the real one is in real_daemon_test.cpp.
#pragma once
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "agent/pm2/amp.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/thread.h"

namespace quell::test {

inline UniqueFd ListenUnix(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Require(path.size() < sizeof(address.sun_path), "the fake daemon's path is short enough");
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Require(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0, "binding");
  Require(listen(fd.get(), 8) == 0, "listening");
  return fd;
}

// A frame of a daemon: [json j:, id as it came].
inline std::string Reply(std::string_view json, const pm2::AmpArgument& id) {
  std::string number(id.data);
  std::string out(1, '\x12');
  for (const std::string& part : {"j:" + std::string(json), "j:" + number}) {
    for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(part.size() >> shift));
    out += part;
  }
  return out;
}

class FakeDaemon {
 public:
  // Bytes to send for a request; called on the daemon's thread.
  using Answer = std::function<std::string(const pm2::AmpFrame& request)>;

  FakeDaemon(const std::string& path, Answer answer, std::string greeting = "", bool close_after = false)
      : listener_(ListenUnix(path)),
        answer_(std::move(answer)),
        greeting_(std::move(greeting)),
        close_after_(close_after),
        thread_("fake-pm2", [this] { Run(); }) {}
  ~FakeDaemon() {
    stop_ = true;
    thread_.Join();
  }
  std::string received() {
    absl::MutexLock lock(&mutex_);
    return received_;
  }

 private:
  bool Await(int fd) {
    while (!stop_) {
      pollfd entry{fd, POLLIN, 0};
      if (poll(&entry, 1, 20) > 0) return true;
    }
    return false;
  }
  void Send(int fd, const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t n = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return;
      at += static_cast<size_t>(n);
    }
  }
  void Run() {
    while (Await(listener_.get())) {
      UniqueFd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      Send(connection.get(), greeting_);
      if (!close_after_) Serve(connection.get());
    }
  }
  void Serve(int fd) {
    pm2::AmpParser parser;
    char buffer[4096];
    while (Await(fd)) {
      const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
      if (n <= 0) return;
      {
        absl::MutexLock lock(&mutex_);
        received_.append(buffer, static_cast<size_t>(n));
      }
      const absl::Status fed =
          parser.Feed(std::string_view(buffer, static_cast<size_t>(n)),
                      [&](pm2::AmpFrame&& frame) { Send(fd, answer_ ? answer_(frame) : ""); });
      if (!fed.ok()) return;
    }
  }

  UniqueFd listener_;
  const Answer answer_;
  const std::string greeting_;
  const bool close_after_;
  std::atomic<bool> stop_ = false;
  absl::Mutex mutex_;
  std::string received_ ABSL_GUARDED_BY(mutex_);
  NamedThread thread_;
};

inline constexpr char kMethodsReply[] =
    R"({"methods":{"getMonitorData":{"name":"getMonitorData","params":["env","cb"]},)"
    R"("getVersion":{"name":"getVersion","params":["env","cb"]},)"
    R"("restartProcessId":{"name":"restartProcessId","params":["opts","cb"]}}})";

}  // namespace quell::test
