// HttpServer: /metrics, /-/healthy, /-/ready and POST /api/changes on port 7402. Owned by main; runs threads
// of its own (one that accepts, four that answer) until Stop() or its end.
//
// Bounds: one request a connection, 16 KiB of headers, 64 KiB of body and 5 s each; four answered at a time,
// 32 waiting; a further one is closed at once and counted (quell_http_refused_total). A request whose Host is
// none of ours is refused: a page in somebody's browser that was pointed here by name learns nothing. Every
// write takes a credential (write_checks.h, changes.h).
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/http/changes.h"
#include "controller/http/metrics.h"

namespace quell::http {

struct HttpOptions {
  std::string listen = "127.0.0.1:7402";  // port 0: any
  std::vector<std::string> hosts;         // further names (without port) that requests may be addressed to
};

class HttpServer {
 public:
  // `ready` says why not, or OK; called by any of the server's threads. `metrics` and `changes` outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, Metrics& metrics,
                                                           ChangeReceiver& changes,
                                                           std::function<absl::Status()> ready);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  int port() const;
  void Stop();  // idempotent

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quell::http
