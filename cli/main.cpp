#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "cli/program.h"
#include "common/security/grpc_credentials.h"

int main(int argc, char** argv) {
  quell::security::PrepareGrpcProcess();
  quell::cli::Surroundings around;
  around.environment = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  around.now = [] { return absl::Now(); };
  around.zone = absl::LocalTimeZone();
  around.answer = []() -> std::optional<std::string> {
    std::string line;
    if (isatty(STDIN_FILENO) == 0 || !std::getline(std::cin, line)) return std::nullopt;
    return line;
  };
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 && size.ws_row >= 10) {
    around.columns = size.ws_col;
    around.lines = size.ws_row;
  }
  const int code =
      quell::cli::RunProgram(std::vector<std::string>(argv + 1, argv + argc), around, std::cout, std::cerr);
  std::cout.flush();
  return std::cout.good() ? code : 1;
}
