#include "common/base/status.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/strings/string_view.h"

namespace quell {

absl::Status ErrnoStatus(int error, std::string_view what) {
  return absl::ErrnoToStatus(error, absl::string_view(what.data(), what.size()));
}

void Fatal(std::string_view what) {
  // Not through the log: its queue may be what is broken.
  std::fprintf(stderr, "fatal: %.*s\n", static_cast<int>(what.size()), what.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace quell
