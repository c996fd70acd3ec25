#include "agent/collectors/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr Micros kStatementDeadline = 3 * kSecond;  // the server's own statement_timeout is shorter
constexpr char kOptions[] =
    "-c statement_timeout=2000 -c lock_timeout=100 -c idle_in_transaction_session_timeout=10000 "
    "-c default_transaction_read_only=on -c search_path=pg_catalog -c client_min_messages=error "
    "-c intervalstyle=postgres -c datestyle=ISO -c timezone=UTC";
constexpr size_t kMostReason = 300;

// One line of bounded UTF-8 of what libpq says.
std::string Reason(const char* text) {
  std::string line = MakeUtf8(text == nullptr ? "" : text);
  std::replace(line.begin(), line.end(), '\n', ' ');
  absl::StripAsciiWhitespace(&line);
  return std::string(CutUtf8(line, kMostReason));
}

// The SQLSTATE in a verbose message of a refused connection ("FATAL:  28000: …"); "" when the server sent
// none.
std::string SqlState(std::string_view message) {
  for (size_t at = message.find(":  "); at != std::string_view::npos; at = message.find(":  ", at + 1)) {
    const std::string_view code = message.substr(at + 3, 5);
    const auto fits = [](unsigned char c) { return absl::ascii_isdigit(c) || absl::ascii_isupper(c); };
    if (code.size() == 5 && std::all_of(code.begin(), code.end(), fits) && message.substr(at + 8, 1) == ":")
      return std::string(code);
  }
  return "";
}

// 57P03: starts, stops or recovers; 53300: no connection is left, of the server or of the role.
bool TakesNobodyNow(std::string_view state) {
  return state.empty() || state == "57P03" || state == "57P01" || state == "53300";
}

}  // namespace

PgRows& PgRows::operator=(PgRows&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}
PgRows::~PgRows() { PQclear(result_); }
int PgRows::size() const { return PQntuples(result_); }
int PgRows::columns() const { return PQnfields(result_); }
bool PgRows::IsNull(int row, int column) const { return PQgetisnull(result_, row, column) != 0; }

std::string_view PgRows::Raw(int row, int column) const {
  return {PQgetvalue(result_, row, column), static_cast<size_t>(PQgetlength(result_, row, column))};
}

std::string PgRows::Text(int row, int column) const {
  const std::string_view raw = Raw(row, column);
  return IsUtf8(raw) ? std::string(raw) : MakeUtf8(raw);
}

double PgRows::Number(int row, int column) const {
  const std::string_view raw = Raw(row, column);
  if (raw == "t" || raw == "f") return raw == "t" ? 1 : 0;
  double value = 0;
  return absl::SimpleAtod({raw.data(), raw.size()}, &value) ? value : 0;
}

int64_t PgRows::Integer(int row, int column) const {
  const std::string_view raw = Raw(row, column);
  int64_t value = 0;
  return absl::SimpleAtoi(absl::string_view(raw.data(), raw.size()), &value) ? value : 0;
}

std::vector<int64_t> PgRows::Integers(int row, int column) const {
  std::string_view raw = Raw(row, column);
  std::vector<int64_t> out;
  if (raw.size() < 2 || raw.front() != '{') return out;
  raw = raw.substr(1, raw.size() - 2);
  for (absl::string_view item :
       absl::StrSplit(absl::string_view(raw.data(), raw.size()), ',', absl::SkipEmpty())) {
    int64_t value = 0;
    if (absl::SimpleAtoi(item, &value)) out.push_back(value);
  }
  return out;
}

std::string PgArray(const std::vector<int64_t>& values) {
  return absl::StrCat("{", absl::StrJoin(values, ","), "}");
}

PgConnection::~PgConnection() { PQfinish(conn_); }
int PgConnection::version() const { return PQserverVersion(conn_); }
int PgConnection::pid() const { return PQbackendPID(conn_); }

absl::StatusOr<std::unique_ptr<PgConnection>> PgConnection::Open(const config::PostgresDsn& dsn,
                                                                 const config::Secret& password) {
  const std::string port = absl::StrCat(dsn.port);
  std::vector<std::pair<const char*, const char*>> settings = {
      {"host", dsn.host.c_str()},     {"port", port.c_str()},       {"user", dsn.user.c_str()},
      {"dbname", dsn.dbname.c_str()}, {"options", kOptions},        {"application_name", "quell-agent"},
      {"client_encoding", "UTF8"},    {"gssencmode", "disable"},    {"passfile", "/nonexistent/pgpass"},
      {"keepalives_idle", "5"},       {"keepalives_interval", "5"}, {"keepalives_count", "3"},
      {"tcp_user_timeout", "10000"}};
  if (!dsn.sslmode.empty()) settings.emplace_back("sslmode", dsn.sslmode.c_str());
  if (!dsn.sslrootcert.empty()) settings.emplace_back("sslrootcert", dsn.sslrootcert.c_str());
  if (!password.empty()) settings.emplace_back("password", password.Reveal().c_str());
  std::vector<const char*> keys, values;
  for (const auto& [key, value] : settings) keys.push_back(key), values.push_back(value);
  keys.push_back(nullptr), values.push_back(nullptr);
  std::unique_ptr<PgConnection> connection(
      new PgConnection(PQconnectStartParams(keys.data(), values.data(), /*expand_dbname=*/0)));
  if (connection->conn_ == nullptr) return absl::ResourceExhaustedError("connecting: out of memory");
  PQsetNoticeReceiver(
      connection->conn_, [](void*, const PGresult*) {}, nullptr);  // else: standard error
  PQsetErrorVerbosity(connection->conn_, PQERRORS_VERBOSE);        // so that a refusal tells its SQLSTATE
  QUELL_RETURN_IF_ERROR(connection->Connect(RealClock().Monotonic() + dsn.connect_timeout * kSecond));
  PQsetErrorVerbosity(connection->conn_, PQERRORS_TERSE);
  return connection;
}

