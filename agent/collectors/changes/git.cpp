#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "agent/collectors/changes/watches.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kLargestRef = 4096;
constexpr size_t kLargestPackedRefs = 4 << 20;
constexpr size_t kTailOfReflog = 64 << 10;
constexpr size_t kShortHash = 12;

struct Head {
  std::string branch;  // "main"; empty when HEAD is detached
  std::string commit;  // hex
};
struct Entry {
  std::string author;
  std::string summary;
  Micros at = 0;
};

bool IsCommit(absl::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); });
}

// A ref is a path below the repository and leads nowhere else (git-check-ref-format(1)).
bool IsRef(absl::string_view ref) {
  if (!absl::ConsumePrefix(&ref, "refs/") || ref.empty() || ref.size() > 255) return false;
  for (absl::string_view part : absl::StrSplit(ref, '/')) {
    if (part.empty() || part[0] == '.') return false;
  }
  return ref.find('\0') == absl::string_view::npos;
}

absl::StatusOr<std::string> InPackedRefs(const std::string& git, absl::string_view ref) {
  auto text = ReadRegular(git + "/packed-refs", kLargestPackedRefs);
  if (absl::IsNotFound(text.status())) return std::string();
  if (!text.ok()) return text.status();
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    if (pair.second == ref && IsCommit(pair.first)) return std::string(pair.first);
  }
  return std::string();
}

// A branch without a commit has none.
absl::StatusOr<Head> ReadHead(const std::string& git) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadRegular(git + "/HEAD", kLargestRef));
  absl::string_view line = absl::StripAsciiWhitespace(text);
  if (!absl::ConsumePrefix(&line, "ref: ")) {
    if (!IsCommit(line)) return absl::DataLossError(absl::StrCat(git, "/HEAD names no commit and no ref"));
    return Head{"", std::string(line)};
  }
  if (!IsRef(line)) return absl::DataLossError(absl::StrCat(git, "/HEAD names a ref that is none"));
  Head head;
  head.branch = std::string(absl::StripPrefix(absl::StripPrefix(line, "refs/"), "heads/"));
  const auto loose = ReadRegular(absl::StrCat(git, "/", line), kLargestRef);
  if (loose.ok()) {
    const absl::string_view commit = absl::StripAsciiWhitespace(*loose);
    if (!IsCommit(commit)) return absl::DataLossError(absl::StrCat(git, "/", line, " names no commit"));
    head.commit = std::string(commit);
    return head;
  }
  if (!absl::IsNotFound(loose.status())) return loose.status();
  QUELL_ASSIGN_OR_RETURN(head.commit, InPackedRefs(git, line));
  return head;
}

// "OLD NEW Name <address> SECONDS ZONE\tsummary". The address stays here.
bool ParseEntry(absl::string_view line, absl::string_view commit, Entry* entry) {
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits('\t', 1));
  absl::string_view left = halves.first;
  const size_t hash = commit.size();
  if (left.size() < 2 * hash + 2 || left.substr(hash + 1, hash) != commit) return false;
  left.remove_prefix(2 * hash + 2);
  const size_t open = left.find('<');
  const size_t close = left.rfind('>');
  if (open == absl::string_view::npos || close == absl::string_view::npos || close < open) return false;
  entry->author = std::string(absl::StripAsciiWhitespace(left.substr(0, open)));
  const std::vector<absl::string_view> when = absl::StrSplit(left.substr(close + 1), ' ', absl::SkipEmpty());
  int64_t seconds = 0;
  if (!when.empty() && absl::SimpleAtoi(when[0], &seconds) && seconds > 0 && seconds < (int64_t{1} << 35))
    entry->at = seconds * kSecond;
  entry->summary = std::string(halves.second);
  return true;
}

// The newest entry of the reflog that led to this commit.
Entry FindEntry(const std::string& git, const std::string& commit) {
  Entry entry;
  struct stat st {};
  const std::string path = git + "/logs/HEAD";
  if (stat(path.c_str(), &st) != 0) return entry;
  const off_t from = std::max<off_t>(0, st.st_size - static_cast<off_t>(kTailOfReflog));
  const auto text = ReadRegular(path, kTailOfReflog, from);
  if (!text.ok()) return entry;
  const std::vector<absl::string_view> lines = absl::StrSplit(*text, '\n', absl::SkipEmpty());
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (ParseEntry(*line, commit, &entry)) return entry;
  }
  return entry;
}

std::string RepositoryOf(const std::string& path) {
  struct stat st {};
  return stat((path + "/.git").c_str(), &st) == 0 ? path + "/.git" : path;
}

}  // namespace

absl::Status LookAtGit(const ChangePlace& place, const ChangeContext& context) {
  const std::string key = "git " + place.path;
  const std::string git = RepositoryOf(context.root + place.path);
  QUELL_ASSIGN_OR_RETURN(const Head head, ReadHead(git));
  const auto before = context.memory.Find(key);
  if (before && *before != head.commit && !head.commit.empty()) {
    const Entry entry = FindEntry(git, head.commit);
    ChangeEvent event{"change.git", entry.at, {}, ""};
    AddPlace(place, event);
    const std::string from = before->substr(0, kShortHash), to = head.commit.substr(0, kShortHash);
    event.labels.insert(event.labels.end(), {{"path", place.path},
                                             {"branch", head.branch},
                                             {"from", from},
                                             {"to", to},
                                             {"author", entry.author}});
    event.text = absl::StrCat(place.path, " ", from.empty() ? "(none)" : from, " -> ", to,
                              entry.summary.empty() ? "" : ": ", entry.summary);
    context.tell(event);
  }
  if (!head.commit.empty() || !before) context.memory.Set(key, head.commit);
  return absl::OkStatus();
}

}  // namespace quell::agent
