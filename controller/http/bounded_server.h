// BoundedServer: the library's HTTP server, but with threads, a queue and connections within our bounds. One
// thread accepts; descriptors wait in a bounded queue for those that answer; each connection gets one request
// and is made by `open`, which bounds its bytes and its time. Owned by a listener (server.h, enrol_server.h),
// which sets the handlers before Start; handlers run on the answering threads.
//
// What finds no room, or comes from an address that has its share, is closed at once and counted.
#pragma once
#include <httplib.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "controller/http/metrics.h"

namespace quell::http {

// Host and port of "127.0.0.1:7402", "[::1]:7402", "name:0"; InvalidArgument says what is wrong.
struct HostPort {
  std::string host;
  int port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

struct ServerBounds {
  size_t threads = 4;
  size_t waiting = 32;
  size_t per_address = 0;  // answered and waiting, of one address (IPv6: one /64); 0: no share of its own
};

// The stream of an accepted connection, whose descriptor it takes over; nullptr: there is nothing to answer.
// Called by the answering threads.
using OpenConnection = std::function<std::unique_ptr<httplib::Stream>(int fd)>;

class BoundedServer final : public httplib::Server {
 public:
  BoundedServer(const ServerBounds& bounds, OpenConnection open, Counter& refused);
  ~BoundedServer() override { Stop(); }
  // `what` is for the message: "the web port". Port 0: any.
  absl::Status Start(const HostPort& place, const std::string& listen, std::string_view what);
  int port() const { return port_; }
  void Stop();  // idempotent

 private:
  struct Waiting {
    int fd = -1;
    std::string address;
  };
  bool process_and_close_socket(socket_t fd) override;  // on the accepting thread
  bool TakeShare(const std::string& address);
  void GiveBack(const std::string& address);
  void Serve();

  const ServerBounds bounds_;
  const OpenConnection open_;
  Counter& refused_;
  int port_ = 0;
  absl::Mutex mutex_;
  std::map<std::string, size_t> shares_ ABSL_GUARDED_BY(mutex_);  // at most threads + waiting
  BoundedQueue<Waiting> waiting_;
  std::vector<NamedThread> threads_;
  NamedThread accepting_;
};

}  // namespace quell::http
