// What a host shows of itself to `quell-agent doctor` and `quell-agent init`: who listens at which Unix
// socket, whose PM2 daemons and which PostgreSQL servers those are. Reads files below a root ("" is the
// machine), starts nothing, connects to nothing. Functions; any thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace quell::agent {

struct FoundPm2 {
  std::string user;
  std::string home;                  // empty: ~user/.pm2
  std::set<std::string> apps;        // by its pid files; at most 100
  std::map<std::string, int> ports;  // app -> the TCP port that its process alone listens on; as root
};

struct FoundPostgres {
  std::string directory;  // of its socket
  int64_t port = 5432;
};

struct Account {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
  std::string home;
};

// Paths of Unix sockets that somebody listens on, as /proc/net/unix has them.
std::set<std::string> ListeningSockets(const std::string& root);
// From /etc/passwd alone.
std::vector<Account> Accounts(const std::string& root);
std::vector<FoundPm2> FindPm2(const std::string& root);
std::vector<FoundPostgres> FindPostgres(const std::string& root);

// What `look` says as that user with all its groups, in a process of its own; without root, or without a
// user, as this one. For programs with one thread.
absl::Status LookAs(const std::optional<Account>& account, const std::function<absl::Status()>& look);

}  // namespace quell::agent
