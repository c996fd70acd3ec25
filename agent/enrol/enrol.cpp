#include "agent/enrol/enrol.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/disk.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

struct Mode {
  mode_t mode = 0644;
  std::optional<uid_t> owner;
};

absl::Status Fill(int fd, const std::string& path, const std::string& content, const Mode& mode) {
  if (fchmod(fd, mode.mode) != 0) return ErrnoStatus(errno, "setting the mode of " + path);
  if (mode.owner && fchown(fd, *mode.owner, static_cast<gid_t>(-1)) != 0)
    return ErrnoStatus(errno, "giving away " + path);
  const ssize_t written = write(fd, content.data(), content.size());
  if (written != static_cast<ssize_t>(content.size()) || fsync(fd) != 0)
    return ErrnoStatus(errno, "writing " + path);
  return absl::OkStatus();
}

// Whole or not at all; what was there goes.
absl::Status Install(const std::string& path, const std::string& content, const Mode& mode) {
  const std::string fresh = path + ".new-" + HexEncode(RandomBytes(6));
  const UniqueFd fd(open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, "making " + fresh);
  absl::Status status = Fill(fd.get(), fresh, content, mode);
  if (status.ok()) status = RealDisk().Rename(fresh, path);
  if (!status.ok()) unlink(fresh.c_str());
  return status;
}

// The key of an attempt that was interrupted, or a new one, kept before anything is sent.
absl::StatusOr<security::TlsKey> TakeKey(const std::string& path) {
  if (RealDisk().Exists(path)) {
    QUELL_ASSIGN_OR_RETURN(const security::Secret pem, security::ReadSecretFile(path));
    return security::TlsKey::FromPem(pem.Reveal());
  }
  security::TlsKey key = security::TlsKey::Generate();
  QUELL_RETURN_IF_ERROR(Install(path, key.ToPem().Reveal(), {0600, {}}));
  return key;
}

absl::Status InstallAll(const EnrolOptions& options, const FetchedTrust& trust, const Certified& certified,
                        const std::string& waiting_key) {
  const EnrolPlaces& places = options.places;
  QUELL_RETURN_IF_ERROR(Install(places.trust_bundle, trust.signed_bytes, {}));
  QUELL_RETURN_IF_ERROR(Install(places.root_pin, options.token.pin + "\n", {}));
  QUELL_RETURN_IF_ERROR(Install(places.host_id, certified.id + "\n", {}));
  QUELL_RETURN_IF_ERROR(Install(places.certificate, certified.certificate_pem, {0644, options.owner}));
  if (options.owner && chown(waiting_key.c_str(), *options.owner, static_cast<gid_t>(-1)) != 0)
    return ErrnoStatus(errno, "giving away " + waiting_key);
  return RealDisk().Rename(waiting_key, places.key);
}

}  // namespace

absl::StatusOr<Certified> Enrol(const EnrolOptions& options, Clock& clock) {
  const EnrolPlaces& places = options.places;
  if (!options.again && RealDisk().Exists(places.certificate) && RealDisk().Exists(places.key))
    return absl::AlreadyExistsError(
        absl::StrCat(places.certificate, " is there: this host has enrolled; --again makes it enrol anew"));
  const Micros now = clock.Wall();
  QUELL_ASSIGN_OR_RETURN(const FetchedTrust trust, FetchTrust(options.address, options.token.pin, now));
  const std::string waiting_key = places.key + ".enrolling";
  QUELL_ASSIGN_OR_RETURN(const security::TlsKey key, TakeKey(waiting_key));
  QUELL_ASSIGN_OR_RETURN(Certified certified,
                         Redeem(options.address, options.token, key, options.wish, trust.bundle, now));
  QUELL_RETURN_IF_ERROR(InstallAll(options, trust, certified, waiting_key));
  return certified;
}

}  // namespace quell::agent
