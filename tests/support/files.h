// A directory of a test's own, and fixture trees in it. One thread.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace quell::test {

// Made below testing::TempDir(), mode 0711 so that other users' processes reach what is theirs in it; removed
// with all it holds. A failure to make it ends the test program.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  std::string Path(std::string_view name) const;  // path()/name
  // Writes path()/name, making the directories on the way; answers the full path.
  std::string Write(std::string_view name, std::string_view content, mode_t mode = 0644) const;
  std::string MakeDirectory(std::string_view name, mode_t mode = 0755) const;

 private:
  std::string path_;
};

// Writes a tree of files below `root`: relative path -> content. A recorded machine (/proc, /sys) is such a
// tree.
void WriteTree(const std::string& root, const std::map<std::string, std::string>& files);
// The whole file; "" when there is none.
std::string ReadFile(const std::string& path);
// A TCP port of 127.0.0.1 that nobody listened on just now. Only for programs that cannot be given port 0.
uint16_t FreePort();

}  // namespace quell::test
