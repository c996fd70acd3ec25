#include "common/security/pki.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>

#include "absl/strings/str_split.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/issue.h"
#include "common/security/signing.h"
#include "common/security/trust.h"

namespace quell::security {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kLargestFile = 1 << 20;
// Above every epoch that the lost controller can have reached: it counts its starts.
constexpr uint64_t kEpochStep = 1'000'000;

absl::Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, "making directory " + path);
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = write(fd, content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "writing " + path);
    done += static_cast<size_t>(n);
  }
  if (fsync(fd) != 0) return ErrnoStatus(errno, "writing " + path);
  return absl::OkStatus();
}

absl::Status WriteWith(const std::string& path, std::string_view content, int flags) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
  if (fd < 0) return ErrnoStatus(errno, "making file " + path);
  const absl::Status status = WriteAll(fd, content, path);
  close(fd);
  return status;
}

// A new file; one that is there already stays as it is, and is an error.
absl::Status WriteNew(const std::string& path, std::string_view content) {
  return WriteWith(path, content, O_CREAT | O_EXCL);
}

// All that an installation starts with, in memory.
struct Keys {
  SigningKey root;
  Authority agents, controllers, responders;  // nothing is shared between them
  SigningKey command;
  SigningKey log;
};

// The installation that is recovered: what outlives its keys.
struct Former {
  SigningKey root;
  v1::TrustBundle bundle;
};

absl::StatusOr<Keys> MakeKeys(const PkiOptions& options, const std::string& installation, Former* former) {
  const Micros from = options.now - kClockLeeway;
  const Micros to = options.now + options.authority_life;
  const std::string tail = " of quell " + installation.substr(0, 8);
  QUELL_ASSIGN_OR_RETURN(Authority agents, MakeAuthority("agents" + tail, from, to));
  QUELL_ASSIGN_OR_RETURN(Authority controllers, MakeAuthority("controllers" + tail, from, to));
  QUELL_ASSIGN_OR_RETURN(Authority responders, MakeAuthority("responders" + tail, from, to));
  SigningKey root = former != nullptr ? std::move(former->root) : SigningKey::Generate();
  return Keys{std::move(root),       std::move(agents),      std::move(controllers),
              std::move(responders), SigningKey::Generate(), SigningKey::Generate()};
}

void AddKey(google::protobuf::RepeatedPtrField<v1::PublicKey>* keys, const SigningKey& key,
            const std::string& owner) {
  v1::PublicKey* out = keys->Add();
  out->set_id(key.Id());
  out->set_raw(key.PublicRaw());
  out->set_owner(owner);
}

// Higher than what hosts hold, so that they take it; the old log keys stay, for what they signed is still to
// be verified; nothing else of the old keys does.
void Supersede(const v1::TrustBundle& former, v1::TrustBundle& bundle) {
  bundle.set_serial(former.serial() + 1);
  bundle.set_least_epoch(former.least_epoch() + kEpochStep);
  bundle.mutable_log_keys()->MergeFrom(former.log_keys());
  *bundle.mutable_revoked() = former.revoked();
}

absl::StatusOr<std::string> MakeBundle(const PkiOptions& options, const Keys& keys, const PkiMade& made,
                                       const Former* former) {
  v1::TrustBundle bundle;
  bundle.set_installation(made.installation);
  bundle.set_serial(1);
  QUELL_ASSIGN_OR_RETURN(*bundle.add_agents_ca(), PemToDer(keys.agents.certificate_pem));
  QUELL_ASSIGN_OR_RETURN(*bundle.add_controllers_ca(), PemToDer(keys.controllers.certificate_pem));
  QUELL_ASSIGN_OR_RETURN(*bundle.add_responders_ca(), PemToDer(keys.responders.certificate_pem));
  AddKey(bundle.mutable_command_keys(), keys.command, made.controller_id);
  AddKey(bundle.mutable_log_keys(), keys.log, made.controller_id);
  bundle.set_not_after_us(options.now + options.bundle_life);
  if (former != nullptr) Supersede(former->bundle, bundle);
  return SignTrustBundle(bundle, keys.root);
}

// What an agent's directory is made of, besides what is issued for it.
struct AgentParts {
  std::string installation;
  const Authority& issuer;
  std::string controllers_pem;
  std::string bundle;
  std::string pin;
};

absl::StatusOr<IssuedAgent> WriteAgent(const std::string& base, const std::string& name,
                                       const AgentParts& parts, Micros life, Micros now) {
  IssuedAgent agent{name, RandomUuid(), base + "/agent-" + name};
  const TlsKey key = TlsKey::Generate();
  const CertificateSpec spec = PeerSpec(parts.installation, "agent", agent.id, life, now);
  QUELL_ASSIGN_OR_RETURN(const std::string certificate, IssueCertificate(spec, key, parts.issuer));
  const std::string& in = agent.directory;
  QUELL_RETURN_IF_ERROR(MakeDirectory(in));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/agent.key", key.ToPem().Reveal()));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/agent.crt", certificate));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/host-id", agent.id + "\n"));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/trust.bundle", parts.bundle));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/root.pin", parts.pin + "\n"));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/controllers-ca.pem", parts.controllers_pem));
  return agent;
}

