// `quell approve`: shows what is to be signed, asks, signs it with the key of the context, and sends it. By
// the controller's own socket nobody has a key: that approval is not signed, and enough only where no host's
// sanction asks for one. One thread.
#pragma once
#include <string>
#include <vector>

#include "cli/session.h"
#include "quell/v1/commands.pb.h"

namespace quell::cli {

struct ApproveOptions {
  std::string command;  // or a plan
  std::string why;
  bool yes = false;  // do not ask
};
int Approve(Session& session, const ApproveOptions& options);

// What a person signs, all of it, in lines for a terminal (not yet encoded for one). Pure.
std::vector<std::string> IntentLines(const v1::Intent& intent);

// Whether this command (or plan) waits for the signature of `person`, who asked for it: a host wants two.
bool WaitsForRequester(const Json& described, const std::string& person);

}  // namespace quell::cli
