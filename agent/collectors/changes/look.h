// Looking at files that anybody may have made: bounded, and never held up by what is no file (a pipe that
// nobody writes to). Under a root directory. Any thread.
#pragma once
#include <sys/stat.h>

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/collectors/collector.h"
#include "agent/collectors/config.h"

namespace quell::agent {

// The first `limit` bytes from `offset` on of a regular file; `*info` as it was when open. NotFound,
// PermissionDenied, and FailedPrecondition for what is no regular file.
absl::StatusOr<std::string> ReadRegular(const std::string& path, size_t limit, off_t offset = 0,
                                        struct stat* info = nullptr);
// The name of a user in the root's /etc/passwd, else "uid N". No name service is asked: one that hangs would
// hold the collector.
std::string UserName(const std::string& root, uid_t uid);

Micros MicrosOf(const timespec& time);

// An event of a kind, with the labels that are not empty, sorted. Whatever the strings hold goes through as
// data: made UTF-8, and cut to the wire's bounds.
struct ChangeEvent {
  std::string kind;
  Micros at = 0;  // wall; 0: now
  std::vector<std::pair<std::string, std::string>> labels;
  std::string text;
};
v1::Event MakeEvent(const ChangeEvent& event, Clock& clock);
void AddPlace(const ChangePlace& place, ChangeEvent& event);

}  // namespace quell::agent
