// Columns of code points: Unicode's East Asian Width (UAX 11, W and F) and the non-spacing marks, as ranges
// coarse enough to read.
#include <algorithm>
#include <iterator>

#include "common/base/utf8.h"
#include "common/text/encode.h"

namespace quell::text {
namespace {

struct Range {
  char32_t first;
  char32_t last;
};

constexpr Range kCombining[] = {
    {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x0610, 0x061A}, {0x064B, 0x065F},
    {0x0E34, 0x0E3A}, {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
    {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F},
};
constexpr Range kWide[] = {
    {0x1100, 0x115F},   {0x231A, 0x231B},   {0x23E9, 0x23EC}, {0x2E80, 0x303E},   {0x3041, 0x33FF},
    {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xA000, 0xA4CF}, {0xAC00, 0xD7A3},   {0xF900, 0xFAFF},
    {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},   {0xFFE0, 0xFFE6}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF},
    {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD},
};

template <size_t N>
bool Contains(const Range (&ranges)[N], char32_t c) {
  const Range* it = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                     [](const Range& r, char32_t v) { return r.last < v; });
  return it != std::end(ranges) && it->first <= c;
}

}  // namespace

int DisplayWidth(std::string_view s) {
  int width = 0;
  while (!s.empty()) {
    const CodePoint c = DecodeUtf8(s);
    s.remove_prefix(c.size);
    if (c.valid && (c.value < 0x20 || c.value == 0x7F || Contains(kCombining, c.value))) continue;
    width += c.valid && Contains(kWide, c.value) ? 2 : 1;
  }
  return width;
}

}  // namespace quell::text
