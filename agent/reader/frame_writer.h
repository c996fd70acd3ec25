// FrameWriter: sends ReaderFrames to the agent over the inherited socket, from a thread of its own, so that
// an agent that doesn't read never keeps us from draining PM2's bus. Bound: kMaxFrames and kMaxBytes waiting;
// past that a frame is dropped, its events are counted in the next one's events_dropped, and that one says
// `gap`. When the agent closes its end, `on_closed` is called once. Any thread may Send.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/thread.h"
#include "quell/v1/reader.pb.h"

namespace quell::reader {

class FrameWriter {
 public:
  static constexpr size_t kMaxFrames = 256;
  static constexpr size_t kMaxBytes = 8 << 20;

  // Takes over the descriptor.
  FrameWriter(int fd, std::function<void()> on_closed);
  ~FrameWriter();
  void Send(v1::ReaderFrame frame);

 private:
  void Run();
  bool WaitFor(short events);  // false: the far end has closed
  bool WriteAll(std::string_view bytes);
  void Wake();

  const int fd_;
  int wake_fd_;
  const std::function<void()> on_closed_;
  absl::Mutex mutex_;
  std::deque<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  size_t queued_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dropped_events_ ABSL_GUARDED_BY(mutex_) = 0;
  bool gap_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  NamedThread thread_;
};

// uint32 little-endian length, then the message.
std::string EncodeFrame(const v1::ReaderFrame& frame);

}  // namespace quell::reader
