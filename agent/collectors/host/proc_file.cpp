#include "agent/collectors/host/proc_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

namespace quell::agent {
namespace {

constexpr size_t kFirstBytes = 4096;
constexpr unsigned kLookAgain = 64;

}  // namespace

ProcFile::ProcFile(ProcFile&& other) noexcept
    : path_(other.path_),
      fd_(std::exchange(other.fd_, -1)),
      error_(other.error_),
      absent_(other.absent_),
      buffer_(std::move(other.buffer_)) {}

ProcFile::~ProcFile() {
  if (fd_ >= 0) close(fd_);
}

bool ProcFile::Open() {
  if (absent_ != 0 && absent_++ % kLookAgain != 0) return false;
  fd_ = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ >= 0) {
    absent_ = 0;
    return true;
  }
  error_ = errno;
  absent_ = std::max(absent_, 1u);
  return false;
}

// Files of /proc give a page or so per read and no size: read on until nothing more comes. buffer_ keeps its
// size, so that it is allocated and cleared once.
bool ProcFile::ReadAll() {
  if (buffer_.size() < kFirstBytes) buffer_.resize(kFirstBytes);
  size_t got = 0;
  for (;;) {
    if (got == buffer_.size()) {
      if (got >= kMaxBytes) break;
      buffer_.resize(std::min(buffer_.size() * 2, kMaxBytes));
    }
    const ssize_t n = pread(fd_, buffer_.data() + got, buffer_.size() - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      error_ = errno;
      return false;
    }
    if (n == 0) break;
    got += static_cast<size_t>(n);
  }
  length_ = got;
  return true;
}

std::string_view ProcFile::Read() {
  error_ = 0;
  if (fd_ < 0 && !Open()) return {};
  if (ReadAll()) return std::string_view(buffer_).substr(0, length_);
  close(std::exchange(fd_, -1));  // a device or process that has gone: next time anew
  return {};
}

bool Scanner::NextLine(std::string_view* line) {
  if (rest_.empty()) return false;
  const size_t end = std::min(rest_.find('\n'), rest_.size());
  *line = rest_.substr(0, end);
  rest_.remove_prefix(std::min(end + 1, rest_.size()));
  return true;
}

std::string_view NextWord(std::string_view* rest) {
  size_t begin = 0;
  while (begin < rest->size() && ((*rest)[begin] == ' ' || (*rest)[begin] == '\t')) ++begin;
  size_t end = begin;
  while (end < rest->size() && (*rest)[end] != ' ' && (*rest)[end] != '\t') ++end;
  const std::string_view word = rest->substr(begin, end - begin);
  rest->remove_prefix(end);
  return word;
}

bool ParseNumber(std::string_view word, double* out) {
  // Whole numbers are nearly all of them, and quicker.
  uint64_t whole = 0;
  const char* const last = word.data() + word.size();
  auto [end, error] = std::from_chars(word.data(), last, whole);
  if (error == std::errc() && end == last && !word.empty()) {
    *out = static_cast<double>(whole);
    return true;
  }
  const auto real = std::from_chars(word.data(), last, *out);
  return real.ec == std::errc() && real.ptr == last && !word.empty();
}

}  // namespace quell::agent
