#include "controller/app/config.h"

#include "absl/strings/match.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "controller/app/config_parts.h"

namespace quell::app {
namespace {

constexpr uint64_t kLargest = 1 << 20;
constexpr Micros kShortestLife = kMinute;  // of a certificate: renewed at half of it
constexpr Micros kLongestLife = 30 * kDay;

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string Resolve(const std::string& base, const std::string& path) {
  return path.empty() || path[0] == '/' ? path : base + "/" + path;
}

void ReadPath(config::MapReader& map, const char* key, const std::string& base, std::string* out) {
  map.String(key, out);
  *out = Resolve(base, *out);
}

void ReadListen(config::MapReader& map, config::Problems& problems, ControllerConfig& config) {
  map.Map("listen", [&](const config::YamlNode& node) {
    config::MapReader listen(node, problems, "listen");
    listen.String("agents", &config.listen_agents);
    listen.String("web", &config.listen_web);
    listen.String("enrol", &config.listen_enrol);
    listen.String("responders", &config.listen_responders);
    listen.Finish();
    for (const char* key : {"agents", "web", "enrol", "responders"}) {
      const config::YamlNode* value = node.Find(key);
      if (value != nullptr && value->scalar.rfind(':') == std::string::npos) {
        problems.Add(value->At("an address to listen on is host:port"));
      }
    }
  });
}

void ReadPki(config::MapReader& map, config::Problems& problems, const std::string& base, PkiPaths& pki) {
  static constexpr struct {
    const char* key;
    const char* file;
    std::string PkiPaths::*path;
  } kFiles[] = {{"key", "controller.key", &PkiPaths::key},
                {"certificate", "controller.crt", &PkiPaths::certificate},
                {"agents_ca", "agents-ca.pem", &PkiPaths::agents_ca},
                {"agents_ca_key", "agents-ca.key", &PkiPaths::agents_ca_key},
                {"trust_bundle", "trust.bundle", &PkiPaths::trust_bundle},
                {"root_pin", "root.pin", &PkiPaths::root_pin},
                {"command_key", "command.key", &PkiPaths::command_key},
                {"log_key", "log.key", &PkiPaths::log_key},
                {"controller_id", "controller-id", &PkiPaths::controller_id}};
  pki.directory = base;
  map.Map("pki", [&](const config::YamlNode& node) {
    config::MapReader reader(node, problems, "pki");
    ReadPath(reader, "directory", base, &pki.directory);
    for (const auto& file : kFiles) ReadPath(reader, file.key, base, &(pki.*file.path));
    reader.Finish();
  });
  for (const auto& file : kFiles) {
    if ((pki.*file.path).empty()) pki.*file.path = pki.directory + "/" + file.file;
  }
}

void ReadHosts(config::MapReader& map, config::Problems& problems, const std::string& base,
               ControllerConfig& config) {
  config.hosts_file = config.pki.directory + "/hosts";
  ReadPath(map, "hosts_file", base, &config.hosts_file);
  map.Entries("host_labels", [&](const config::YamlNode& host, const config::YamlNode& labels) {
    if (!IsHostName(host.scalar)) return problems.Add(host.At("this is not a host's name"));
    config::MapReader reader(labels, problems, "host_labels");
    auto& kept = config.host_labels[host.scalar];
    for (const auto& [name, value] : labels.entries) {
      reader.String(name.scalar, &kept[name.scalar]);
      if (name.scalar == "instance" || name.scalar == "job") {
        problems.Add(name.At("instance and job are set by quell itself"));
      }
    }
  });
}

void ReadAgents(config::MapReader& map, config::Problems& problems, ControllerConfig& config) {
  map.Map("agents", [&](const config::YamlNode& node) {
    config::MapReader agents(node, problems, "agents");
    agents.Duration("certificate_lifetime", &config.certificate_lifetime);
    agents.Finish();
    if (config.certificate_lifetime < kShortestLife || config.certificate_lifetime > kLongestLife)
      problems.Add(node.Find("certificate_lifetime")
                       ->At(absl::StrCat("certificate_lifetime is ", FormatDuration(kShortestLife), " to ",
                                         FormatDuration(kLongestLife))));
  });
}

void ReadFiles(config::MapReader& map, const std::string& key, const std::string& base,
               const std::string& defaults, config::Problems& problems, std::vector<std::string>& out) {
  const std::string folder = "/" + key + ".d";
  if (const config::YamlNode* list = map.Node(key.c_str()); list != nullptr) {
    out = FindFiles(*list, base, problems);
  } else {
    out = defaults.empty() ? FilesIn(base + folder) : FilesOver(defaults + folder, base + folder);
  }
}

void ReadUrl(config::MapReader& map, const config::YamlNode& root, config::Problems& problems,
             v1::Config& config) {
  std::string url;
  map.String("external_url", &url);
  config.set_external_url(url);
  if (!url.empty() && !absl::StartsWith(url, "https://") && !absl::StartsWith(url, "http://")) {
    problems.Add(root.Find("external_url")->At("external_url must begin with https:// or http://"));
  }
}

void ReadPeriod(config::MapReader& map, const config::YamlNode& root, config::Problems& problems,
                const char* key, Micros least, Micros* out) {
  map.Duration(key, out);
  if (*out < least) {
    problems.Add(root.Find(key)->At(absl::StrCat(key, " must be at least ", FormatDuration(least))));
  }
}

}  // namespace

ControllerConfig ParseControllerConfig(const std::string& path, std::string_view text,
                                       config::Problems& problems) {
  ControllerConfig config;
  const std::string base = DirectoryOf(path);
  const config::YamlNode root = config::ParseYaml(path, text, problems);
  config::MapReader map(root, problems, "controller.yaml");
  ReadListen(map, problems, config);
  ReadPath(map, "socket", base, &config.socket);
  map.Map("store", [&](const config::YamlNode& node) {
    config::MapReader store(node, problems, "store");
    ReadPath(store, "sqlite", base, &config.sqlite);
    store.Finish();
  });
  ReadPki(map, problems, base, config.pki);
  ReadHosts(map, problems, base, config);
  ReadAgents(map, problems, config);
  ReadUrl(map, root, problems, config.config);
  ReadDeadlines(map, problems, config.config);
  Micros monitoring = 30 * kMinute;
  Micros lost_after = 15 * kSecond;
  ReadPeriod(map, root, problems, "monitoring", kSecond, &monitoring);
  ReadPeriod(map, root, problems, "lost_after", 10 * kSecond, &lost_after);  // two heartbeats
  config.config.set_monitoring_us(monitoring);
  config.config.set_lost_after_us(lost_after);
  ReadReceivers(map, problems, config);
  ReadAudience(map, problems, config);
  ReadRoutes(map, problems, config);
  ReadSources(map, problems, base, config);
  std::string defaults;
  ReadPath(map, "defaults", base, &defaults);
  ReadFiles(map, "rules", base, defaults, problems, config.rule_files);
  ReadFiles(map, "policies", base, defaults, problems, config.policy_files);
  map.Finish();
  config.config.set_sha256(HexEncode(Sha256(text)));
  config.redacted = Redact(root);
  return config;
}

ControllerConfig LoadControllerConfig(const std::string& path, config::Problems& problems) {
  const auto text = RealDisk().Read(path, kLargest);
  if (text.ok()) return ParseControllerConfig(path, *text, problems);
  problems.Add({path, 1, 1, std::string(text.status().message())});
  return {};
}

}  // namespace quell::app