absl::Status PgConnection::Connect(Micros deadline) {
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(conn_) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED) {
    const absl::Status ready = Wait(state == PGRES_POLLING_READING, state == PGRES_POLLING_WRITING, deadline);
    if (!ready.ok()) return Annotate(ready, "connecting");
    state = PQconnectPoll(conn_);
  }
  if (state == PGRES_POLLING_OK) return absl::OkStatus();
  const std::string message = PQerrorMessage(conn_);
  // Behind a refusal's first line stands where in the server's source it was made.
  const std::string state_name = SqlState(message);
  const std::string said = state_name.empty() ? message : message.substr(0, message.find('\n'));
  const std::string text = absl::StrCat("connecting: ", Reason(said.c_str()));
  return TakesNobodyNow(state_name) ? absl::UnavailableError(text) : absl::PermissionDeniedError(text);
}

absl::Status PgConnection::Wait(bool for_reading, bool for_writing, Micros deadline) {
  pollfd entry{PQsocket(conn_), static_cast<short>((for_reading ? POLLIN : 0) | (for_writing ? POLLOUT : 0)),
               0};
  for (;;) {
    const Micros left = deadline - RealClock().Monotonic();
    if (left <= 0) return absl::UnavailableError("the server does not answer in time");
    const int n = poll(&entry, 1, static_cast<int>(left / kMillisecond) + 1);
    if (n > 0) return absl::OkStatus();
    if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "waiting for the server");
  }
}

absl::Status PgConnection::Lost(std::string what) {
  broken_ = true;
  return absl::UnavailableError(absl::StrCat("the connection is lost: ", Reason(what.c_str())));
}

absl::StatusOr<pg_result*> PgConnection::Result(Micros deadline) {
  for (int flushed = PQflush(conn_); flushed != 0; flushed = PQflush(conn_)) {
    if (flushed < 0) return Lost(PQerrorMessage(conn_));
    const absl::Status ready = Wait(true, true, deadline);
    if (!ready.ok()) return Lost(std::string(ready.message()));
    if (PQconsumeInput(conn_) == 0) return Lost(PQerrorMessage(conn_));
  }
  while (PQisBusy(conn_) != 0) {
    const absl::Status ready = Wait(true, false, deadline);
    if (!ready.ok()) return Lost(std::string(ready.message()));
    if (PQconsumeInput(conn_) == 0) return Lost(PQerrorMessage(conn_));
  }
  return PQgetResult(conn_);
}

// The answer to what was sent: its first result, and the end behind it.
absl::StatusOr<PgRows> PgConnection::Take(Micros deadline) {
  QUELL_ASSIGN_OR_RETURN(pg_result* const first, Result(deadline));
  PgRows rows(first);
  for (;;) {
    QUELL_ASSIGN_OR_RETURN(pg_result* const next, Result(deadline));
    if (next == nullptr) break;
    PQclear(next);
  }
  const ExecStatusType status = PQresultStatus(first);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return rows;
  if (PQstatus(conn_) == CONNECTION_BAD) return Lost(PQerrorMessage(conn_));
  // The primary message alone: a statement's text or a detail could hold what no one should see elsewhere.
  const char* state = PQresultErrorField(first, PG_DIAG_SQLSTATE);
  const std::string_view code = state == nullptr ? "" : state;
  const std::string text = absl::StrCat(Reason(PQresultErrorField(first, PG_DIAG_MESSAGE_PRIMARY)),
                                        " (SQLSTATE ", absl::string_view(code.data(), code.size()), ")");
  if (code.starts_with("57P")) return Lost(text);  // the server ends, or was told to end us
  if (code == "55P03" || code == "57014") return absl::ResourceExhaustedError(text);
  return absl::FailedPreconditionError(text);
}

absl::StatusOr<PgRows> PgConnection::Query(const char* sql, const std::vector<std::string>& parameters) {
  const Micros deadline = RealClock().Monotonic() + kStatementDeadline;
  const auto known = std::find(prepared_.begin(), prepared_.end(), sql);
  const std::string name = absl::StrCat("q", known - prepared_.begin());
  if (known == prepared_.end()) {
    if (PQsendPrepare(conn_, name.c_str(), sql, 0, nullptr) == 0) return Lost(PQerrorMessage(conn_));
    QUELL_RETURN_IF_ERROR(Take(deadline).status());
    prepared_.push_back(sql);
  }
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) values.push_back(parameter.c_str());
  if (PQsendQueryPrepared(conn_, name.c_str(), static_cast<int>(values.size()), values.data(), nullptr,
                          nullptr, 0) == 0)
    return Lost(PQerrorMessage(conn_));
  return Take(deadline);
}

}  // namespace quell::agent