absl::Status WriteAuthority(const std::string& base, const std::string& name, const Authority& authority,
                            std::string_view passphrase) {
  QUELL_RETURN_IF_ERROR(WriteNew(base + "/" + name + "-ca.key", authority.key.ToPem(passphrase).Reveal()));
  return WriteNew(base + "/" + name + "-ca.crt", authority.certificate_pem);
}

absl::Status WriteController(const std::string& in, const PkiOptions& options, const Keys& keys,
                             const PkiMade& made, const std::string& bundle) {
  const TlsKey key = TlsKey::Generate();
  CertificateSpec spec =
      PeerSpec(made.installation, "controller", made.controller_id, options.controller_life, options.now);
  spec.dns = options.dns;
  spec.addresses = options.addresses;
  QUELL_ASSIGN_OR_RETURN(const std::string certificate, IssueCertificate(spec, key, keys.controllers));
  std::string hosts;
  for (const auto& agent : made.agents) hosts += agent.id + " " + agent.name + "\n";
  QUELL_RETURN_IF_ERROR(MakeDirectory(in));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/controller.key", key.ToPem().Reveal()));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/controller.crt", certificate));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/command.key", keys.command.ToPem()));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/log.key", keys.log.ToPem()));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/controller-id", made.controller_id + "\n"));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/trust.bundle", bundle));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/root.pin", made.pin + "\n"));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/agents-ca.pem", keys.agents.certificate_pem));
  QUELL_RETURN_IF_ERROR(WriteNew(in + "/agents-ca.key", keys.agents.key.ToPem().Reveal()));
  return WriteNew(in + "/hosts", hosts);
}

absl::Status WriteRoot(const std::string& base, const PkiOptions& options, const Keys& keys,
                       const PkiMade& made, const std::string& bundle, bool recovered) {
  const std::string& passphrase = options.passphrase.Reveal();
  // A root that was brought along stays where it came from.
  if (!recovered) QUELL_RETURN_IF_ERROR(WriteNew(base + "/trust-root.key", keys.root.ToPem(passphrase)));
  QUELL_RETURN_IF_ERROR(WriteAuthority(base, "agents", keys.agents, ""));
  QUELL_RETURN_IF_ERROR(WriteAuthority(base, "controllers", keys.controllers, passphrase));
  QUELL_RETURN_IF_ERROR(WriteAuthority(base, "responders", keys.responders, passphrase));
  QUELL_RETURN_IF_ERROR(WriteNew(base + "/trust.bundle", bundle));
  QUELL_RETURN_IF_ERROR(WriteNew(base + "/root.pin", made.pin + "\n"));
  return WriteNew(base + "/installation", made.installation + "\n");
}

absl::Status CheckOptions(const PkiOptions& options) {
  if (options.directory.empty()) return absl::InvalidArgumentError("making keys: no directory was named");
  if (options.dns.empty() && options.addresses.empty())
    return absl::InvalidArgumentError(
        "making keys: the controller needs a name or an address that agents dial");
  for (const auto& name : options.dns)
    if (!IsHostName(name))
      return absl::InvalidArgumentError(absl::StrCat("making keys: ", name, " is no DNS name"));
  std::set<std::string> names;
  for (const auto& name : options.agents) {
    if (!IsHostName(name))
      return absl::InvalidArgumentError(absl::StrCat("making keys: ", name, " is no host name"));
    if (!names.insert(name).second)
      return absl::InvalidArgumentError(absl::StrCat("making keys: host ", name, " is named twice"));
  }
  if (options.agent_life <= 0 || options.controller_life <= 0 || options.bundle_life <= 0)
    return absl::InvalidArgumentError("making keys: a certificate's life must be longer than nothing");
  return absl::OkStatus();
}

absl::Status CheckFree(const std::string& directory) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(directory, error))) return absl::OkStatus();
  if (fs::is_directory(fs::symlink_status(directory, error)) && fs::is_empty(directory, error))
    return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("making keys in ", directory, ": something is there, and keys are never overwritten"));
}

absl::StatusOr<PkiMade> WriteEverything(const std::string& base, const PkiOptions& options, Former* former) {
  PkiMade made;
  made.installation = former != nullptr ? former->bundle.installation() : RandomUuid();
  made.controller_id = RandomUuid();
  QUELL_ASSIGN_OR_RETURN(const Keys keys, MakeKeys(options, made.installation, former));
  made.pin = HexEncode(Sha256(keys.root.PublicRaw()));
  QUELL_ASSIGN_OR_RETURN(const std::string bundle, MakeBundle(options, keys, made, former));
  const AgentParts parts{made.installation, keys.agents, keys.controllers.certificate_pem, bundle, made.pin};
  for (const auto& name : options.agents) {
    QUELL_ASSIGN_OR_RETURN(IssuedAgent agent, WriteAgent(base, name, parts, options.agent_life, options.now));
    agent.directory = options.directory + "/agent-" + name;
    made.agents.push_back(std::move(agent));
  }
  QUELL_RETURN_IF_ERROR(WriteRoot(base, options, keys, made, bundle, former != nullptr));
  QUELL_RETURN_IF_ERROR(WriteController(base + "/controller", options, keys, made, bundle));
  return made;
}

