// URLs: RFC 3986.
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "common/text/encode.h"

namespace quell::text {
namespace {

constexpr std::string_view kUnreserved = "-._~";
// Delimiters that keep their meaning in a path, a query or a fragment. Quotes and parentheses are left out:
// they end attributes and links elsewhere.
constexpr std::string_view kKept = "-._~/?#:@!$&*+,;=";
constexpr std::string_view kHostMarks = "-.:[]";

bool IsOneOf(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

void AppendEncoded(std::string* out, char c) {
  out->append(absl::StrFormat("%%%02X", static_cast<uint8_t>(c)));
}

bool IsHost(std::string_view host) {
  if (host.empty()) return false;
  for (const char c : host) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && !IsOneOf(c, kHostMarks)) return false;
  }
  return true;
}

}  // namespace

std::string UrlComponent(std::string_view s) {
  std::string out;
  for (const char c : s) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || IsOneOf(c, kUnreserved)) {
      out.push_back(c);
    } else {
      AppendEncoded(&out, c);
    }
  }
  return out;
}

std::string Url(std::string_view s) {
  const absl::string_view text(s.data(), s.size());
  std::string out;
  if (absl::StartsWithIgnoreCase(text, "https://")) {
    out = "https://";
  } else if (absl::StartsWithIgnoreCase(text, "http://")) {
    out = "http://";
  } else {
    return "";
  }
  s.remove_prefix(out.size());
  // No user part: `https://bank.example@evil.example/` reads as what it is not.
  const std::string_view host = s.substr(0, s.find_first_of("/?#"));
  if (!IsHost(host)) return "";
  out.append(host);
  s.remove_prefix(host.size());
  for (size_t i = 0; i < s.size(); ++i) {
    const bool encoded = s[i] == '%' && i + 2 < s.size() &&
                         absl::ascii_isxdigit(static_cast<unsigned char>(s[i + 1])) &&
                         absl::ascii_isxdigit(static_cast<unsigned char>(s[i + 2]));
    if (encoded || absl::ascii_isalnum(static_cast<unsigned char>(s[i])) || IsOneOf(s[i], kKept)) {
      out.push_back(s[i]);
    } else {
      AppendEncoded(&out, s[i]);
    }
  }
  return out;
}

}  // namespace quell::text
