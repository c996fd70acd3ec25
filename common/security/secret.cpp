#include "common/security/secret.h"

#include <unistd.h>

#include <utility>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::security {

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(
      std::string content,
      ReadTrustedFile(path, {.owner = geteuid(), .others_may_read = false, .limit = 64 << 10}));
  return Secret(std::move(content));
}

}  // namespace quell::security
