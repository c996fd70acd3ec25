// PostgresCluster: a real PostgreSQL 15 server with a data directory of its own inside a directory of the
// test. Run as an ordinary user: the package's `postgres`, or nobody, when the test is root. It listens on a
// Unix socket in that directory alone unless asked for TCP, ends with this object, and also when the test
// program dies. One thread; PostgresSession says its own.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/process.h"
#include "common/base/time.h"

namespace quell::test {

using PostgresRows = std::vector<std::vector<std::string>>;  // an SQL NULL is ""

// One connection. Execute blocks; Begin runs a statement on a thread of the session's own until it ends or
// the session does, for those that wait for a lock. Used by one thread.
class PostgresSession {
 public:
  static absl::StatusOr<std::unique_ptr<PostgresSession>> Open(const std::string& dsn);
  PostgresSession(const PostgresSession&) = delete;
  ~PostgresSession();  // cancels what runs, and closes the connection

  // One or several statements, as psql sends them: no transaction of its own, so BEGIN stays open. The last's
  // rows.
  absl::StatusOr<PostgresRows> Execute(const std::string& text);
  void Begin(std::string text);
  bool ended() const { return ended_; }          // what Begin started has
  absl::Status End();                            // waits for what Begin started
  void Cancel();                                 // what runs; its End fails then
  Micros ended_at() const { return ended_at_; }  // wall clock, when what Begin started had ended; after End
  int pid() const;                               // of the server's process

 private:
  struct Connection;  // libpqxx's
  explicit PostgresSession(const std::string& dsn);
  const std::unique_ptr<Connection> connection_;
  std::thread thread_;
  absl::Status outcome_;
  Micros ended_at_ = 0;
  std::atomic<bool> ended_ = false;
};

class PostgresCluster {
 public:
  struct Options {
    bool fsync = false;
    bool tcp = false;                   // also listens on 127.0.0.1, port()
    std::vector<std::string> settings;  // lines for postgresql.conf; the last of a name counts
    std::string hba;                    // pg_hba.conf; empty: trusts everybody who gets there
    std::string ident;                  // pg_ident.conf
  };
  enum class Shutdown { kFast, kImmediate };  // SIGINT, SIGQUIT

  // initdb and Run. One cluster per directory, which stays the caller's and must be enterable for others.
  static absl::StatusOr<std::unique_ptr<PostgresCluster>> Start(const std::string& directory,
                                                                const Options& options);
  static absl::StatusOr<std::unique_ptr<PostgresCluster>> Start(const std::string& directory) {
    return Start(directory, Options());
  }
  // A copy of a running `primary` that follows it, in another directory.
  static absl::StatusOr<std::unique_ptr<PostgresCluster>> StartReplica(const std::string& directory,
                                                                       const PostgresCluster& primary);
  PostgresCluster(const PostgresCluster&) = delete;
  ~PostgresCluster();

  static bool Available();  // whether PostgreSQL 15's programs are there

  absl::Status Run();  // starts the stopped server; returns when it takes connections
  absl::Status Stop(Shutdown how = Shutdown::kFast);
  absl::Status Restart(Shutdown how = Shutdown::kFast);

  // As the superuser `postgres`, on a connection of its own.
  absl::StatusOr<PostgresRows> Psql(const std::string& text, const std::string& database = "postgres");
  absl::Status RunFile(const std::string& path, const std::string& database = "postgres");
  std::string Dsn(std::string_view user = "postgres", std::string_view database = "postgres") const;
  absl::StatusOr<std::unique_ptr<PostgresSession>> Connect(std::string_view user = "postgres",
                                                           std::string_view database = "postgres") const;

  std::string data_directory() const { return directory_ + "/data"; }
  std::string socket_directory() const { return directory_ + "/s"; }
  uint16_t port() const { return port_; }
  pid_t pid() const { return server_ == nullptr ? 0 : server_->pid(); }
  // What the server writes, all its log files joined.
  std::string Log() const;

 private:
  PostgresCluster(std::string directory, Options options);
  absl::Status MakeDirectories() const;
  absl::Status CopyTemplate() const;
  absl::Status Fill(const SpawnOptions& command) const;  // the data directory
  absl::Status Configure() const;
  absl::Status MakeDirectory(const std::string& path) const;
  SpawnOptions Command(const std::string& program, std::vector<std::string> arguments) const;

  const std::string directory_;
  const Options options_;
  uint16_t port_ = 5432;
  uid_t uid_ = static_cast<uid_t>(-1);
  gid_t gid_ = static_cast<gid_t>(-1);
  std::unique_ptr<ChildProcess> server_;
};

}  // namespace quell::test
