// Status macros. absl::Status inside, the same codes on the wire; a message says what was being done, to
// what, and why it failed.
#pragma once
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

#define QUELL_RETURN_IF_ERROR(expr)                \
  do {                                             \
    ::absl::Status quell_status_ = (expr);         \
    if (!quell_status_.ok()) return quell_status_; \
  } while (false)

#define QUELL_CONCAT_INNER_(a, b) a##b
#define QUELL_CONCAT_(a, b) QUELL_CONCAT_INNER_(a, b)
#define QUELL_ASSIGN_OR_RETURN(lhs, expr) \
  QUELL_ASSIGN_OR_RETURN_INNER_(QUELL_CONCAT_(quell_statusor_, __LINE__), lhs, expr)
#define QUELL_ASSIGN_OR_RETURN_INNER_(tmp, lhs, expr) \
  auto tmp = (expr);                                  \
  if (!tmp.ok()) return tmp.status();                 \
  lhs = std::move(tmp).value()

namespace quell {

// "what: inner message", with the inner code.
inline absl::Status Annotate(const absl::Status& status, std::string_view what) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(absl::string_view(what.data(), what.size()), ": ", status.message()));
}

// A status for an errno, "what: strerror".
absl::Status ErrnoStatus(int error, std::string_view what);

// A broken invariant ends the process; bad input never does.
[[noreturn]] void Fatal(std::string_view what);
inline void Require(bool holds, std::string_view what) {
  if (!holds) Fatal(what);
}

}  // namespace quell
