#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/base/ids.h"
#include "common/text/encode.h"
#include "controller/receivers/email.h"

namespace quell::receivers {
namespace {

// RFC 2045 6.7, over lines that already end in CRLF.
std::string QuotedPrintable(std::string_view body) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  size_t column = 0;
  for (size_t i = 0; i < body.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(body[i]);
    if (c == '\r' && i + 1 < body.size() && body[i + 1] == '\n') {
      out += "\r\n";
      column = 0;
      ++i;
      continue;
    }
    const bool line_ends = i + 1 == body.size() || body[i + 1] == '\r';
    const bool plain = (c > 32 && c < 127 && c != '=') || ((c == ' ' || c == '\t') && !line_ends);
    const size_t width = plain ? 1 : 3;
    if (column + width > 75) {
      out += "=\r\n";
      column = 0;
    }
    if (plain) {
      out += static_cast<char>(c);
    } else {
      out += '=';
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
    column += width;
  }
  return out;
}

bool IsAscii(std::string_view s) {
  return std::all_of(s.begin(), s.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// The host part of ids: the installation, if it can stand there.
std::string Domain(std::string_view installation) {
  return IsUuid(installation) ? std::string(installation) : "quell";
}

std::string Identifier(std::string_view installation, std::string_view purpose, std::string_view key) {
  std::string all(installation);
  all.append(1, '\0').append(purpose).append(1, '\0').append(key);
  return "<" + HexEncode(Sha256(all).substr(0, 12)) + "@" + Domain(installation) + ">";
}

}  // namespace

std::string MessageId(std::string_view installation, std::string_view key) {
  return Identifier(installation, "notice", key);
}

std::string ComposeMail(const v1::Notice& notice, std::string_view installation, const std::string& from,
                        const std::vector<std::string>& to, Micros now) {
  std::string subject = notice.subject();
  std::string text = notice.text();
  if (notice.may_repeat()) {
    subject = "[may be a repeat] " + subject;
    text = "This may be a repeat: the answer to an earlier attempt was lost.\n\n" + text;
  }
  std::string body = text::MailBody(text);
  const bool ascii = IsAscii(body);
  if (!ascii) body = QuotedPrintable(body);
  std::string mail;
  const auto header = [&mail](std::string_view name, std::string_view value) {
    mail.append(name).append(": ").append(value).append("\r\n");
  };
  // RFC 5322 3.3, English whatever the locale.
  header("Date",
         absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000", absl::FromUnixMicros(now), absl::UTCTimeZone()));
  header("From", from);
  header("To", absl::StrJoin(to, ",\r\n "));
  header("Subject", text::MailHeader(subject));
  header("Message-ID", MessageId(installation, notice.key()));
  if (!notice.incident().empty()) {
    // One thread an incident.
    header("References", Identifier(installation, "incident", notice.incident()));
  }
  header("Auto-Submitted", "auto-generated");  // RFC 3834: nobody's absence note answers
  header("X-Quell-Key", text::MailHeader(notice.key()));
  header("MIME-Version", "1.0");
  header("Content-Type", "text/plain; charset=utf-8");
  header("Content-Transfer-Encoding", ascii ? "7bit" : "quoted-printable");
  return mail + "\r\n" + body;
}

bool IsMailAddress(std::string_view address) {
  const size_t at = address.find('@');
  if (address.size() > 254 || at == std::string_view::npos || at == 0 || at + 1 == address.size())
    return false;
  // RFC 5322 atext and dots on the left, a host name on the right.
  const auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto local = [&](char c) {
    return letter(c) || std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
  };
  const auto host = [&](char c) { return letter(c) || c == '-' || c == '.'; };
  return std::all_of(address.begin(), address.begin() + static_cast<ptrdiff_t>(at), local) &&
         std::all_of(address.begin() + static_cast<ptrdiff_t>(at) + 1, address.end(), host) &&
         address[0] != '-';
}

}  // namespace quell::receivers
