// `quell login`: a key of one's own, the request for a certificate, and the context that comes of it. The key
// is made here and never leaves: DIR/keys/ID.key, mode 0600, named after its public half, so that a request
// under way and the certificate in use stand beside each other. Nothing here speaks to the controller.
// One thread.
#pragma once
#include <string>

#include "cli/session.h"

namespace quell::cli {

struct LoginOptions {
  std::string request;      // --csr-out: the file to make
  std::string name;         // --name: for whoever reads the request
  std::string certificate;  // --certificate: what came back
  std::string address;      // HOST:PORT of the responders' listener
  std::string pin;          // "": the one in the file, which is printed to be compared
};

int Login(Session& session, const LoginOptions& options);

}  // namespace quell::cli
