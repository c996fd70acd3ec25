#include "common/base/utf8.h"

#include "absl/strings/str_format.h"

namespace quell {

CodePoint DecodeUtf8(std::string_view s) {
  const auto lead = static_cast<uint8_t>(s[0]);
  if (lead < 0x80) return {lead, 1, true};
  size_t size = 0;
  char32_t value = 0;
  char32_t least = 0;
  if (lead >= 0xC2 && lead <= 0xDF) {
    size = 2, value = lead & 0x1F, least = 0x80;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    size = 3, value = lead & 0x0F, least = 0x800;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    size = 4, value = lead & 0x07, least = 0x10000;
  }
  if (size == 0 || s.size() < size) return {};
  for (size_t i = 1; i < size; ++i) {
    const auto next = static_cast<uint8_t>(s[i]);
    if ((next & 0xC0) != 0x80) return {};
    value = value << 6 | (next & 0x3F);
  }
  if (value < least || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
  return {value, size, true};
}

void AppendUtf8(std::string* out, char32_t c) {
  const auto put = [out](char32_t b) { out->push_back(static_cast<char>(b)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

bool IsHazardous(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c < 0xA0)) return true;
  if (c == 0xAD || c == 0x61C || c == 0x180E || c == 0xFEFF) return true;
  if (c == 0x200B || c == 0x200E || c == 0x200F) return true;
  if (c >= 0x2028 && c <= 0x202E) return true;  // separators, bidi embeddings and overrides
  if (c >= 0x2060 && c <= 0x206F) return true;  // invisible operators, bidi isolates
  if (c >= 0xFFF9 && c <= 0xFFFB) return true;  // interlinear annotations
  return c >= 0xE0000 && c <= 0xE0FFF;          // tags
}

void AppendVisible(std::string* out, const CodePoint& c, std::string_view raw) {
  if (!c.valid) {
    out->append(absl::StrFormat("\\x%02x", static_cast<uint8_t>(raw[0])));
  } else if (!IsHazardous(c.value)) {
    out->append(raw.substr(0, c.size));
  } else if (c.value < 0x80) {
    out->append(absl::StrFormat("\\x%02x", static_cast<uint32_t>(c.value)));
  } else {
    out->append(absl::StrFormat("\\u{%04x}", static_cast<uint32_t>(c.value)));
  }
}

std::string_view CutUtf8(std::string_view s, size_t bytes) {
  if (s.size() <= bytes) return s;
  size_t end = bytes;
  // Back over continuation bytes, three at most: more than that is no UTF-8 anyway.
  for (int i = 0; i < 3 && end > 0 && (static_cast<uint8_t>(s[end]) & 0xC0) == 0x80; ++i) --end;
  return s.substr(0, end);
}

bool IsUtf8(std::string_view s) {
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    if (!c.valid) return false;
    s.remove_prefix(c.size);
  }
  return true;
}

std::string MakeUtf8(std::string_view s) {
  std::string out;
  out.reserve(s.size());
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    if (c.valid) {
      out.append(s.substr(0, c.size));
    } else {
      AppendUtf8(&out, 0xFFFD);
    }
    s.remove_prefix(c.size);
  }
  return out;
}

}  // namespace quell
