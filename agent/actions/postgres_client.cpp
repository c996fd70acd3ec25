#include "agent/actions/postgres_client.h"

#include <algorithm>
#include <pqxx/connection>
#include <pqxx/except>
#include <pqxx/nontransaction>
#include <pqxx/prepared_statement>
#include <pqxx/result>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kLongestError = 300;

std::string Quoted(const std::string& value) {
  return absl::StrCat("'", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// The first line of what libpq or the server says: the others quote the statement.
std::string Sentence(const std::exception& error) {
  const std::string text = error.what();
  const std::string line(absl::StripAsciiWhitespace(text.substr(0, text.find('\n'))));
  return MakeUtf8(CutUtf8(line, kLongestError));
}

// libpqxx keeps no SQLSTATE in the errors that it has a class for.
std::string StateOf(const pqxx::sql_error& error) {
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) return "42P01";
  return error.sqlstate().empty() ? "?" : error.sqlstate();
}

std::string ConnectionString(const v1::PostgresPlace& place, const std::string& role, Micros within) {
  const Micros seconds = std::max<Micros>(2, within / kSecond);
  const Micros milliseconds = std::max<Micros>(1, within / kMillisecond);
  return absl::StrCat("host=", Quoted(place.host()), " port=", place.port(),
                      " dbname=", Quoted(place.dbname()), " user=", role,
                      " application_name=quell-worker client_encoding=UTF8 passfile=/nonexistent",
                      " sslmode=disable gssencmode=disable connect_timeout=", seconds,
                      " options='-c statement_timeout=", milliseconds,
                      " -c lock_timeout=100 -c row_security=off -c search_path=pg_catalog,pg_temp'");
}

}  // namespace

struct PostgresClient::Connection {
  explicit Connection(const std::string& text) : real(text) {}
  pqxx::connection real;
};

PostgresClient::PostgresClient(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}
PostgresClient::~PostgresClient() = default;

absl::StatusOr<std::unique_ptr<PostgresClient>> PostgresClient::Connect(const v1::PostgresPlace& place,
                                                                        const std::string& role,
                                                                        Micros within) {
  if (place.host().empty() || place.host()[0] != '/' || place.dbname().empty()) {
    return absl::FailedPreconditionError(
        "a worker reaches PostgreSQL by the directory of its Unix socket alone");
  }
  try {
    auto connection = std::make_unique<Connection>(ConnectionString(place, role, within));
    return std::unique_ptr<PostgresClient>(new PostgresClient(std::move(connection)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("connecting as ", role, ": ", Sentence(error)));
  }
}

absl::StatusOr<std::vector<PostgresRow>> PostgresClient::Query(const std::string& text,
                                                               const std::vector<std::string>& parameters) {
  try {
    pqxx::nontransaction transaction(connection_->real);
    std::vector<PostgresRow> rows;
    for (const pqxx::row& row :
         transaction.exec_params(text, pqxx::prepare::make_dynamic_params(parameters))) {
      PostgresRow& out = rows.emplace_back();
      for (const pqxx::field& field : row) out.push_back(field.is_null() ? "" : MakeUtf8(field.c_str()));
    }
    return rows;
  } catch (const pqxx::sql_error& error) {
    sqlstate_ = StateOf(error);
    // Class 57 is an operator's: cancelled by a timeout, the server shuts down. What was begun may have been
    // done.
    if (error.sqlstate().compare(0, 2, "57") == 0) return absl::UnavailableError(Sentence(error));
    return absl::FailedPreconditionError(absl::StrCat("the server refused: ", Sentence(error)));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("the connection broke: ", Sentence(error)));
  }
}

int PostgresClient::server_version() const { return connection_->real.server_version(); }

}  // namespace quell::agent
