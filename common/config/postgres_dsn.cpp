#include "common/config/postgres_dsn.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell::config {
namespace {

constexpr size_t kMostBytes = 4096;
constexpr size_t kMostValue = 1024;
constexpr size_t kMostIdentifier = 63;  // PostgreSQL's NAMEDATALEN - 1; it would cut a longer one silently
constexpr char kKnown[] = "host, port, user, dbname, sslmode, sslrootcert and connect_timeout";

absl::Status Bad(std::string_view key, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("dsn: ", absl::string_view(key.data(), key.size()), " ",
                                                 absl::string_view(why.data(), why.size())));
}

void SkipBlanks(std::string_view& text) {
  while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
}

// Takes a value off the front: up to a blank, or 'quoted', with \ before what counts as itself.
absl::StatusOr<std::string> TakeValue(std::string_view key, std::string_view& text) {
  const bool quoted = !text.empty() && text[0] == '\'';
  if (quoted) text.remove_prefix(1);
  std::string value;
  for (; !text.empty(); text.remove_prefix(1)) {
    char c = text[0];
    if (quoted ? c == '\'' : c == ' ') break;
    if (c == '\\') {
      text.remove_prefix(1);
      if (text.empty()) return Bad(key, "ends with a backslash");
      c = text[0];
    }
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) return Bad(key, "holds a control character");
    value.push_back(c);
  }
  if (quoted && text.empty()) return Bad(key, "has a quote that does not end");
  if (quoted) text.remove_prefix(1);
  if (value.empty()) return Bad(key, "is empty");
  if (value.size() > kMostValue) return Bad(key, "is longer than 1024 bytes");
  return value;
}

absl::StatusOr<std::map<std::string, std::string>> Pairs(std::string_view text) {
  static const std::set<std::string_view> known = {"host",    "port",        "user",           "dbname",
                                                   "sslmode", "sslrootcert", "connect_timeout"};
  std::map<std::string, std::string> pairs;
  for (SkipBlanks(text); !text.empty(); SkipBlanks(text)) {
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos)
      return absl::InvalidArgumentError("dsn: it must be made of keyword=value pairs");
    std::string key(text.substr(0, equals));
    while (key.ends_with(' ')) key.pop_back();
    if (known.count(key) == 0)
      return absl::InvalidArgumentError(
          absl::StrCat("dsn: only ", kKnown, " are taken (a password has its password_file)"));
    text.remove_prefix(equals + 1);
    SkipBlanks(text);
    QUELL_ASSIGN_OR_RETURN(std::string value, TakeValue(key, text));
    if (!pairs.emplace(key, std::move(value)).second) return Bad(key, "is there twice");
  }
  return pairs;
}

absl::Status TakeNumber(const std::map<std::string, std::string>& pairs, const std::string& key,
                        int64_t least, int64_t most, int64_t* out) {
  const auto found = pairs.find(key);
  if (found == pairs.end()) return absl::OkStatus();
  if (absl::SimpleAtoi(found->second, out) && *out >= least && *out <= most) return absl::OkStatus();
  return Bad(key, absl::StrCat("must be a whole number from ", least, " to ", most));
}

void TakeText(const std::map<std::string, std::string>& pairs, const std::string& key, std::string* out) {
  const auto found = pairs.find(key);
  if (found != pairs.end()) *out = found->second;
}

absl::Status CheckHost(const PostgresDsn& dsn) {
  if (dsn.host.empty()) return Bad("host", "is missing");
  if (dsn.is_socket()) {
    // A socket's whole path has 107 bytes (unix(7)).
    return dsn.host.size() <= 90 ? absl::OkStatus() : Bad("host", "is too long for a socket's directory");
  }
  for (char c : dsn.host)
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != ':')
      return Bad("host", "must be a socket's directory, one host name or one address");
  return absl::OkStatus();
}

absl::Status CheckTls(const PostgresDsn& dsn) {
  static const std::set<std::string_view> modes = {"disable", "prefer", "require", "verify-ca",
                                                   "verify-full"};
  if (!dsn.sslmode.empty() && modes.count(dsn.sslmode) == 0)
    return Bad("sslmode", "must be disable, prefer, require, verify-ca or verify-full");
  if (!dsn.sslrootcert.empty() && dsn.sslrootcert[0] != '/')
    return Bad("sslrootcert", "must be an absolute path");
  const bool loopback = dsn.host == "localhost" || dsn.host == "::1" || dsn.host.starts_with("127.");
  if (!dsn.is_socket() && !loopback && dsn.sslmode.empty())
    return Bad("sslmode", "must be given for a host that is not this one (verify-full, with sslrootcert)");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PostgresDsn> ParsePostgresDsn(std::string_view text) {
  if (text.size() > kMostBytes) return absl::InvalidArgumentError("dsn: it is longer than 4096 bytes");
  QUELL_ASSIGN_OR_RETURN(const auto pairs, Pairs(text));
  PostgresDsn dsn;
  TakeText(pairs, "host", &dsn.host);
  TakeText(pairs, "user", &dsn.user);
  TakeText(pairs, "dbname", &dsn.dbname);
  TakeText(pairs, "sslmode", &dsn.sslmode);
  TakeText(pairs, "sslrootcert", &dsn.sslrootcert);
  QUELL_RETURN_IF_ERROR(TakeNumber(pairs, "port", 1, 65535, &dsn.port));
  QUELL_RETURN_IF_ERROR(TakeNumber(pairs, "connect_timeout", 2, 30, &dsn.connect_timeout));
  if (dsn.dbname.empty()) return Bad("dbname", "is missing");
  if (dsn.user.size() > kMostIdentifier) return Bad("user", "is longer than 63 bytes");
  if (dsn.dbname.size() > kMostIdentifier) return Bad("dbname", "is longer than 63 bytes");
  QUELL_RETURN_IF_ERROR(CheckHost(dsn));
  QUELL_RETURN_IF_ERROR(CheckTls(dsn));
  return dsn;
}

}  // namespace quell::config
