// ProcFile: one file of /proc or /sys, opened once and read anew from its beginning each time. A file that is
// not there is looked for again only each 64th time. Owned by one collector, used by one thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace quell::agent {

class ProcFile {
 public:
  static constexpr size_t kMaxBytes = 4 << 20;

  explicit ProcFile(std::string path) : path_(std::move(path)) {}
  ProcFile(ProcFile&& other) noexcept;
  ProcFile& operator=(ProcFile&&) = delete;
  ~ProcFile();
  // Its whole content, at most kMaxBytes; empty when it can't be read. Good until the next Read.
  std::string_view Read();
  // The last Read's error number; 0: it went well.
  int error() const { return error_; }

 private:
  bool Open();
  bool ReadAll();

  const std::string path_;
  int fd_ = -1;
  int error_ = 0;
  unsigned absent_ = 0;
  std::string buffer_;  // only its first length_ bytes count
  size_t length_ = 0;
};

// Reads text by hand: no allocation, no locale.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool NextLine(std::string_view* line);
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};
// The next word of a line, split at blanks; empty at its end. Advances *rest.
std::string_view NextWord(std::string_view* rest);
// A decimal number; false when there is none.
bool ParseNumber(std::string_view word, double* out);

}  // namespace quell::agent
