#include "controller/ingest/stream.h"

#include <utility>

namespace quell::ingest {
namespace {

constexpr Micros kStuck = 3 * kSecond;

}  // namespace

bool Outbox::Send(v1::ControllerFrame frame) {
  absl::MutexLock lock(&mutex_);
  if (call_ == nullptr || ending_) return false;
  const size_t size = frame.ByteSizeLong();
  if (frames_.size() >= kFrames || bytes_ + size > kBytes) {
    EndLocked(absl::ResourceExhaustedError("the agent does not read what is sent to it"));
    return false;
  }
  bytes_ += size;
  frames_.push_back(std::move(frame));
  WriteNext();
  return true;
}

void Outbox::WriteNext() {
  if (writing_ || ending_ || frames_.empty() || call_ == nullptr) return;
  writing_ = true;
  bytes_ -= frames_.front().ByteSizeLong();
  const v1::ControllerFrame frame = std::move(frames_.front());
  frames_.pop_front();
  call_->BeginWrite(frame);
}

void Outbox::EndLocked(const absl::Status& why) {
  if (call_ == nullptr || std::exchange(ending_, true)) return;
  frames_.clear();
  bytes_ = 0;
  call_->BeginFinish(why);
}

void Outbox::End(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  EndLocked(why);
}

void Outbox::Read() {
  absl::MutexLock lock(&mutex_);
  if (call_ != nullptr && !ending_) call_->BeginRead();
}

void Outbox::Written() {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  WriteNext();
}

void Outbox::Detach() {
  absl::MutexLock lock(&mutex_);
  call_ = nullptr;
  frames_.clear();
}

void Outbox::CancelIfStuck(Micros now) {
  absl::MutexLock lock(&mutex_);
  if (call_ == nullptr || !ending_) return;
  if (seen_ending_ == 0) seen_ending_ = now;
  if (now - seen_ending_ >= kStuck) call_->Cancel();
}

bool Outbox::ending() const {
  absl::MutexLock lock(&mutex_);
  return ending_;
}

}  // namespace quell::ingest
