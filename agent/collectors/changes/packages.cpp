#include <algorithm>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "agent/collectors/changes/watches.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr char kLog[] = "/var/log/dpkg.log";
constexpr char kKey[] = "dpkg";
constexpr size_t kMostBytes = 1 << 20;  // a look
constexpr size_t kHead = 256;           // bytes that tell one log from another
constexpr size_t kNames = 5;
constexpr Micros kRun = kMinute;

// Where reading goes on: which file, from where, and what it began with.
struct Place {
  ino_t inode = 0;
  off_t offset = 0;
  uint32_t head = 0;

  std::string Text() const { return absl::StrCat(inode, " ", offset, " ", head); }
};

std::optional<Place> ParsePlace(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  const std::vector<absl::string_view> parts = absl::StrSplit(*text, ' ');
  Place place;
  uint64_t inode = 0, head = 0;
  int64_t offset = 0;
  if (parts.size() != 3 || !absl::SimpleAtoi(parts[0], &inode) || !absl::SimpleAtoi(parts[1], &offset) ||
      !absl::SimpleAtoi(parts[2], &head) || offset < 0)
    return std::nullopt;
  return Place{static_cast<ino_t>(inode), static_cast<off_t>(offset), static_cast<uint32_t>(head)};
}

// CRC of the first bytes, at most as many as had been read.
uint32_t HeadOf(const std::string& path, off_t offset) {
  const auto head = ReadRegular(path, static_cast<size_t>(std::min<off_t>(offset, kHead)));
  return head.ok() ? Crc32c(*head) : 0;
}

// One line of the log that is a change: "2026-11-23 03:12:07 upgrade nginx:amd64 1.22.1-9 1.22.1-10".
struct Line {
  Micros at = 0;
  std::string action;
  std::string package;
  std::string after;  // version
};

std::optional<Line> ParseLine(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.size() != 6) return std::nullopt;
  if (words[2] != "install" && words[2] != "upgrade" && words[2] != "remove" && words[2] != "purge")
    return std::nullopt;
  absl::Time at;
  std::string error;
  // dpkg writes the host's own time.
  if (!absl::ParseTime("%Y-%m-%d %H:%M:%S", absl::StrCat(words[0], " ", words[1]), absl::LocalTimeZone(), &at,
                       &error))
    return std::nullopt;
  Line line{absl::ToUnixMicros(at), std::string(words[2]), std::string(words[3]), std::string(words[5])};
  if (line.after == "<none>") line.after.clear();
  return line;
}

// The lines of one run of dpkg, as one event.
class Run {
 public:
  bool empty() const { return count_ == 0; }
  bool Takes(const Line& line) const { return empty() || (line.at >= first_ && line.at - first_ < kRun); }
  void Add(const Line& line) {
    if (empty()) first_ = line.at;
    ++count_;
    int& number = line.action == "install" ? installed_ : line.action == "upgrade" ? upgraded_ : removed_;
    ++number;
    if (names_.size() < kNames)
      names_.push_back(absl::StrCat(line.package, line.after.empty() ? "" : " ", line.after));
  }
  // A line of a later time than now is of a clock that was set: it is not waited for.
  bool Over(Micros wall) const { return wall < first_ || wall - first_ >= kRun; }
  ChangeEvent Event() const {
    ChangeEvent event{"change.package", first_, {}, ""};
    const auto number = [](int n) { return n == 0 ? std::string() : std::to_string(n); };
    event.labels = {{"installed", number(installed_)},
                    {"upgraded", number(upgraded_)},
                    {"removed", number(removed_)},
                    {"packages", absl::StrJoin(names_, ", ")}};
    std::vector<std::string> parts;
    for (const auto& [n, what] : {std::pair(installed_, "installed"), std::pair(upgraded_, "upgraded"),
                                  std::pair(removed_, "removed")})
      if (n != 0) parts.push_back(absl::StrCat(n, " ", what));
    event.text = absl::StrCat(absl::StrJoin(parts, ", "), ": ", absl::StrJoin(names_, ", "));
    if (count_ > names_.size()) absl::StrAppend(&event.text, " and ", count_ - names_.size(), " more");
    return event;
  }

 private:
  size_t count_ = 0;
  int installed_ = 0, upgraded_ = 0, removed_ = 0;
  Micros first_ = 0;
  std::vector<std::string> names_;
};

// Tells of the runs in `text`; how many of its bytes are done with. The last run waits until nothing more can
// join it, unless `all`.
size_t TellRuns(absl::string_view text, bool all, const ChangeContext& context) {
  size_t done = 0, at = 0;
  Run run;
  for (size_t end = text.find('\n'); end != absl::string_view::npos; end = text.find('\n', at)) {
    const auto line = ParseLine(text.substr(at, end - at));
    if (line && !run.Takes(*line)) {
      context.tell(run.Event());
      run = Run();
      done = at;
    }
    if (line) run.Add(*line);
    at = end + 1;
    if (run.empty()) done = at;
  }
  if (run.empty()) return done;
  if (!all && !run.Over(context.wall)) return done;
  context.tell(run.Event());
  return at;
}

absl::StatusOr<size_t> ReadOn(const std::string& path, off_t offset, bool all, const ChangeContext& context) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadRegular(path, kMostBytes, offset));
  const bool full = text.size() == kMostBytes;
  const size_t done = TellRuns(text, all || full, context);
  // More than can be looked at without one line in it that ends: no log of dpkg's.
  return full && done == 0 ? text.size() : done;
}

}  // namespace

absl::Status LookAtPackages(const ChangeContext& context) {
  const std::string path = context.root + kLog;
  struct stat st {};
  if (stat(path.c_str(), &st) != 0)
    return absl::OkStatus();  // none yet, or none at this moment of a rotation
  std::optional<Place> place = ParsePlace(context.memory.Find(kKey));
  if (!place) {
    place = Place{st.st_ino, st.st_size, HeadOf(path, st.st_size)};
    context.memory.Set(kKey, place->Text());
    return absl::OkStatus();
  }
  const bool same =
      place->inode == st.st_ino && place->offset <= st.st_size && place->head == HeadOf(path, place->offset);
  if (!same) {
    struct stat old {};
    const std::string rotated = path + ".1";
    if (stat(rotated.c_str(), &old) == 0 && old.st_ino == place->inode && old.st_size >= place->offset)
      QUELL_RETURN_IF_ERROR(ReadOn(rotated, place->offset, true, context).status());
    place = Place{st.st_ino, 0, 0};
  }
  QUELL_ASSIGN_OR_RETURN(const size_t done, ReadOn(path, place->offset, false, context));
  place->offset += static_cast<off_t>(done);
  place->head = HeadOf(path, place->offset);
  context.memory.Set(kKey, place->Text());
  return absl::OkStatus();
}

}  // namespace quell::agent
