// RealHost: the machine as a HostView, and the part of agent.yaml that the executor reads. One thread.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "agent/executor/host_view.h"

namespace quell::agent {

struct RealHostOptions {
  std::string sanctions_path;
  std::string hold_path;
  std::string agent_yaml;  // for its PostgreSQL servers
  std::string passwd_path = "/etc/passwd";
  uid_t owner = 0;                               // whose the host's files must be besides root
  std::map<std::string, std::string> pm2_homes;  // user -> home, where it isn't ~/.pm2
};

class RealHost final : public HostView {
 public:
  explicit RealHost(RealHostOptions options) : options_(std::move(options)) {}
  bool Held() override;
  SanctionsFile ReadSanctions() override;
  absl::StatusOr<HostUser> FindUser(std::string_view name) override;
  absl::StatusOr<v1::PostgresPlace> FindPostgres(std::string_view connection) override;
  absl::StatusOr<std::string> ReadQuery(const std::string& path) override;
  absl::StatusOr<std::string> KernelStack(int64_t pid, uid_t uid) override;

 private:
  const RealHostOptions options_;
};

struct Pm2User {
  std::string name;
  std::string home;  // empty: ~/.pm2
};
// collectors.pm2.users of agent.yaml: names, or {user: NAME, home: DIR}. The rest of the file is the agent's.
absl::StatusOr<std::vector<Pm2User>> ReadPm2Users(const std::string& agent_yaml, uid_t owner);

}  // namespace quell::agent
