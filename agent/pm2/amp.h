// AMP framing, as PM2's two sockets speak it (pm2-axon's amp 0.3.1 with amp-message 0.1.2):
//   byte 0: high nibble version (1), low nibble number of arguments (1..15);
//   then, for each argument, its length as uint32 big-endian and its bytes: "s:" text, "j:" JSON, else a
//   blob.
// Pure; one AmpParser per connection, used by one thread.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace quell::pm2 {

inline constexpr uint64_t kMaxFrameBytes = 8ull << 20;  // of what is kept of one frame

struct AmpArgument {
  enum class Kind { kText, kJson, kBlob, kSkipped };
  Kind kind = Kind::kBlob;
  std::string data;  // without the prefix; empty when skipped
};
using AmpFrame = std::vector<AmpArgument>;

// One frame of two arguments: JSON, then a number as JSON (an RPC request's id).
std::string EncodeRequest(std::string_view json, int64_t id);

// Takes bytes as they come, split anywhere. After an error the connection is to be closed: every further Feed
// returns the same error.
class AmpParser {
 public:
  using OnFrame = std::function<void(AmpFrame&& frame)>;
  // Asked before an argument is read: false skips its bytes by length, keeping nothing. What is skipped
  // doesn't count against the frame's limit.
  using Keep = std::function<bool(const AmpFrame& so_far, uint32_t length)>;

  explicit AmpParser(uint64_t max_frame_bytes = kMaxFrameBytes, Keep keep = nullptr);

  // InvalidArgument: wrong version or no arguments; ResourceExhausted: longer than the limit.
  absl::Status Feed(std::string_view bytes, const OnFrame& on_frame);
  // True between frames: an end of the stream here cuts nothing off.
  bool idle() const { return state_ == State::kStart; }

 private:
  enum class State { kStart, kLength, kBody, kSkip };
  absl::Status Header(unsigned char byte);
  absl::Status BeginArgument();
  void EndArgument(const OnFrame& on_frame);

  const uint64_t limit_;
  const Keep keep_;
  State state_ = State::kStart;
  absl::Status failed_;
  AmpFrame frame_;
  size_t arguments_ = 0;
  uint32_t length_ = 0;
  int length_bytes_ = 0;
  uint32_t left_ = 0;  // of the argument's bytes
  uint64_t kept_ = 0;  // bytes of this frame
  std::string body_;
};

}  // namespace quell::pm2
