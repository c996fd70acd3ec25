#include "cli/login.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "cli/context.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/responder.h"
#include "common/security/trust.h"

namespace quell::cli {
namespace {

constexpr char kDefaultContext[] = "default";

// DIR/keys, and what is above it.
absl::StatusOr<std::string> MakePlace(const std::string& directory) {
  if (directory.empty()) return absl::FailedPreconditionError("HOME is not set: there is no place for a key");
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(directory).parent_path(), error);
  for (const std::string& path : {directory, directory + "/keys"})
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return ErrnoStatus(errno, "making directory " + path);
  return directory + "/keys/";
}

// What a key's files are called, from its public half.
std::string StemOf(const std::string& public_der) { return HexEncode(Sha256(public_der)).substr(0, 16); }

int MakeRequest(Session& session, const LoginOptions& options) {
  const auto place = MakePlace(ConfigDirectory(session.around()));
  if (!place.ok()) return session.Fail(place.status());
  if (!options.name.empty() && !IsPersonName(options.name))
    return session.Fail(absl::InvalidArgumentError("a person's name has 1 to 64 of a-z, 0-9 and -"));
  if (RealDisk().Exists(options.request))
    return session.Fail(absl::AlreadyExistsError("making " + options.request + ": it is there already"));
  const security::TlsKey key = security::TlsKey::Generate();
  const std::string file = *place + StemOf(key.PublicDer()) + ".key";
  absl::Status written = RealDisk().WriteWhole(file, key.ToPem().Reveal());
  const std::string name = options.name.empty() ? "quell responder" : options.name;
  if (written.ok()) written = RealDisk().WriteWhole(options.request, security::RequestCertificate(key, name));
  if (!written.ok()) return session.Fail(written);
  session.Say("the key is in " + file + " and stays there; the request is in " + options.request);
  session.Say("who keeps the responders' authority: quell-controller responder issue " + options.request +
              " --name " + (options.name.empty() ? "NAME" : options.name) + " --dir PKI --out FILE");
  return kDone;
}

struct Taken {
  security::ResponderPass pass;
  std::string pin;
  Peer self;
  std::string stem;
};

absl::StatusOr<Taken> Open(const LoginOptions& options, Micros wall) {
  QUELL_ASSIGN_OR_RETURN(const std::string text,
                         RealDisk().Read(options.certificate, security::kLargestResponderFile));
  Taken taken;
  QUELL_ASSIGN_OR_RETURN(taken.pass, security::ParsePass(text));
  taken.pin = options.pin;
  if (taken.pin.empty()) {
    QUELL_ASSIGN_OR_RETURN(taken.pin, security::PinOf(taken.pass.signed_bundle));
  }
  QUELL_ASSIGN_OR_RETURN(const v1::TrustBundle bundle,
                         security::OpenTrustBundle(taken.pass.signed_bundle, taken.pin, wall));
  QUELL_ASSIGN_OR_RETURN(taken.self, security::PeerFromCertificate(taken.pass.certificate_pem, bundle, wall));
  QUELL_RETURN_IF_ERROR(security::IsAllowed(taken.self, "responder", bundle, wall));
  QUELL_ASSIGN_OR_RETURN(const std::string key, security::PublicKeyOf(taken.pass.certificate_pem));
  taken.stem = StemOf(key);
  return taken;
}

// A context that is there stays with the installation it was made for, unless the pin says otherwise.
absl::Status MayTake(const Contexts& contexts, const std::string& name, const LoginOptions& options,
                     const Taken& taken) {
  const auto found = contexts.all.find(name);
  if (found == contexts.all.end() || found->second.pin == taken.pin || !options.pin.empty())
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the context ", name, " is of another installation, whose trust root is ", found->second.pin,
      "; give --context NAME for a second one, or --pin ", taken.pin, " if that is the new one"));
}

absl::Status Keep(const std::string& directory, const std::string& name, const LoginOptions& options,
                  const Taken& taken, Contexts contexts) {
  const std::string stem = "keys/" + taken.stem;
  Context& context = contexts.all[name];
  if (!options.address.empty()) context.address = options.address;
  if (context.address.empty())
    return absl::InvalidArgumentError(
        "a new context needs --address HOST:7403, where the controller listens");
  context.key_file = stem + ".key";
  context.certificate_file = stem + ".crt";
  context.trust_file = stem + ".bundle";
  context.pin = taken.pin;
  if (contexts.current.empty()) contexts.current = name;
  QUELL_RETURN_IF_ERROR(
      RealDisk().WriteWhole(directory + "/" + context.certificate_file, taken.pass.certificate_pem));
  QUELL_RETURN_IF_ERROR(
      RealDisk().WriteWhole(directory + "/" + context.trust_file, taken.pass.signed_bundle));
  QUELL_ASSIGN_OR_RETURN(const Context whole, FindContext(directory, contexts, name));
  // The key is here, closed to others, and the certificate's: else nothing changes.
  QUELL_RETURN_IF_ERROR(LoadIdentity(whole, RealClock().Wall()).status());
  return WriteContexts(directory, contexts);
}

int TakeCertificate(Session& session, const LoginOptions& options) {
  const std::string directory = ConfigDirectory(session.around());
  const auto place = MakePlace(directory);
  if (!place.ok()) return session.Fail(place.status());
  const auto contexts = ReadContexts(directory);
  if (!contexts.ok()) return session.Fail(contexts.status());
  const auto taken = Open(options, RealClock().Wall());
  if (!taken.ok()) return session.Fail(taken.status());
  std::string name = session.common().context;
  if (name.empty()) name = contexts->current.empty() ? kDefaultContext : contexts->current;
  absl::Status kept = IsPersonName(name)
                          ? MayTake(*contexts, name, options, *taken)
                          : absl::InvalidArgumentError("a context's name has 1 to 64 of a-z, 0-9 and -");
  if (kept.ok()) kept = Keep(directory, name, options, *taken, *contexts);
  if (!kept.ok()) return session.Fail(kept);
  session.Say("you are " + taken->self.id + " in the context " + name + " until " +
              FormatRfc3339(taken->self.not_after));
  if (options.pin.empty())
    session.Say("the installation's trust root is " + taken->pin +
                ": compare it with what whoever certified you says");
  return kDone;
}

}  // namespace

int Login(Session& session, const LoginOptions& options) {
  if (options.request.empty() == options.certificate.empty())
    return session.Fail(absl::InvalidArgumentError(
        "login takes --csr-out FILE, and later --certificate FILE --address HOST:7403"));
  return options.request.empty() ? TakeCertificate(session, options) : MakeRequest(session, options);
}

}  // namespace quell::cli
