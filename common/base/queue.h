// BoundedQueue: multi-producer, single- or multi-consumer, bounded in items. States what it drops: Push
// refuses when full (the caller counts), PushEvicting drops the oldest and counts it here. Thread-safe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace quell {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // False when full or closed; the item is untouched then.
  bool Push(T&& item) {
    absl::MutexLock lock(&mutex_);
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(item));
    return true;
  }
  // Waits for room; false only when closed, and the item is untouched then.
  bool PushWaiting(T&& item) {
    absl::MutexLock lock(&mutex_);
    auto room = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || items_.size() < capacity_; };
    mutex_.Await(absl::Condition(&room));
    if (closed_) return false;
    items_.push_back(std::move(item));
    return true;
  }
  // Drops the oldest item when full. False only when closed.
  bool PushEvicting(T&& item) {
    absl::MutexLock lock(&mutex_);
    if (closed_) return false;
    if (items_.size() >= capacity_) {
      items_.pop_front();
      ++dropped_;
    }
    items_.push_back(std::move(item));
    return true;
  }
  // Waits for an item until the timeout; nullopt when it passed, or when closed and empty.
  std::optional<T> Pop(absl::Duration timeout) {
    absl::MutexLock lock(&mutex_);
    auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || !items_.empty(); };
    mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    return item;
  }
  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }
  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return items_.size();
  }
  uint64_t dropped() const {
    absl::MutexLock lock(&mutex_);
    return dropped_;
  }
  bool closed() const {
    absl::MutexLock lock(&mutex_);
    return closed_;
  }

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace quell
