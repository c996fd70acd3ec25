// Name patterns of sanctions: `*` any run of characters, `?` one byte, everything else itself; the whole name
// must match. Time is linear in pattern times name, without recursion. Pure.
#pragma once
#include <string_view>

namespace quell::agent {

bool GlobMatch(std::string_view pattern, std::string_view name);

}  // namespace quell::agent
