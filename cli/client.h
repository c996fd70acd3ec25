// The controller at the other end of its Unix socket, or of its responders' listener. One thread.
#pragma once
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "cli/view.h"
#include "quell/v1/operator.pb.h"

namespace quell::cli {

struct Acted {
  int exit = 0;
  std::string message;
  Json json;
};

class Client {
 public:
  // Unavailable when nothing listens there, PermissionDenied when this user may not open it.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& socket_path);
  // HOST:PORT by TLS 1.3: the far end must be a controller of the identity's installation, made out for HOST.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const std::string& address,
                                                         const Identity& identity);
  ~Client();

  // `method` is the service's, "Status"; the reply's document, parsed.
  absl::StatusOr<Json> Read(const std::string& method, const google::protobuf::Message& request);
  // An act; its exit and message are the engine's.
  absl::StatusOr<Acted> Act(const std::string& method, const google::protobuf::Message& request);

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  absl::Status Call(const std::string& method, const google::protobuf::Message& request,
                    google::protobuf::Message& reply);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quell::cli
