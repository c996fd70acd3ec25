// FrameReader: the agent's end of a reader's socket. Takes length-framed ReaderFrames as bytes come, without
// ever waiting; bounded by kMaxFrame. The reader is another user's process: what it sends is checked, not
// trusted. Owned by one object, one thread.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

class FrameReader {
 public:
  static constexpr uint32_t kMaxFrame = 8 << 20;

  explicit FrameReader(int fd);  // takes it over
  ~FrameReader();
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  // Reads what is there, at most 256 KiB, and hands over the frames that are complete. An error ends it:
  // Unavailable when the reader has gone, InvalidArgument for what is no frame.
  absl::Status Read(const std::function<void(const v1::ReaderFrame&)>& on_frame);
  int fd() const { return fd_; }

 private:
  absl::Status Split(const std::function<void(const v1::ReaderFrame&)>& on_frame);
  const int fd_;
  std::string pending_;
};

}  // namespace quell::agent
