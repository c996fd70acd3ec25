#include "controller/app/load.h"

#include <utility>

#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/metrics/metrics.h"
#include "controller/policy/loader.h"

namespace quell::app {
namespace {

constexpr uint64_t kLongestRuleFile = 4 << 20;

std::string ProvenanceOfMetric(std::string_view metric) {
  const MetricDescriptor* row = FindMetric(metric);
  return row == nullptr ? "" : std::string(ProvenanceName(row->provenance));
}

std::vector<rules::RuleFile> ReadRuleFiles(const std::vector<std::string>& paths,
                                           config::Problems& problems) {
  std::vector<rules::RuleFile> files;
  for (const std::string& path : paths) {
    auto text = RealDisk().Read(path, kLongestRuleFile);
    if (!text.ok()) {
      problems.Add({.file = path, .line = 1, .column = 1, .message = std::string(text.status().message())});
      continue;
    }
    files.push_back({.path = path, .text = *std::move(text)});
  }
  return files;
}

}  // namespace

Loaded LoadAll(const std::string& path, config::Problems& problems) {
  Loaded loaded;
  loaded.config = LoadControllerConfig(path, problems);
  v1::Config& config = loaded.config.config;
  for (v1::Policy& policy : policy::LoadPolicyFiles(loaded.config.policy_files, problems)) {
    *config.add_policies() = std::move(policy);
  }
  loaded.rules =
      rules::LoadRules(ReadRuleFiles(loaded.config.rule_files, problems), ProvenanceOfMetric, problems);
  if (loaded.rules == nullptr) return loaded;
  for (const v1::AlertRule& alert : loaded.rules->alerts) *config.add_alerts() = alert;
  config.clear_sha256();
  config.set_sha256(HexEncode(Sha256(config.SerializeAsString())));
  return loaded;
}

}  // namespace quell::app
