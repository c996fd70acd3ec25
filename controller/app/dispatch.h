// Dispatch: from a decided command to signed bytes on a host's stream. The body is made when it is handed
// over, so that it carries the newest nonce of the host's executor; nothing waits here. Owned by main, called
// by the store thread.
#pragma once
#include <functional>
#include <string>

#include "common/security/signing.h"
#include "controller/app/input_queue.h"
#include "controller/app/rule_thread.h"
#include "controller/ingest/registry.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::app {

class Dispatch {
 public:
  Dispatch(ingest::SessionRegistry& registry, const security::SigningKey& command_key,
           v1::ControllerStarted epoch, PostFunction post,
           std::function<absl::Status(const std::string& host_id)> allowed)
      : registry_(registry),
        key_(command_key),
        epoch_(std::move(epoch)),
        post_(std::move(post)),
        allowed_(std::move(allowed)) {}

  // Hands it over, or not; tells the engine which (CommandDelivered).
  void Send(const v1::CommandEntry& command);
  // Without a stream it is lost: the engine asks for it again when the host is back.
  void Cancel(const std::string& command, const std::string& host_id);

 private:
  absl::Status HandOver(const v1::CommandEntry& command);

  ingest::SessionRegistry& registry_;
  const security::SigningKey& key_;
  const v1::ControllerStarted epoch_;
  const PostFunction post_;
  const std::function<absl::Status(const std::string& host_id)> allowed_;
};

// The body that is signed: everything the entry says, bound to this epoch and nonce. Pure.
absl::StatusOr<v1::CommandBody> BodyOf(const v1::CommandEntry& command, const v1::ControllerStarted& epoch,
                                       const std::string& nonce);

}  // namespace quell::app
