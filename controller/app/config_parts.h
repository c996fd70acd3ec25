// The parts of controller.yaml, each read into the configuration. Main thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/config/yaml.h"
#include "controller/app/config.h"

namespace quell::app {

// P0–P3 of a scalar; a mistake at its place and SEVERITY_UNSPECIFIED otherwise.
v1::Severity ReadSeverity(const config::YamlNode& node, config::Problems& problems);

void ReadDeadlines(config::MapReader& map, config::Problems& problems, v1::Config& config);
void ReadReceivers(config::MapReader& map, config::Problems& problems, ControllerConfig& config);
// After the receivers: names are checked against them.
void ReadAudience(config::MapReader& map, config::Problems& problems, ControllerConfig& config);
void ReadRoutes(config::MapReader& map, config::Problems& problems, ControllerConfig& config);

// Who may write on the web port, and what. A relative token_file begins at `base`.
void ReadSources(config::MapReader& map, config::Problems& problems, const std::string& base,
                 ControllerConfig& config);

// Files that a list of paths, directories and patterns names, sorted, each once. `base` is where relative
// ones begin.
std::vector<std::string> FindFiles(const config::YamlNode& list, const std::string& base,
                                   config::Problems& problems);
std::vector<std::string> FilesIn(const std::string& directory);  // *.yml and *.yaml; none when it is absent
// Those of both, by name: one in `directory` replaces the one of its name, and a link to /dev/null takes it
// away.
std::vector<std::string> FilesOver(const std::string& defaults, const std::string& directory);

// A file as text for the record: flow style, comments gone, values of `url` replaced.
std::string Redact(const config::YamlNode& node);

}  // namespace quell::app
