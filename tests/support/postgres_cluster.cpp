#include "tests/support/postgres_cluster.h"

#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <pqxx/connection>
#include <pqxx/except>
#include <pqxx/nontransaction>
#include <pqxx/result>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

constexpr char kPrograms[] = "/usr/lib/postgresql/15/bin/";
constexpr Micros kServerDeadline = kHour;  // far beyond any test

// `body`'s result; what libpqxx throws becomes a status.
template <typename Body>
auto Guard(std::string_view what, Body body) -> decltype(body()) {
  try {
    return body();
  } catch (const pqxx::broken_connection& error) {
    return absl::UnavailableError(absl::StrCat(std::string(what), ": ", error.what()));
  } catch (const pqxx::sql_error& error) {
    return absl::FailedPreconditionError(
        absl::StrCat(std::string(what), ": ", error.sqlstate(), " ", error.what()));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat(std::string(what), ": ", error.what()));
  }
}

absl::StatusOr<PostgresRows> ExecuteOn(pqxx::connection_base& connection, const std::string& text) {
  return Guard("executing", [&]() -> absl::StatusOr<PostgresRows> {
    pqxx::nontransaction transaction(connection);
    PostgresRows rows;
    for (const pqxx::row& row : transaction.exec(text)) {
      rows.emplace_back();
      for (const pqxx::field& field : row) rows.back().push_back(field.is_null() ? "" : field.c_str());
    }
    return rows;
  });
}

}  // namespace

struct PostgresSession::Connection {
  explicit Connection(const std::string& dsn) : real(dsn) {}
  pqxx::connection real;
};

PostgresSession::PostgresSession(const std::string& dsn) : connection_(std::make_unique<Connection>(dsn)) {}

absl::StatusOr<std::unique_ptr<PostgresSession>> PostgresSession::Open(const std::string& dsn) {
  return Guard("connecting", [&]() -> absl::StatusOr<std::unique_ptr<PostgresSession>> {
    return std::unique_ptr<PostgresSession>(new PostgresSession(dsn));
  });
}

PostgresSession::~PostgresSession() {
  if (!thread_.joinable()) return;
  Cancel();
  thread_.join();
}

absl::StatusOr<PostgresRows> PostgresSession::Execute(const std::string& text) {
  return ExecuteOn(connection_->real, text);
}

void PostgresSession::Begin(std::string text) {
  Require(!thread_.joinable(), "a session runs one statement at a time");
  ended_ = false;
  thread_ = std::thread([this, text = std::move(text)] {
    outcome_ = ExecuteOn(connection_->real, text).status();
    ended_at_ = RealClock().Wall();
    ended_ = true;
  });
}

absl::Status PostgresSession::End() {
  if (thread_.joinable()) thread_.join();
  return outcome_;
}

void PostgresSession::Cancel() {
  Guard("cancelling", [&] {
    connection_->real.cancel_query();
    return absl::OkStatus();
  }).IgnoreError();
}

int PostgresSession::pid() const { return connection_->real.backendpid(); }

bool PostgresCluster::Available() { return access((std::string(kPrograms) + "postgres").c_str(), X_OK) == 0; }

PostgresCluster::PostgresCluster(std::string directory, Options options)
    : directory_(std::move(directory)), options_(std::move(options)) {
  if (options_.tcp) port_ = FreePort();
  if (geteuid() != 0) return;
  const passwd* user = getpwnam("postgres");
  if (user == nullptr) user = getpwnam("nobody");
  Require(user != nullptr, "neither the user postgres nor nobody exists");
  uid_ = user->pw_uid;
  gid_ = user->pw_gid;
}

absl::StatusOr<std::unique_ptr<PostgresCluster>> PostgresCluster::Start(const std::string& directory,
                                                                        const Options& options) {
  if (!Available())
    return absl::FailedPreconditionError(
        "starting PostgreSQL: version 15 is not installed; run deploy/dependencies test");
  std::unique_ptr<PostgresCluster> cluster(new PostgresCluster(directory, options));
  QUELL_RETURN_IF_ERROR(cluster->MakeDirectories());
  QUELL_RETURN_IF_ERROR(cluster->CopyTemplate());
  QUELL_RETURN_IF_ERROR(cluster->Configure());
  QUELL_RETURN_IF_ERROR(cluster->Run());
  return cluster;
}

absl::StatusOr<std::unique_ptr<PostgresCluster>> PostgresCluster::StartReplica(
    const std::string& directory, const PostgresCluster& primary) {
  std::unique_ptr<PostgresCluster> cluster(new PostgresCluster(directory, Options()));
  QUELL_RETURN_IF_ERROR(cluster->MakeDirectories());
  QUELL_RETURN_IF_ERROR(
      cluster->Fill(cluster->Command("pg_basebackup", {"-D", cluster->data_directory(), "-R", "-X", "stream",
                                                       "-c", "fast", "--no-sync", "-d", primary.Dsn()})));
  QUELL_RETURN_IF_ERROR(cluster->Configure());
  QUELL_RETURN_IF_ERROR(cluster->Run());
  return cluster;
}

PostgresCluster::~PostgresCluster() { Stop(Shutdown::kImmediate).IgnoreError(); }

absl::Status PostgresCluster::MakeDirectory(const std::string& path) const {
  if (mkdir(path.c_str(), 0700) != 0) return ErrnoStatus(errno, "making " + path);
  if (uid_ != static_cast<uid_t>(-1) && chown(path.c_str(), uid_, gid_) != 0)
    return ErrnoStatus(errno, "giving away " + path);
  return absl::OkStatus();
}

