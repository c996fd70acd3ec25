#include "agent/collectors/pm2/frame_reader.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/strings/str_cat.h"

namespace quell::agent {
namespace {

constexpr size_t kReadBytes = 256 << 10;

uint32_t LittleEndian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

}  // namespace

FrameReader::FrameReader(int fd) : fd_(fd) { fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK); }

FrameReader::~FrameReader() { close(fd_); }

absl::Status FrameReader::Split(const std::function<void(const v1::ReaderFrame&)>& on_frame) {
  std::string_view rest = pending_;
  while (rest.size() >= 4) {
    const uint32_t length = LittleEndian(rest);
    if (length > kMaxFrame)
      return absl::InvalidArgumentError(
          absl::StrCat("reading from quell-pm2-reader: a frame of ", length, " bytes is too long"));
    if (rest.size() - 4 < length) break;
    v1::ReaderFrame frame;
    if (!frame.ParseFromArray(rest.data() + 4, static_cast<int>(length)))
      return absl::InvalidArgumentError("reading from quell-pm2-reader: a frame is malformed");
    rest.remove_prefix(4 + length);
    on_frame(frame);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return absl::OkStatus();
}

absl::Status FrameReader::Read(const std::function<void(const v1::ReaderFrame&)>& on_frame) {
  const size_t before = pending_.size();
  pending_.resize(before + kReadBytes);
  const ssize_t n = recv(fd_, pending_.data() + before, kReadBytes, 0);
  const int error = errno;
  pending_.resize(before + (n > 0 ? static_cast<size_t>(n) : 0));
  if (n == 0) return absl::UnavailableError("reading from quell-pm2-reader: it has ended");
  if (n < 0 && (error == EAGAIN || error == EINTR)) return absl::OkStatus();
  if (n < 0) return absl::UnavailableError(absl::StrCat("reading from quell-pm2-reader: ", strerror(error)));
  return Split(on_frame);
}

}  // namespace quell::agent
