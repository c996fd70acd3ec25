// Net: a stream of frames between an agent and a controller, above gRPC, so that the simulator can stand in
// for it. A FrameStream is owned by the session that reads it. Write may be called by any thread; Read by
// one.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>

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

// One side of a live stream. Nothing blocks but Wait: a session asks for what has come, offers what is due,
// and waits, so that one thread serves both directions and a slow far end holds back nothing but telemetry.
class FrameStream {
 public:
  virtual ~FrameStream() = default;
  // Hands over one frame. False, and the frame is not taken: an earlier one is still on its way, or the
  // stream is over.
  virtual bool Write(const google::protobuf::MessageLite& frame) = 0;
  virtual bool writable() = 0;
  // The next frame that has come; false when there is none.
  virtual bool Read(google::protobuf::MessageLite* frame) = 0;
  // Returns when a frame can be read, a frame can be written that could not before, the stream has ended,
  // Wake was called, or the time has passed.
  virtual void Wait(Micros at_most) = 0;
  virtual void Wake() = 0;
  // Set once the stream is over, with the far end's status. Frames that came before can still be read.
  virtual std::optional<absl::Status> ended() = 0;
  // Nothing more will be written; what was written goes out, and the far end may still answer. Destroying the
  // stream ends it at once.
  virtual void Finish() = 0;
};

// Opens streams; owned by main (or the simulator), outlives them.
class FrameDialer {
 public:
  virtual ~FrameDialer() = default;
  // Begins a stream; its failure shows in ended(). An error here means that it could not even be tried.
  virtual absl::StatusOr<std::unique_ptr<FrameStream>> Dial(const std::string& address) = 0;
};

}  // namespace quell
