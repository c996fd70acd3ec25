// `quell init`: a draft of catalogue.yaml from what the controller sees. Pure.
#pragma once
#include <string>
#include <vector>

#include "controller/catalogue/own.h"

namespace quell::catalogue {

inline constexpr size_t kLongestDraft = 512 << 10;  // bytes; what has no room is counted in a comment

// The OwnServices of these hosts as YAML with comments, which loads as it stands and gives the same. Names
// come from hosts: they are quoted, and what no catalogue may hold is left out and shown, encoded, in a
// comment.
std::string Draft(const std::vector<SeenHost>& hosts);

}  // namespace quell::catalogue
