#include "controller/app/load.h"

#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/metrics/metrics.h"
#include "controller/app/config_parts.h"
#include "controller/catalogue/loader.h"
#include "controller/policy/loader.h"

namespace quell::app {
namespace {

constexpr uint64_t kLongestRuleFile = 4 << 20;
constexpr uint64_t kLongestCatalogue = 1 << 20;

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

// Where a catalogue lies: beside controller.yaml.
std::string CataloguePath(const std::string& path) {
  const size_t slash = path.rfind('/');
  return (slash == std::string::npos ? "" : path.substr(0, slash + 1)) + "catalogue.yaml";
}

// The record of the configuration gets it too, without what it says of people; true: there is one.
bool LoadCatalogue(const std::string& path, config::Problems& problems, Loaded& loaded) {
  const auto text = RealDisk().Read(path, kLongestCatalogue);
  if (absl::IsNotFound(text.status())) return false;
  if (!text.ok()) {
    problems.Add({.file = path, .line = 1, .column = 1, .message = std::string(text.status().message())});
    return false;
  }
  config::YamlNode root = config::ParseYaml(path, *text, problems);
  auto catalogue = std::make_shared<catalogue::Catalogue>(catalogue::ReadCatalogue(root, problems));
  if (catalogue->services.empty()) return false;
  loaded.catalogue = std::move(catalogue);
  std::erase_if(root.entries, [](const auto& entry) { return entry.first.scalar == "people"; });
  absl::StrAppend(&loaded.config.redacted, "\ncatalogue.yaml: ", Redact(root));
  return true;
}

// What the service manager hands over (LoadCredential=pki:DIR) goes first: DIR may then be root's alone.
void TakeCredentials(ControllerConfig& config) {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  if (directory == nullptr) return;
  PkiPaths& pki = config.pki;
  for (std::string* path :
       {&pki.key, &pki.certificate, &pki.agents_ca, &pki.agents_ca_key, &pki.trust_bundle, &pki.root_pin,
        &pki.command_key, &pki.log_key, &pki.controller_id, &config.hosts_file}) {
    if (!absl::StartsWith(*path, pki.directory + "/")) continue;
    const std::string handed = absl::StrCat(directory, "/pki_", path->substr(pki.directory.size() + 1));
    if (RealDisk().Exists(handed)) *path = handed;
  }
}

}  // namespace

Loaded LoadAll(const std::string& path, config::Problems& problems) {
  Loaded loaded;
  loaded.config = LoadControllerConfig(path, problems);
  TakeCredentials(loaded.config);
  v1::Config& config = loaded.config.config;
  for (v1::Policy& policy : policy::LoadPolicyFiles(loaded.config.policy_files, problems)) {
    *config.add_policies() = std::move(policy);
  }
  const bool catalogued = LoadCatalogue(CataloguePath(path), problems, loaded);
  loaded.rules =
      rules::LoadRules(ReadRuleFiles(loaded.config.rule_files, problems), ProvenanceOfMetric, problems);
  if (loaded.rules == nullptr) return loaded;
  for (const v1::AlertRule& alert : loaded.rules->alerts) *config.add_alerts() = alert;
  config.clear_sha256();
  config.set_sha256(HexEncode(
      Sha256(config.SerializeAsString() + (catalogued ? Sha256(loaded.config.redacted) : std::string()))));
  return loaded;
}

}  // namespace quell::app
