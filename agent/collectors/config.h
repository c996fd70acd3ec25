// The section `collectors:` of agent.yaml, as plain values. Pure.
//
//   collectors:
//     host: {every: 1s}
//     pm2: {users: [deploy, {user: other, home: /srv/pm2}]}
//     probes: [{name: health, about: {user: deploy, app: portal}, url: "http://127.0.0.1:3000/health",
//               every: 1s, timeout: 2s, expect: {status: 200, body: ok}}]
//     postgres: [{name: main, dsn: "host=/var/run/postgresql user=quell_monitor dbname=boutique", every: 5s}]
//     changes: {every: 15s, releases: [{user: deploy, app: portal, path: /opt/portal}], git: [/srv/app],
//               files: ["/opt/portal/app/.env*"], packages: true}
//
// An item of `git` and `files` is a path, or {path: …, user: …, app: …, service: …}.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/config/postgres_dsn.h"
#include "common/config/yaml.h"

namespace quell::agent {

struct HostConfig {
  Micros every = kSecond;
};
struct Pm2User {
  std::string user;
  std::string home;  // PM2_HOME; empty: ~user/.pm2
};
struct Pm2Config {
  Micros every = kSecond;  // of the readings from /proc; the list's pace is the reader's
  std::vector<Pm2User> users;
};
struct ProbeConfig {
  std::string name;
  std::string user;  // from `about`: whose app
  std::string app;
  std::string url;  // http or https
  Micros every = 5 * kSecond;
  Micros timeout = 2 * kSecond;
  int64_t status = 0;   // expected; 0: any of 200..299
  std::string body;     // a text that the answer's first MiB must contain; empty: any
  std::string ca_file;  // instead of the system's authorities
};
struct PostgresConfig {
  std::string name;  // the label `server`, and what commands call it: letters, digits, _ . -
  config::PostgresDsn dsn;
  Micros every = 5 * kSecond;
  Micros long_query_after = 30 * kSecond;  // a statement that runs so long is told of by itself
  std::string password_file;               // empty: none, as with peer authentication
  std::string log_file;                    // the server's log; empty: as the server says itself, if it does
};
// A place whose changes are told, and whose they are: `service` is the app when it isn't named.
struct ChangePlace {
  std::string path;  // absolute; of files a pattern of names: * ? [] within one component
  std::string user;
  std::string app;
  std::string service;
};
struct ChangesConfig {
  Micros every = 15 * kSecond;
  std::vector<ChangePlace> releases;  // directories with a link `current`; user and app are named
  std::vector<ChangePlace> git;       // work trees or bare repositories
  std::vector<ChangePlace> files;
  bool packages = false;  // /var/log/dpkg.log
};
struct CollectorsConfig {
  HostConfig host;
  Pm2Config pm2;
  std::vector<ProbeConfig> probes;
  std::vector<PostgresConfig> postgres;
  std::optional<ChangesConfig> changes;
};

// Reads the node under `collectors:`; every mistake goes to `problems`.
CollectorsConfig ParseCollectorsConfig(const config::YamlNode& node, config::Problems& problems);

}  // namespace quell::agent
