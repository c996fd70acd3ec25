// The controller at the other end of its Unix socket. One thread.
#pragma once
#include <memory>
#include <string>

#include "absl/status/statusor.h"
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
