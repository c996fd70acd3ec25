#include "controller/http/write_checks.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace quell::http {
namespace {

// Of a page that a browser shows: "https://quell.example:7402".
bool IsOurs(const std::string& origin, const std::set<std::string>& hosts) {
  absl::string_view rest = origin;
  if (!absl::ConsumePrefix(&rest, "https://") && !absl::ConsumePrefix(&rest, "http://")) return false;
  return hosts.count(HostName(std::string_view(rest.data(), rest.size()))) == 1;
}

bool IsJson(const std::string& type) {
  const absl::string_view media =
      absl::StripAsciiWhitespace(absl::string_view(type).substr(0, type.find(';')));
  return absl::EqualsIgnoreCase(media, "application/json");
}

}  // namespace

std::string HostName(std::string_view header) {
  const size_t end = header.rfind(':');
  const bool bracket = !header.empty() && header.front() == '[';
  if (end != std::string_view::npos && (!bracket || header.find(']') < end)) header = header.substr(0, end);
  if (bracket && header.size() > 2 && header.back() == ']') header = header.substr(1, header.size() - 2);
  return absl::AsciiStrToLower(absl::string_view(header.data(), header.size()));
}

std::optional<WebAnswer> CheckWrite(const httplib::Request& request, const std::set<std::string>& hosts,
                                    size_t most) {
  const auto count = [&](const char* name) { return request.get_header_value_count(name); };
  const auto value = [&](const char* name) { return request.get_header_value(name); };
  if (count("Authorization") != 1)
    return WebError(401, "a write takes a credential: Authorization: Bearer TOKEN");
  if (count("Origin") > 1 || (count("Origin") == 1 && !IsOurs(value("Origin"), hosts)))
    return WebError(403, "a page of another site may not write here");
  if (count("Content-Type") != 1 || !IsJson(value("Content-Type")))
    return WebError(415, "the body must be JSON, and say so: Content-Type: application/json");
  if (count("Content-Encoding") != 0) return WebError(415, "the body must not be compressed");
  uint64_t length = 0;
  if (count("Transfer-Encoding") != 0 || count("Content-Length") != 1 ||
      !absl::SimpleAtoi(value("Content-Length"), &length))
    return WebError(411, "the body must come with one Content-Length and in one piece");
  if (length > most) return WebError(413, absl::StrCat("the body is longer than ", most, " bytes"));
  return std::nullopt;
}

}  // namespace quell::http
