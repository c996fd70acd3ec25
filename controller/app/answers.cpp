#include "controller/app/answers.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace quell::app {
namespace {
constexpr size_t kMostWaiting = 1'024;
}

absl::StatusOr<std::string> Answers::Register() {
  absl::MutexLock lock(&mutex_);
  if (waiting_.size() >= kMostWaiting) {
    return absl::ResourceExhaustedError("too many requests wait for the engine; try again");
  }
  std::string token = absl::StrCat("r", next_++);
  waiting_.emplace(token, std::nullopt);
  return token;
}

absl::Status Answers::RegisterAs(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  if (waiting_.size() >= kMostWaiting)
    return absl::ResourceExhaustedError("too many requests wait for the engine; try again");
  waiting_.emplace(token, std::nullopt);
  return absl::OkStatus();
}

absl::StatusOr<engine::Answer> Answers::Wait(const std::string& token, absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  auto arrived = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    auto found = waiting_.find(token);
    return found == waiting_.end() || found->second.has_value();
  };
  mutex_.AwaitWithTimeout(absl::Condition(&arrived), timeout);
  auto found = waiting_.find(token);
  if (found == waiting_.end()) return absl::NotFoundError("nobody registered this request");
  std::optional<engine::Answer> answer = std::move(found->second);
  waiting_.erase(found);
  if (!answer)
    return absl::DeadlineExceededError(
        "the engine has not answered in time; the log tells whether it was done");
  return *std::move(answer);
}

void Answers::Reply(const engine::Answer& answer) {
  absl::MutexLock lock(&mutex_);
  auto found = waiting_.find(answer.request);
  if (found != waiting_.end()) found->second = answer;
}

}  // namespace quell::app
