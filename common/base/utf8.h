// UTF-8, as the encoders need it: one code point at a time from arbitrary bytes. Pure; any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace quell {

struct CodePoint {
  char32_t value = 0;  // undefined when !valid
  size_t size = 1;     // bytes it takes; 1 when invalid
  bool valid = false;
};

// The code point at the front of `s`, which is not empty. Overlong forms, surrogates and values over U+10FFFF
// are invalid (RFC 3629 section 4).
CodePoint DecodeUtf8(std::string_view s);
void AppendUtf8(std::string* out, char32_t value);

// What a reader must see and not obey: C0, DEL and C1 controls, bidi controls, line and paragraph separators,
// invisible format characters and tags.
bool IsHazardous(char32_t c);
// Appends `c`, or \xNN / \u{NNNN} in its place when it is hazardous or invalid (then the first byte of
// `raw`).
void AppendVisible(std::string* out, const CodePoint& c, std::string_view raw);
// The longest prefix of at most `bytes` bytes that cuts no code point.
std::string_view CutUtf8(std::string_view s, size_t bytes);
bool IsUtf8(std::string_view s);
// `s` with U+FFFD in the place of each byte that is not UTF-8: what a protobuf string field must hold to be
// read back.
std::string MakeUtf8(std::string_view s);

}  // namespace quell
