#include "common/config/secret.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::config {

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(
      std::string text,
      ReadTrustedFile(path, {.owner = geteuid(), .others_may_read = false, .limit = 64 << 10}));
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty())
    return absl::InvalidArgumentError(absl::StrCat("reading the secret in ", path, ": it is empty"));
  if (text.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("reading the secret in ", path, ": it has more than one line"));
  }
  return Secret(std::move(text));
}

}  // namespace quell::config
