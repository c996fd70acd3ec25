// Net: a stream of frames between an agent and a controller, above gRPC, so that the simulator can stand in
// for it. A FrameStream is owned by the session that reads it. Write may be called by any thread; Read by
// one.
#pragma once
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace google::protobuf {
class MessageLite;
}

namespace quell {

// What the far end proved to be. Filled from its certificate (or, on the Unix socket, its uid), never from a
// payload.
struct Peer {
  std::string role;      // "agent", "controller", "responder", "local"
  std::string id;        // uuid or name
  std::string address;   // for logs
  std::string serial;    // certificate's, hex
  Micros not_after = 0;  // certificate's expiry, wall time
};

}  // namespace quell
