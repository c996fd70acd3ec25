// Mail: header values by RFC 2047 and RFC 5322 2.2.3, bodies by RFC 5321 4.5.3.1.6.
#include <openssl/evp.h>

#include <vector>

#include "common/base/utf8.h"
#include "common/text/encode.h"

namespace quell::text {
namespace {

constexpr size_t kLineWidth = 76;
constexpr size_t kFirstLineWidth = 50;  // room for "X-Header-Name: " before it
constexpr size_t kEncodedBytes = 42;    // 56 base64 digits + "=?UTF-8?B?" + "?=" = 68, under the limit of 75
constexpr size_t kFirstEncodedBytes = 27;  // the same beside the header's name
constexpr size_t kBodyLine = 900;          // bytes; the transport's limit is 998

std::string Base64(std::string_view s) {
  std::string out(4 * ((s.size() + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(s.data()), static_cast<int>(s.size()));
  out.resize(static_cast<size_t>(n));
  return out;
}

// As text, with what is hazardous shown; printable from here on.
std::string Shown(std::string_view s) {
  std::string out;
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    AppendVisible(&out, c, s);
    s.remove_prefix(c.size);
  }
  return out;
}

std::vector<std::string_view> SplitWords(std::string_view s) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t space = s.find(' ');
    words.push_back(s.substr(0, space));
    if (space == std::string_view::npos) return words;
    s.remove_prefix(space + 1);
  }
}

// Plain text may stand as it is when it is ASCII, cannot be taken for an encoded word, and can be folded at
// its single spaces.
bool IsPlain(std::string_view s) {
  if (s.empty() || s.front() == ' ' || s.back() == ' ') return s.empty();
  if (s.find("=?") != std::string_view::npos || s.find("  ") != std::string_view::npos) return false;
  for (const char c : s) {
    if (static_cast<uint8_t>(c) >= 0x80) return false;
  }
  bool first = true;
  for (const std::string_view word : SplitWords(s)) {
    if (word.size() > (first ? kFirstLineWidth : kLineWidth - 2)) return false;
    first = false;
  }
  return true;
}

std::string FoldPlain(std::string_view s) {
  std::string out;
  size_t width = kLineWidth - kFirstLineWidth;  // used up so far in this line
  for (const std::string_view word : SplitWords(s)) {
    if (!out.empty() && width + 1 + word.size() > kLineWidth) {
      out.append("\r\n ");
      width = 1;
    } else if (!out.empty()) {
      out.push_back(' ');
      ++width;
    }
    out.append(word);
    width += word.size();
  }
  return out;
}

std::string EncodeWords(std::string_view s) {
  std::string out;
  while (!s.empty()) {
    const std::string_view part = CutUtf8(s, out.empty() ? kFirstEncodedBytes : kEncodedBytes);
    if (!out.empty()) out.append("\r\n ");
    out.append("=?UTF-8?B?").append(Base64(part)).append("?=");
    s.remove_prefix(part.size());
  }
  return out;
}

}  // namespace

std::string MailHeader(std::string_view s) {
  const std::string shown = Shown(s);
  return IsPlain(shown) ? FoldPlain(shown) : EncodeWords(shown);
}

std::string MailBody(std::string_view s) {
  std::string out;
  size_t width = 0;
  const auto end_line = [&] {
    out.append("\r\n");
    width = 0;
  };
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    const size_t before = out.size();
    const bool crlf = s.starts_with("\r\n");
    if (crlf || (c.valid && c.value == '\n')) {
      end_line();
    } else {
      if (width > kBodyLine) end_line();
      if (c.valid && c.value == '\t') {
        out.push_back('\t');
      } else {
        AppendVisible(&out, c, s);
      }
      width += out.size() - before;
    }
    s.remove_prefix(crlf ? 2 : c.size);
  }
  return out;
}

}  // namespace quell::text
