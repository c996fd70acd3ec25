#include "agent/worker/frame.h"

#include <google/protobuf/message_lite.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

absl::Status ReadExactly(int fd, char* out, size_t n) {
  while (n > 0) {
    const ssize_t got = read(fd, out, n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "reading a frame");
    if (got == 0) return absl::DataLossError("the input ended within a frame");
    out += got;
    n -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace

std::string EncodeWorkerFrame(const google::protobuf::MessageLite& message) {
  const std::string bytes = message.SerializeAsString();
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(bytes.size() >> (8 * i) & 0xff));
  return out + bytes;
}

absl::StatusOr<std::string> ReadWorkerFrame(int fd, uint32_t limit) {
  unsigned char head[4];
  QUELL_RETURN_IF_ERROR(ReadExactly(fd, reinterpret_cast<char*>(head), sizeof head));
  const uint32_t length = head[0] | head[1] << 8 | head[2] << 16 | static_cast<uint32_t>(head[3]) << 24;
  if (length > limit)
    return absl::ResourceExhaustedError(absl::StrCat("a frame of ", length, " bytes is too long"));
  std::string bytes(length, '\0');
  QUELL_RETURN_IF_ERROR(ReadExactly(fd, bytes.data(), length));
  return bytes;
}

}  // namespace quell::agent