absl::StatusOr<PkiMade> MakePki(const PkiOptions& options, Former* former) {
  QUELL_RETURN_IF_ERROR(CheckOptions(options));
  QUELL_RETURN_IF_ERROR(CheckFree(options.directory));
  // Made beside its place and moved there whole: a half-written set of keys is never found.
  const std::string base = options.directory + ".new-" + HexEncode(RandomBytes(6));
  QUELL_RETURN_IF_ERROR(MakeDirectory(base));
  auto made = WriteEverything(base, options, former);
  std::error_code ignored;
  if (!made.ok()) {
    fs::remove_all(base, ignored);
    return made;
  }
  if (rename(base.c_str(), options.directory.c_str()) != 0) {
    const absl::Status status = ErrnoStatus(errno, "moving the new keys to " + options.directory);
    fs::remove_all(base, ignored);
    return status;
  }
  return made;
}

std::string Trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

}  // namespace

absl::StatusOr<PkiMade> InitPki(const PkiOptions& options) { return MakePki(options, nullptr); }

absl::StatusOr<PkiMade> RecoverPki(const PkiOptions& options, const std::string& root_key_path,
                                   const std::string& bundle_path) {
  QUELL_ASSIGN_OR_RETURN(SigningKey root, SigningKey::Load(root_key_path, options.passphrase.Reveal()));
  QUELL_ASSIGN_OR_RETURN(const std::string bytes, RealDisk().Read(bundle_path, kLargestFile));
  const std::string pin = HexEncode(Sha256(root.PublicRaw()));
  auto bundle = OpenTrustBundle(bytes, pin, 0);  // one that has expired serves, too
  if (!bundle.ok()) return Annotate(bundle.status(), bundle_path);
  Former former{std::move(root), *std::move(bundle)};
  return MakePki(options, &former);
}

absl::StatusOr<std::vector<KnownHost>> ReadHosts(const std::string& path) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, RealDisk().Read(path, 64 << 20));
  std::vector<KnownHost> hosts;
  std::set<std::string> seen;
  size_t number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    if (line.empty()) continue;
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words.size() != 2 || !IsUuid(words[0]) || !IsHostName(words[1]))
      return absl::InvalidArgumentError(absl::StrCat(path, ":", number, ":1: not \"UUID NAME\""));
    if (!seen.insert(words[0]).second || !seen.insert(words[1]).second)
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ":1: this host stands in the file twice"));
    hosts.push_back({words[0], words[1]});
  }
  return hosts;
}

absl::StatusOr<IssuedAgent> IssueAgent(const std::string& directory, const std::string& name, Micros life,
                                       Micros now) {
  if (!IsHostName(name))
    return absl::InvalidArgumentError(absl::StrCat("issuing for a host: ", name, " is no host name"));
  const std::string hosts_path = directory + "/controller/hosts";
  QUELL_ASSIGN_OR_RETURN(const std::vector<KnownHost> hosts, ReadHosts(hosts_path));
  for (const auto& host : hosts)
    if (host.name == name)
      return absl::AlreadyExistsError(
          absl::StrCat("issuing for a host: ", name, " has been issued already, as ", host.id));
  QUELL_ASSIGN_OR_RETURN(const Authority issuer,
                         LoadAuthority(directory + "/agents-ca.key", directory + "/agents-ca.crt"));
  QUELL_ASSIGN_OR_RETURN(std::string controllers,
                         RealDisk().Read(directory + "/controllers-ca.crt", kLargestFile));
  QUELL_ASSIGN_OR_RETURN(std::string bundle, RealDisk().Read(directory + "/trust.bundle", kLargestFile));
  QUELL_ASSIGN_OR_RETURN(const std::string pin, RealDisk().Read(directory + "/root.pin", kLargestFile));
  QUELL_ASSIGN_OR_RETURN(const v1::TrustBundle opened, OpenTrustBundle(bundle, Trimmed(pin), now));
  const AgentParts parts{opened.installation(), issuer, std::move(controllers), std::move(bundle),
                         Trimmed(pin)};
  QUELL_ASSIGN_OR_RETURN(IssuedAgent agent, WriteAgent(directory, name, parts, life, now));
  QUELL_RETURN_IF_ERROR(WriteWith(hosts_path, agent.id + " " + agent.name + "\n", O_APPEND));
  return agent;
}

}  // namespace quell::security