SpawnOptions PostgresCluster::Command(const std::string& program, std::vector<std::string> arguments) const {
  SpawnOptions o;
  o.program = kPrograms + program;
  o.argv = {o.program};
  o.argv.insert(o.argv.end(), arguments.begin(), arguments.end());
  o.environment = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"};
  o.uid = uid_;
  o.gid = gid_;
  o.memory_limit = 0;
  o.open_files = 1024;
  o.deadline = kMinute;
  return o;
}

absl::Status PostgresCluster::MakeDirectories() const {
  QUELL_RETURN_IF_ERROR(MakeDirectory(data_directory()));
  QUELL_RETURN_IF_ERROR(MakeDirectory(socket_directory()));
  if (chmod(socket_directory().c_str(), 0755) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "opening the socket's directory");
}

// initdb takes seconds, a copy of what it made a fraction: it runs once in a test program.
absl::Status PostgresCluster::CopyTemplate() const {
  static TempDir directory;
  static const absl::Status made = [this] {
    const std::string data = directory.Path("data");
    QUELL_RETURN_IF_ERROR(MakeDirectory(data));
    return Fill(Command("initdb", {"-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                                   "--auth=trust", "--no-sync", "--no-instructions"}));
  }();
  QUELL_RETURN_IF_ERROR(made);
  SpawnOptions copy = Command("cp", {"-a", directory.Path("data/."), data_directory()});
  copy.program = "/bin/cp";
  return Fill(copy);
}

absl::Status PostgresCluster::Fill(const SpawnOptions& command) const {
  QUELL_ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> child, RealProcess().Start(command));
  const ExitStatus status = child->Wait();
  if (status.code == 0 && status.signal == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat(command.argv[0], " ended with code ", status.code, ": ", status.error_output));
}

absl::Status PostgresCluster::Configure() const {
  std::ofstream conf(data_directory() + "/postgresql.conf", std::ios::app);
  conf << "listen_addresses = '" << (options_.tcp ? "127.0.0.1" : "") << "'\n"
       << "port = " << port_ << "\nunix_socket_directories = '" << socket_directory() << "'\n"
       << "fsync = " << (options_.fsync ? "on" : "off") << "\nmax_connections = 40\nshared_buffers = 8MB\n"
       << "logging_collector = on\nlog_directory = 'log'\ndeadlock_timeout = 200ms\n"
       << absl::StrJoin(options_.settings, "\n") << "\n";
  if (!options_.hba.empty())
    std::ofstream(data_directory() + "/pg_hba.conf", std::ios::trunc) << options_.hba;
  if (!options_.ident.empty())
    std::ofstream(data_directory() + "/pg_ident.conf", std::ios::trunc) << options_.ident;
  return conf.flush().good() ? absl::OkStatus() : absl::InternalError("writing postgresql.conf failed");
}

absl::Status PostgresCluster::Run() {
  Require(server_ == nullptr, "a server is started once");
  SpawnOptions command = Command("postgres", {"-D", data_directory()});
  command.deadline = kServerDeadline;
  QUELL_ASSIGN_OR_RETURN(server_, RealProcess().Start(command));
  const bool up = WaitFor([this] { return Psql("SELECT 1").ok() || kill(pid(), 0) != 0; }, kMinute);
  if (up && Psql("SELECT 1").ok()) return absl::OkStatus();
  server_->Kill();
  const ExitStatus status = std::exchange(server_, nullptr)->Wait();
  return absl::InternalError(absl::StrCat("PostgreSQL does not start: ", status.error_output, Log()));
}

absl::Status PostgresCluster::Stop(Shutdown how) {
  if (server_ == nullptr) return absl::OkStatus();
  kill(pid(), how == Shutdown::kFast ? SIGINT : SIGQUIT);
  const ExitStatus status = std::exchange(server_, nullptr)->Wait();
  if (status.signal == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("PostgreSQL ended by signal ", status.signal));
}

absl::Status PostgresCluster::Restart(Shutdown how) {
  QUELL_RETURN_IF_ERROR(Stop(how));
  return Run();
}

std::string PostgresCluster::Dsn(std::string_view user, std::string_view database) const {
  const auto quoted = [](std::string_view text) {
    std::string out = "'";
    for (char c : text) {
      if (c == '\'' || c == '\\') out.push_back('\\');
      out.push_back(c);
    }
    return out + "'";
  };
  return absl::StrCat("host=", quoted(socket_directory()), " port=", port_, " user=", quoted(user),
                      " dbname=", quoted(database), " connect_timeout=10");
}

absl::StatusOr<std::unique_ptr<PostgresSession>> PostgresCluster::Connect(std::string_view user,
                                                                          std::string_view database) const {
  return PostgresSession::Open(Dsn(user, database));
}

absl::StatusOr<PostgresRows> PostgresCluster::Psql(const std::string& text, const std::string& database) {
  QUELL_ASSIGN_OR_RETURN(std::unique_ptr<PostgresSession> session, Connect("postgres", database));
  return session->Execute(text);
}

absl::Status PostgresCluster::RunFile(const std::string& path, const std::string& database) {
  const std::string text = ReadFile(path);
  if (text.empty()) return absl::NotFoundError("no text in " + path);
  return Annotate(Psql(text, database).status(), path);
}

std::string PostgresCluster::Log() const {
  std::string out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(data_directory() + "/log", error))
    out += ReadFile(entry.path());
  return out;
}

}  // namespace quell::test
