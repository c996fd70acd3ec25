// How a request comes to a worker and its result leaves it: uint32 little-endian length, then the message.
// Pure but for ReadWorkerFrame, which reads a descriptor to the end of one frame.
#pragma once
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace google::protobuf {
class MessageLite;
}

namespace quell::agent {

inline constexpr uint32_t kLargestWorkerRequest = 128 << 10;

std::string EncodeWorkerFrame(const google::protobuf::MessageLite& message);
// The message's bytes. ResourceExhausted: it says it is longer than `limit`; DataLoss: the input ended before
// it did.
absl::StatusOr<std::string> ReadWorkerFrame(int fd, uint32_t limit);

}  // namespace quell::agent
