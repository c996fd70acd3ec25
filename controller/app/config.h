// controller.yaml: read once at the start and at SIGHUP, by the main thread. Every mistake is told at once
// with file:line:column, and nothing is taken from a file that has one. Values.
//
//   listen: {agents: "0.0.0.0:7400", web: "127.0.0.1:7402", enrol: "0.0.0.0:7401"}   # enrol: none by default
//   agents: {certificate_lifetime: 24h}     # of those that enrol; 1m to 30d
//   socket: /run/quell-controller/operator.sock
//   store: {sqlite: /var/lib/quell-controller/log.db}
//   pki: {directory: D, key: F, certificate: F, agents_ca: F, agents_ca_key: F, trust_bundle: F, root_pin: F,
//   command_key: F,
//         log_key: F, controller_id: F}
//   hosts_file: F            # what `pki init` writes; by default `hosts` in the pki directory
//   host_labels: {web-1: {role: web}}     # of hosts in the hosts file; those of others come with their token
//   external_url: https://quell.example
//   deadlines: {P0: {acknowledge: 5m, respond: 15m, update: 15m}, …}   monitoring: 30m   lost_after: 15s
//   audience: {P0: [oncall, management]}
//   receivers: {oncall: {type: email, …}}
//   routes: [{severity: [P0, P1], to: [chat]}]
//   sources: [{name: ci, token_file: F, may: observe, changes: true, services: [portal], per_minute: 30}]
//   rules: [rules.d, "/etc/quell/more/*.yml"]   policies: [policies.d]
//   defaults: /usr/share/quell   # where rules and policies are not listed: its rules.d and policies.d
//   beneath ours
//
// A relative path begins at the file's own directory; so do the defaults of pki, rules and policies. Rules
// and policies are files, directories (their *.yml and *.yaml by name) or patterns.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/config/yaml.h"
#include "controller/http/changes.h"
#include "controller/receivers/outbox.h"
#include "quell/v1/state.pb.h"

namespace quell::app {

struct PkiPaths {
  std::string directory;
  std::string key;            // controller.key
  std::string certificate;    // controller.crt
  std::string agents_ca;      // agents-ca.pem
  std::string agents_ca_key;  // agents-ca.key; absent: nobody is certified by this controller
  std::string trust_bundle;   // trust.bundle
  std::string root_pin;       // root.pin
  std::string command_key;    // command.key
  std::string log_key;        // log.key
  std::string controller_id;  // controller-id
};

struct ControllerConfig {
  std::string listen_agents = "0.0.0.0:7400";
  std::string listen_web = "127.0.0.1:7402";
  std::string listen_enrol;       // empty: nobody enrols here
  std::string listen_responders;  // empty: people come by the socket alone
  Micros certificate_lifetime = kDay;
  std::string socket = "/run/quell-controller/operator.sock";
  std::string sqlite = "/var/lib/quell-controller/log.db";
  PkiPaths pki;
  std::string hosts_file;
  std::map<std::string, std::map<std::string, std::string>> host_labels;  // by host name
  std::vector<std::string> rule_files;
  std::vector<std::string> policy_files;
  v1::Config config;               // all but policies and alerts
  receivers::Receivers receivers;  // ready to send
  std::vector<http::ChangeSource> sources;
  std::string redacted;  // the file's content for the record: no comments, no URLs of receivers
};

// The file at `path`; on a mistake the answer is not to be used.
ControllerConfig LoadControllerConfig(const std::string& path, config::Problems& problems);
// The same from text; `path` says where it lies.
ControllerConfig ParseControllerConfig(const std::string& path, std::string_view text,
                                       config::Problems& problems);

}  // namespace quell::app
