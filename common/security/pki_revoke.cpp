#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/pki.h"
#include "common/security/signing.h"
#include "common/security/trust.h"

namespace quell::security {

absl::StatusOr<RevokedBundle> RevokeInBundle(const std::string& bundle_path, const std::string& root_key_path,
                                             const Secret& passphrase, const std::vector<std::string>& ids) {
  if (ids.empty()) return absl::InvalidArgumentError("name whom to revoke: --id UUID or --id NAME");
  for (const std::string& id : ids) {
    if (!IsUuid(id) && !IsPersonName(id)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--id ", id, " is neither the uuid of an agent or controller nor a person's name"));
    }
  }
  QUELL_ASSIGN_OR_RETURN(const SigningKey root, SigningKey::Load(root_key_path, passphrase.Reveal()));
  QUELL_ASSIGN_OR_RETURN(const std::string bytes, RealDisk().Read(bundle_path, 1 << 20));
  auto opened = OpenTrustBundle(bytes, HexEncode(Sha256(root.PublicRaw())), 0);
  if (!opened.ok()) return Annotate(opened.status(), bundle_path);
  v1::TrustBundle bundle = *std::move(opened);
  for (const std::string& id : ids) {
    const auto& known = bundle.revoked();
    if (std::find(known.begin(), known.end(), id) == known.end()) bundle.add_revoked(id);
  }
  bundle.set_serial(bundle.serial() + 1);
  RevokedBundle made;
  made.serial = bundle.serial();
  made.revoked.assign(bundle.revoked().begin(), bundle.revoked().end());
  made.bytes = SignTrustBundle(bundle, root);
  return made;
}

}  // namespace quell::security
