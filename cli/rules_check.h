// `quell rules check FILE…`: the controller's own loader, without a controller. 0: all files load; 1: a file
// is bad; each mistake is one line with file:line:column on `err`.
#pragma once
#include <ostream>
#include <string>
#include <vector>

namespace quell::cli {

int CheckRules(const std::vector<std::string>& files, std::ostream& out, std::ostream& err);

}  // namespace quell::cli
