// The operators' Unix socket. Connections are accepted here, not by gRPC, so that who is at the far end is
// known from the kernel before a byte is read: root, or the user this process runs as; anybody else is closed
// and counted. An accepted one is handed to the gRPC server; inside a call its peer is "fd:N", and N tells
// who it is. (gRPC keeps the descriptor open as long as a call on it lives, so N is not taken again before.)
//
// Owned by main; Stop before the server is destroyed. CallerOf may be called by any thread.
#pragma once
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"
#include "controller/operator/roles.h"

namespace quell::operators {

class OperatorSocket {
 public:
  // Makes the socket file (mode 0600), taking the place of one that nobody listens at. AlreadyExists when
  // somebody does, or when something else than a socket is there.
  static absl::StatusOr<std::unique_ptr<OperatorSocket>> Listen(const std::string& path);
  ~OperatorSocket();

  // From now on connections reach `server`, which outlives Stop.
  void Serve(grpc::Server& server);
  void Stop();  // and removes the file

  // Who is behind ctx->peer(); nothing for a peer that did not come through here.
  std::optional<Caller> CallerOf(const std::string& peer) const;
  uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }
  // Times that a connection had to wait because the process has no descriptor left.
  uint64_t waits() const { return waits_.load(std::memory_order_relaxed); }

 private:
  OperatorSocket(std::string path, int listener, int wake);
  void Accept(grpc::Server& server);
  void Take(grpc::Server& server, int fd);

  const std::string path_;
  const int listener_;
  const int wake_;  // an eventfd that ends the thread
  NamedThread thread_;
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> waits_{0};
  mutable absl::Mutex mutex_;
  std::map<int, Caller> callers_ ABSL_GUARDED_BY(mutex_);  // as many as there have been descriptors at once
};

// The login name of a uid; "uid-N" when it has none that may be written down.
std::string PersonOfUid(unsigned uid);

}  // namespace quell::operators
