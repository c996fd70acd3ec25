// LoopbackServer: listens on a port of 127.0.0.1 that the kernel chose, and serves each connection on a
// thread of its own until the test ends. What the receivers are made of.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file.h"
#include "common/base/thread.h"

namespace quell::test {

// One connection, as its handler sees it. Reads end (nullopt, false) when the far end closes or the server
// stops.
class Connection {
 public:
  Connection(int fd, int stop) : fd_(fd), stop_(stop) {}
  std::optional<std::string> Line();           // without its CRLF
  std::optional<std::string> Bytes(size_t n);  // exactly n
  bool Write(std::string_view bytes);
  void Hang();  // until the far end closes or the server stops

 private:
  bool Fill();

  const int fd_;
  const int stop_;
  std::string buffer_;
};

class LoopbackServer {
 public:
  explicit LoopbackServer(std::function<void(Connection&)> serve);
  LoopbackServer(const LoopbackServer&) = delete;
  ~LoopbackServer() { Stop(); }
  uint16_t port() const { return port_; }
  // Closes all and joins; a port that refuses from then on.
  void Stop();

 private:
  void Accept();

  const std::function<void(Connection&)> serve_;
  UniqueFd listener_;
  UniqueFd stop_;  // an eventfd: readable once stopping
  uint16_t port_ = 0;
  absl::Mutex mutex_;
  std::vector<NamedThread> connections_ ABSL_GUARDED_BY(mutex_);
  NamedThread acceptor_;
};

}  // namespace quell::test
