// What the program's exit says. Part of the users' contract.
#pragma once
#include "absl/status/status.h"

namespace quell::cli {

enum Exit : int {
  kDone = 0,
  kFailed = 1,
  kUsage = 2,
  kNoSuchThing = 3,
  kNotAllowed = 4,
  kWithheld = 5,
  kUnreachable = 6,
  kUnknown = 7,
  kTimedOut = 8,
};

inline int ExitOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kDone;
    case absl::StatusCode::kInvalidArgument:
      return kUsage;
    case absl::StatusCode::kNotFound:
      return kNoSuchThing;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kNotAllowed;
    case absl::StatusCode::kUnavailable:
      return kUnreachable;
    case absl::StatusCode::kDeadlineExceeded:
      return kTimedOut;
    default:
      return kFailed;
  }
}

}  // namespace quell::cli
