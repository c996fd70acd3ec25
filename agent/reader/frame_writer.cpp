#include "agent/reader/frame_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/status.h"

namespace quell::reader {

std::string EncodeFrame(const v1::ReaderFrame& frame) {
  const std::string body = frame.SerializeAsString();
  std::string out;
  out.reserve(body.size() + 4);
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(body.size() >> shift));
  return out + body;
}

FrameWriter::FrameWriter(int fd, std::function<void()> on_closed)
    : fd_(fd), wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), on_closed_(std::move(on_closed)) {
  Require(wake_fd_ >= 0, "making an eventfd for the frame writer");
  fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK);
  thread_ = NamedThread("frame-writer", [this] { Run(); });
}

FrameWriter::~FrameWriter() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  Wake();
  thread_.Join();
  close(wake_fd_);
  close(fd_);
}

void FrameWriter::Wake() {
  const uint64_t one = 1;
  // Full means it is awake already.
  [[maybe_unused]] const ssize_t n = write(wake_fd_, &one, sizeof(one));
}

void FrameWriter::Send(v1::ReaderFrame frame) {
  {
    absl::MutexLock lock(&mutex_);
    frame.set_events_dropped(dropped_events_);
    if (gap_) frame.set_gap(true);
    std::string bytes = EncodeFrame(frame);
    if (queue_.size() >= kMaxFrames || queued_bytes_ + bytes.size() > kMaxBytes) {
      dropped_events_ += static_cast<uint64_t>(frame.events_size());
      gap_ = true;
      return;
    }
    gap_ = false;
    queued_bytes_ += bytes.size();
    queue_.push_back(std::move(bytes));
  }
  Wake();
}

bool FrameWriter::WaitFor(short events) {
  pollfd entries[] = {{fd_, static_cast<short>(events | POLLRDHUP), 0}, {wake_fd_, POLLIN, 0}};
  if (poll(entries, 2, -1) < 0) return errno == EINTR;
  if (entries[0].revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) return false;
  uint64_t count = 0;
  if (entries[1].revents & POLLIN) [[maybe_unused]]
    const ssize_t n = read(wake_fd_, &count, sizeof(count));
  return true;
}

bool FrameWriter::WriteAll(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN || errno == EINTR) {
      if (!WaitFor(POLLOUT)) return false;
      absl::MutexLock lock(&mutex_);
      if (stop_) return true;
    } else {
      return false;
    }
  }
  return true;
}

void FrameWriter::Run() {
  for (;;) {
    std::string next;
    {
      absl::MutexLock lock(&mutex_);
      if (stop_ && queue_.empty()) return;
      if (!queue_.empty()) {
        next = std::move(queue_.front());
        queue_.pop_front();
        queued_bytes_ -= next.size();
      }
    }
    const bool open = next.empty() ? WaitFor(0) : WriteAll(next);
    if (!open) {
      on_closed_();
      return;
    }
  }
}

}  // namespace quell::reader
