// The program `quell` as a function, so that tests run it whole: arguments, environment and streams come in.
#pragma once
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace quell::cli {

struct Surroundings {
  std::function<std::string(const char* name)> environment;  // "" when not set
  std::function<absl::Time()> now;
  absl::TimeZone zone;
  // A line that the person types, without its end; not set, or nullopt: nobody is there to type.
  std::function<std::optional<std::string>()> answer;
  int columns = 80;
  int lines = 24;
};

// `args` without the program's name. Data goes to `out`, all else to `err`. The value is the exit code.
int RunProgram(const std::vector<std::string>& args, const Surroundings& around, std::ostream& out,
               std::ostream& err);

}  // namespace quell::cli
