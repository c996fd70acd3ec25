// `quell agent …`: which hosts belong to the fleet. One thread.
#pragma once
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/session.h"
#include "quell/v1/operator.pb.h"

namespace quell::cli {

struct TokenOptions {
  std::string host;
  std::vector<std::string> labels;  // key=value
  std::string good_for;             // "1h"; empty: the controller's own time
  bool replace = false;
  std::string out;  // a new file, made 0600; "-": standard output
};

// Has a token made and puts it where it was asked for, and nowhere else.
int MakeToken(Session& session, const TokenOptions& options, std::ostream& out);

// "role=web" sets a label, "site-" takes one away; InvalidArgument for anything else.
absl::StatusOr<v1::AgentLabels> LabelChanges(const std::string& host, const std::vector<std::string>& words);

}  // namespace quell::cli
