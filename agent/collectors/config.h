// The section `collectors:` of agent.yaml, as plain values. Pure.
//
//   collectors:
//     host: {every: 1s}
//     pm2: {users: [deploy, {user: other, home: /srv/pm2}]}
//     probes: [{name: health, about: {user: deploy, app: portal}, url: "http://127.0.0.1:3000/health",
//               every: 1s, timeout: 2s, expect: {status: 200, body: ok}}]
//     postgres: [{name: main, dsn: "host=/var/run/postgresql user=quell_monitor dbname=boutique", every: 5s}]
#pragma once
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
  std::string password_file;  // empty: none, as with peer authentication
  std::string log_file;       // the server's log; empty: as the server says itself, if it does
};
struct CollectorsConfig {
  HostConfig host;
  Pm2Config pm2;
  std::vector<ProbeConfig> probes;
  std::vector<PostgresConfig> postgres;
};

// Reads the node under `collectors:`; every mistake goes to `problems`.
CollectorsConfig ParseCollectorsConfig(const config::YamlNode& node, config::Problems& problems);

}  // namespace quell::agent
