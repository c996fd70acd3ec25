#include "agent/collectors/changes/look.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kLongestLabel = 500;
constexpr size_t kLongestText = 1000;
constexpr size_t kLargestPasswd = 1 << 20;

std::string Bounded(const std::string& text, size_t bytes) {
  return std::string(CutUtf8(MakeUtf8(text.substr(0, 2 * bytes)), bytes));
}

}  // namespace

absl::StatusOr<std::string> ReadRegular(const std::string& path, size_t limit, off_t offset,
                                        struct stat* info) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  struct stat st {};
  if (fstat(file.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
  if (!S_ISREG(st.st_mode)) return absl::FailedPreconditionError(absl::StrCat(path, " is no regular file"));
  if (info != nullptr) *info = st;
  std::string content;
  while (content.size() < limit) {
    char buffer[16 << 10];
    const ssize_t n = pread(file.get(), buffer, std::min(sizeof(buffer), limit - content.size()),
                            offset + static_cast<off_t>(content.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("reading ", path));
    if (n == 0) break;
    content.append(buffer, static_cast<size_t>(n));
  }
  return content;
}

std::string UserName(const std::string& root, uid_t uid) {
  const std::string unknown = absl::StrCat("uid ", uid);
  const auto text = ReadRegular(root + "/etc/passwd", kLargestPasswd);
  if (!text.ok()) return unknown;
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ':');
    uid_t id = 0;
    if (fields.size() >= 3 && absl::SimpleAtoi(fields[2], &id) && id == uid) return std::string(fields[0]);
  }
  return unknown;
}

Micros MicrosOf(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec / 1000; }

v1::Event MakeEvent(const ChangeEvent& event, Clock& clock) {
  v1::Event out;
  out.set_kind(event.kind);
  const Micros wall = clock.Wall(), monotonic = clock.Monotonic();
  const Micros at = event.at <= 0 ? wall : std::min(event.at, wall);
  out.set_wall_us(at);
  out.set_monotonic_us(monotonic - (wall - at));
  if (out.monotonic_us() < 1) {  // before this boot: the wall's time counts then
    out.set_monotonic_us(1);
    out.set_boot_id("earlier");
  }
  auto labels = event.labels;
  std::sort(labels.begin(), labels.end());
  for (const auto& [name, value] : labels) {
    if (value.empty()) continue;
    v1::Label* label = out.add_labels();
    label->set_name(name);
    label->set_value(Bounded(value, kLongestLabel));
  }
  out.set_text(Bounded(event.text, kLongestText));
  return out;
}

void AddPlace(const ChangePlace& place, ChangeEvent& event) {
  event.labels.insert(event.labels.end(),
                      {{"user", place.user}, {"app", place.app}, {"service", place.service}});
}

}  // namespace quell::agent
