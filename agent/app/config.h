// agent.yaml as plain values. Pure.
//
//   controller:
//     addresses: ["quell.example:7400"]
//     enrol: ["quell.example:7401"]      # enrolment ports; by default 7401 of each address
//   state: /var/lib/quell-agent          # made when absent
//   tls:                                 # each by default in agent.yaml's own directory, as `pki init` names
//   them
//     key: agent.key
//     certificate: agent.crt
//     trust_bundle: trust.bundle
//     root_pin: root.pin                 # file; host-id lies beside it
//   executor: {socket: /run/quell/executor.sock}
//   collectors: {…}                      # agent/collectors/config.h
//
// Relative paths start at agent.yaml's directory.
#pragma once
#include <string>
#include <vector>

#include "agent/collectors/config.h"
#include "common/config/yaml.h"

namespace quell::agent {

struct AgentConfig {
  std::vector<std::string> addresses;
  std::vector<std::string> enrol;
  std::string state = "/var/lib/quell-agent";
  std::string key = "agent.key";
  std::string certificate = "agent.crt";
  std::string trust_bundle = "trust.bundle";
  std::string root_pin = "root.pin";
  std::string host_id;  // beside root_pin
  std::string executor_socket = "/run/quell/executor.sock";
  CollectorsConfig collectors;
};

// Every mistake goes to `problems`; the result counts only when there are none.
AgentConfig LoadAgentConfig(const std::string& path, config::Problems& problems);

}  // namespace quell::agent
