// PostgresDsn: where a PostgreSQL server is and who comes, as agent.yaml says it:
//
//   dsn: "host=/var/run/postgresql port=5432 user=quell_monitor dbname=boutique"
//
// libpq's form of keyword=value pairs (its manual, 34.1.1), of which a few keywords are taken: host, port,
// user, dbname, sslmode, sslrootcert, connect_timeout. One server, no password, no options, nothing from the
// environment. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quell::config {

struct PostgresDsn {
  std::string host;  // a socket's directory when it begins with /, else a name or an address
  int64_t port = 5432;
  std::string user = "quell_monitor";
  std::string dbname;
  std::string sslmode;          // empty: libpq's own; a host beyond loopback must say
  std::string sslrootcert;      // absolute path
  int64_t connect_timeout = 3;  // whole seconds, 2 to 30

  bool is_socket() const { return host.starts_with('/'); }
};

// InvalidArgument with one sentence that names the keyword. Values are at most 1 KiB and hold no control
// characters.
absl::StatusOr<PostgresDsn> ParsePostgresDsn(std::string_view text);

}  // namespace quell::config
