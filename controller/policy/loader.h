// Policies from the YAML files of policies.d. Every mistake is gathered with its place; one anywhere means
// that nothing is loaded. Pure but for LoadPolicyFiles, which reads the named files.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/config/yaml.h"
#include "quell/v1/state.pb.h"

namespace quell::policy {

// One file's text. `name` stands in messages and in Policy.source_file.
std::vector<v1::Policy> ParsePolicies(std::string_view name, std::string_view text,
                                      config::Problems& problems);
// In the order given; a name used twice is a mistake. Empty when `problems` got anything.
std::vector<v1::Policy> LoadPolicyFiles(const std::vector<std::string>& paths, config::Problems& problems);

}  // namespace quell::policy
