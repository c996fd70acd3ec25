#include "agent/app/config.h"

#include <filesystem>

#include "agent/link/address.h"

namespace quell::agent {
namespace {

using config::kRequired;
using config::MapReader;
using config::YamlNode;

constexpr char kEnrolPort[] = ":7401";

void CheckAddresses(const std::vector<std::string>& addresses, const YamlNode& place,
                    config::Problems& problems) {
  for (const std::string& address : addresses) {
    absl::Status status = HostOfAddress(address).status();
    if (!status.ok()) problems.Add(place.At(std::string(status.message())));
  }
}

void ReadController(const YamlNode& node, config::Problems& problems, AgentConfig& config) {
  MapReader map(node, problems, "controller");
  map.Strings("addresses", &config.addresses, kRequired);
  map.Strings("enrol", &config.enrol);
  const YamlNode* place = map.Node("addresses");
  const YamlNode* enrol = map.Node("enrol");
  map.Finish();
  if (place == nullptr) return;
  if (config.addresses.empty()) problems.Add(place->At("controller.addresses names no controller"));
  CheckAddresses(config.addresses, *place, problems);
  if (enrol != nullptr) CheckAddresses(config.enrol, *enrol, problems);
  if (enrol != nullptr) return;
  for (const std::string& address : config.addresses)
    config.enrol.push_back(address.substr(0, address.rfind(':')) + kEnrolPort);
}

void ReadTls(const YamlNode& node, config::Problems& problems, AgentConfig& config) {
  MapReader map(node, problems, "tls");
  map.String("key", &config.key);
  map.String("certificate", &config.certificate);
  map.String("trust_bundle", &config.trust_bundle);
  map.String("root_pin", &config.root_pin);
  map.Finish();
}

void ReadExecutor(const YamlNode& node, config::Problems& problems, AgentConfig& config) {
  MapReader map(node, problems, "executor");
  map.String("socket", &config.executor_socket, kRequired);
  map.Finish();
}

}  // namespace

AgentConfig LoadAgentConfig(const std::string& path, config::Problems& problems) {
  AgentConfig config;
  const YamlNode root = config::ParseYamlFile(path, problems);
  if (!problems.ok()) return config;
  MapReader map(root, problems, "agent.yaml");
  map.Map(
      "controller", [&](const YamlNode& node) { ReadController(node, problems, config); }, kRequired);
  map.String("state", &config.state);
  map.Map("tls", [&](const YamlNode& node) { ReadTls(node, problems, config); });
  map.Map("executor", [&](const YamlNode& node) { ReadExecutor(node, problems, config); });
  map.Map("collectors",
          [&](const YamlNode& node) { config.collectors = ParseCollectorsConfig(node, problems); });
  map.Finish();
  const std::filesystem::path directory = std::filesystem::absolute(path).parent_path();
  for (std::string* file : {&config.state, &config.key, &config.certificate, &config.trust_bundle,
                            &config.root_pin, &config.executor_socket})
    *file = (directory / *file).lexically_normal().string();
  config.host_id = (std::filesystem::path(config.root_pin).parent_path() / "host-id").string();
  return config;
}

}  // namespace quell::agent
