#include "tests/support/files.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::test {

namespace fs = std::filesystem;

TempDir::TempDir() {
  std::string pattern = testing::TempDir();
  if (!pattern.ends_with('/')) pattern.push_back('/');
  pattern.append("quell-XXXXXX");
  Require(mkdtemp(pattern.data()) != nullptr, "making a temporary directory failed");
  Require(chmod(pattern.c_str(), 0711) == 0, "opening a temporary directory to others failed");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;  // a process that is just ending may still write
  fs::remove_all(path_, ignored);
}

std::string TempDir::Path(std::string_view name) const { return path_ + "/" + std::string(name); }

std::string TempDir::Write(std::string_view name, std::string_view content, mode_t mode) const {
  const std::string path = Path(name);
  fs::create_directories(fs::path(path).parent_path());
  // By its descriptor: whoever waits for the file may have taken it away already.
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  Require(fd.valid() && fchmod(fd.get(), mode) == 0, "opening " + path + " failed");
  Require(write(fd.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()),
          "writing " + path + " failed");
  return path;
}

std::string TempDir::MakeDirectory(std::string_view name, mode_t mode) const {
  const std::string path = Path(name);
  fs::create_directories(path);
  Require(chmod(path.c_str(), mode) == 0, "making " + path + " failed");
  return path;
}

void WriteTree(const std::string& root, const std::map<std::string, std::string>& files) {
  for (const auto& [name, content] : files) {
    const fs::path path = fs::path(root) / fs::path(name).relative_path();
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }
}

std::string ReadFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

uint16_t FreePort() {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  Require(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) == 0, "binding to loopback failed");
  Require(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0,
          "asking for a port failed");
  return ntohs(address.sin_port);
}

}  // namespace quell::test
