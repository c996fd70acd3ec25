// Which controller is meant, and as whom: the contexts of ~/.config/quell/config.yaml, and the key and
// certificate that one of them names. The file is this user's or root's, and writable by nobody else; keys
// are refused when others can read them. Values; one thread.
//
//   contexts:
//     prod: {address: "quell.example:7403", key_file: keys/a1b2.key, certificate_file: keys/a1b2.crt,
//            trust_file: keys/a1b2.bundle, pin: HEX}
//   current: prod
//
// File names are taken from the file's own directory on. Without a context, or with `--socket`, the way is
// the controller's Unix socket.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/program.h"
#include "common/base/time.h"
#include "common/security/grpc_credentials.h"

namespace quell::cli {

struct Context {
  std::string address;           // HOST:PORT of the responders' listener
  std::string key_file;          // PEM, mode 0600
  std::string certificate_file;  // PEM
  std::string trust_file;        // a signed trust bundle
  std::string pin;               // hex SHA-256 of the trust root's key that signs the bundle
};
struct Contexts {
  std::map<std::string, Context> all;
  std::string current;  // "": none
};

// $XDG_CONFIG_HOME/quell, else $HOME/.config/quell; "" when neither is set.
std::string ConfigDirectory(const Surroundings& around);
// An absent file (or directory "") is no contexts; InvalidArgument has a line for each mistake.
absl::StatusOr<Contexts> ReadContexts(const std::string& directory);
// Writes the whole file anew; comments in it are lost.
absl::Status WriteContexts(const std::string& directory, const Contexts& contexts);
// `wanted`, else the current one; NotFound names those that there are. Its files' names are whole.
absl::StatusOr<Context> FindContext(const std::string& directory, const Contexts& contexts,
                                    const std::string& wanted);

// What a person shows and signs with.
struct Identity {
  std::string person;  // the name in the certificate
  security::TlsIdentity tls;
  std::shared_ptr<security::TrustHolder> trust;  // shared with the connection's verifier
};
// Reads the context's files and checks that they make a person of this installation, today.
absl::StatusOr<Identity> LoadIdentity(const Context& context, Micros wall_now);

}  // namespace quell::cli
