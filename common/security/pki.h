// The installation's keys as files. InitPki makes all of them at once; IssueAgent adds a host to what is
// there. Nothing is ever overwritten; directories are 0700, files 0600. Called by the command line alone.
//
//   DIR/trust-root.key  agents-ca.{key,crt}  controllers-ca.{key,crt}  responders-ca.{key,crt}
//       trust.bundle    signed by the trust root
//       root.pin        hex SHA-256 of the trust root's public key
//       installation    its uuid
//   DIR/controller/     controller.{key,crt} command.key log.key controller-id trust.bundle root.pin
//                       agents-ca.{key,pem}   the one authority that is online: it certifies who enrols
//                       hosts            "UUID NAME" per line: the hosts that were issued a certificate
//   DIR/agent-NAME/     agent.{key,crt} host-id trust.bundle root.pin controllers-ca.pem
//
// The trust root and the responders' CA belong off the machine; with a passphrase their keys are encrypted.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/secret.h"

namespace quell::security {

struct PkiOptions {
  std::string directory;               // made here; refused when it exists and is not empty
  std::vector<std::string> dns;        // the controller's names, as agents dial them
  std::vector<std::string> addresses;  // the controller's IP addresses, as agents dial them
  std::vector<std::string> agents;     // host names to issue for
  Secret passphrase;                   // of the trust root and the responders' CA; empty: none
  // Certificates in files are not renewed by themselves, so these outlive the 24 h that renewed ones have.
  Micros agent_life = 30 * kDay;
  Micros controller_life = 365 * kDay;
  Micros bundle_life = 2 * 365 * kDay;
  Micros authority_life = 10 * 365 * kDay;
  Micros now = 0;  // wall time
};

struct IssuedAgent {
  std::string name;
  std::string id;         // uuid
  std::string directory;  // agent-NAME
};

struct PkiMade {
  std::string installation;
  std::string controller_id;
  std::string pin;
  std::vector<IssuedAgent> agents;
};

absl::StatusOr<PkiMade> InitPki(const PkiOptions& options);

// After a controller was lost: new authorities, keys and a bundle of the same installation, signed by its
// trust root (`options.passphrase` opens it too), of a higher serial than `bundle_path` (any host's
// trust.bundle) and a least epoch above all of the lost controller's. Hosts take it untouched; what the old
// keys signed from now on is worth nothing. The root's key is not copied into the directory.
absl::StatusOr<PkiMade> RecoverPki(const PkiOptions& options, const std::string& root_key_path,
                                   const std::string& bundle_path);

// The bundle at `bundle_path` (signed by this root) with a higher serial and these among the revoked: uuids
// of agents and controllers, names of persons. What hosts hold of an older serial gives way to it.
struct RevokedBundle {
  std::string bytes;  // signed
  uint64_t serial = 0;
  std::vector<std::string> revoked;  // all of them
};
absl::StatusOr<RevokedBundle> RevokeInBundle(const std::string& bundle_path, const std::string& root_key_path,
                                             const Secret& passphrase, const std::vector<std::string>& ids);

// Issues for one more host from an existing directory. AlreadyExists when the name was issued before.
absl::StatusOr<IssuedAgent> IssueAgent(const std::string& directory, const std::string& name, Micros life,
                                       Micros now);

// "UUID NAME" lines of DIR/controller/hosts. Refuses a bad or repeated line with its number.
struct KnownHost {
  std::string id;
  std::string name;
};
absl::StatusOr<std::vector<KnownHost>> ReadHosts(const std::string& path);

}  // namespace quell::security
