#include "common/security/secret.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::security {

namespace {

// systemd's credentials are root's, 0400 and readable by this process's user by an access list, which shows
// as a right of the group. Their directory is closed to all others.
bool IsCredential(const std::string& path) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory != nullptr && path.substr(0, path.rfind('/')) == directory;
}

}  // namespace

absl::StatusOr<Secret> ReadSecretFile(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(
      std::string content,
      ReadTrustedFile(path, {.owner = geteuid(), .others_may_read = IsCredential(path), .limit = 64 << 10}));
  return Secret(std::move(content));
}

}  // namespace quell::security
