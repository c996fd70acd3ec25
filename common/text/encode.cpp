#include "common/text/encode.h"

#include "absl/strings/str_format.h"
#include "common/base/log.h"
#include "common/base/utf8.h"

namespace quell::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Walks over code points; `visit(point, raw bytes)` appends.
template <typename Visit>
void EachCodePoint(std::string_view s, const Visit& visit) {
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    visit(c, s.substr(0, c.size));
    s.remove_prefix(c.size);
  }
}

// Valid and harmless: as it is. Invalid: U+FFFD. Hazardous: shown.
void AppendShown(std::string* out, const CodePoint& c, std::string_view raw) {
  if (c.valid) {
    AppendVisible(out, c, raw);
  } else {
    out->append(kReplacement);
  }
}

bool IsSpace(const CodePoint& c) {
  return c.valid && (c.value == '\n' || c.value == '\r' || c.value == '\t');
}

std::string_view HtmlEntity(char32_t c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return "";
  }
}

// Backslash-escapes the ASCII punctuation that means something to Markdown (CommonMark 2.4).
constexpr std::string_view kMarkdownMarks = "\\`*_{}[]()<>#+-.!|~&$\"':=^@";

void AppendJson(std::string* out, const CodePoint& c, std::string_view raw) {
  if (!c.valid) {
    out->append(kReplacement);
  } else if (c.value == '"' || c.value == '\\') {
    out->push_back('\\');
    out->append(raw);
  } else if (c.value == '\n') {
    out->append("\\n");
  } else if (c.value < 0x20 || c.value == 0x7F || c.value == '<' || c.value == '>' || c.value == '&' ||
             c.value == 0x2028 || c.value == 0x2029) {
    // Also what would end a script element or a line of JavaScript around it.
    out->append(absl::StrFormat("\\u%04x", static_cast<uint32_t>(c.value)));
  } else {
    out->append(raw);
  }
}

}  // namespace

std::string Html(std::string_view s) {
  std::string out;
  EachCodePoint(s, [&out](const CodePoint& c, std::string_view raw) {
    const std::string_view entity = c.valid ? HtmlEntity(c.value) : std::string_view();
    if (!entity.empty()) {
      out.append(entity);
    } else if (c.valid && (c.value == '\n' || c.value == '\t')) {
      out.append(raw);
    } else {
      AppendShown(&out, c, raw);
    }
  });
  return out;
}

std::string Terminal(std::string_view s, bool lines) {
  std::string out;
  EachCodePoint(s, [&](const CodePoint& c, std::string_view raw) {
    if (c.valid && c.value == '\t') {
      out.push_back(' ');
    } else if (lines && c.valid && c.value == '\n') {
      out.push_back('\n');
    } else {
      AppendVisible(&out, c, raw);
    }
  });
  return out;
}

std::string LogLine(std::string_view s) { return EncodeLogText(s); }

std::string Slack(std::string_view s) {
  std::string out;
  EachCodePoint(s, [&out](const CodePoint& c, std::string_view raw) {
    // Slack's own three (api.slack.com, "Escaping text"); a back-tick would open or close a code span.
    if (c.valid && (c.value == '&' || c.value == '<' || c.value == '>')) {
      out.append(HtmlEntity(c.value));
    } else if (c.valid && c.value == '`') {
      out.push_back('\'');
    } else if (IsSpace(c)) {
      out.push_back(' ');
    } else {
      AppendShown(&out, c, raw);
    }
  });
  return out;
}

std::string Markdown(std::string_view s) {
  std::string out;
  EachCodePoint(s, [&out](const CodePoint& c, std::string_view raw) {
    if (IsSpace(c)) {
      out.push_back(' ');
      return;
    }
    if (c.valid && c.value < 0x80 &&
        kMarkdownMarks.find(static_cast<char>(c.value)) != std::string_view::npos) {
      out.push_back('\\');
    }
    AppendShown(&out, c, raw);
  });
  return out;
}

std::string Csv(std::string_view s) {
  std::string out = "\"";
  // A spreadsheet takes these for the start of a formula; a quote in front makes it text.
  if (!s.empty() && std::string_view("=+-@\t\r").find(s[0]) != std::string_view::npos) out.push_back('\'');
  EachCodePoint(s, [&out](const CodePoint& c, std::string_view raw) {
    if (IsSpace(c)) {
      out.push_back(' ');
      return;
    }
    if (c.valid && c.value == '"') out.push_back('"');
    AppendShown(&out, c, raw);
  });
  return out.append("\"");
}

std::string Json(std::string_view s) {
  std::string out = "\"";
  EachCodePoint(s, [&out](const CodePoint& c, std::string_view raw) { AppendJson(&out, c, raw); });
  return out.append("\"");
}

std::string Cut(std::string_view s, size_t bytes) {
  constexpr std::string_view kEllipsis = "…";
  if (s.size() <= bytes) return std::string(s);
  if (bytes < kEllipsis.size()) return std::string(CutUtf8(s, bytes));
  return std::string(CutUtf8(s, bytes - kEllipsis.size())).append(kEllipsis);
}

}  // namespace quell::text
