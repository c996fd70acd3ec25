#include "controller/app/input_queue.h"

#include <utility>

namespace quell::app {
namespace {

constexpr std::array<size_t, kInputClasses> kBounds = {65'536, 65'536, 65'536, 131'072};

// What the engine itself asked for, and its configuration.
bool IsOwn(const v1::Payload& payload) {
  return payload.has_command_delivered() || payload.has_notice_result() || payload.has_config_loaded();
}

}  // namespace

bool InputQueue::Post(InputClass input_class, EngineInput input) {
  const auto index = static_cast<size_t>(input_class);
  absl::MutexLock lock(&mutex_);
  if (closed_) return false;
  const bool signal = input.payload.has_signal_edge();
  if (signal && Coalesce(input)) return true;
  auto& list = waiting_[index];
  if (list.size() >= kBounds[index] && !IsOwn(input.payload)) {
    ++refused_[index];
    return false;
  }
  list.push_back(std::move(input));
  if (signal) signals_[list.back().payload.signal_edge().signal().key()] = std::prev(list.end());
  return true;
}

// A newer edge takes the place of the one that waits, unless something hangs on the older one's commit.
bool InputQueue::Coalesce(EngineInput& input) {
  auto found = signals_.find(input.payload.signal_edge().signal().key());
  if (found == signals_.end() || found->second->committed) return false;
  EngineInput& old = *found->second;
  // A firing that was not seen yet and its clearing both matter: the pair is an occurrence.
  if (old.payload.signal_edge().signal().state() != input.payload.signal_edge().signal().state())
    return false;
  for (auto& state : input.rule_states) old.rule_states.push_back(std::move(state));
  old.payload = std::move(input.payload);
  ++coalesced_;
  return true;
}

bool InputQueue::AnyWaiting() const {
  for (const auto& list : waiting_) {
    if (!list.empty()) return true;
  }
  return false;
}

std::vector<EngineInput> InputQueue::Take(size_t most, absl::Duration timeout) {
  std::vector<EngineInput> taken;
  absl::MutexLock lock(&mutex_);
  auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || AnyWaiting(); };
  mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
  for (auto& list : waiting_) {
    while (!list.empty() && taken.size() < most) {
      if (list.front().payload.has_signal_edge()) {
        auto found = signals_.find(list.front().payload.signal_edge().signal().key());
        if (found != signals_.end() && found->second == list.begin()) signals_.erase(found);
      }
      taken.push_back(std::move(list.front()));
      list.pop_front();
    }
  }
  return taken;
}

void InputQueue::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool InputQueue::closed() const {
  absl::MutexLock lock(&mutex_);
  return closed_;
}

uint64_t InputQueue::refused(InputClass input_class) const {
  absl::MutexLock lock(&mutex_);
  return refused_[static_cast<size_t>(input_class)];
}

uint64_t InputQueue::coalesced() const {
  absl::MutexLock lock(&mutex_);
  return coalesced_;
}

size_t InputQueue::size() const {
  absl::MutexLock lock(&mutex_);
  size_t all = 0;
  for (const auto& list : waiting_) all += list.size();
  return all;
}

}  // namespace quell::app
