#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_split.h"
#include "agent/collectors/changes/names.h"
#include "agent/collectors/changes/watches.h"
#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kLargestHashed = 1 << 20;

// What is remembered of a file: "STAT HASH", where STAT tells whether it must be read again. HASH is "-" for
// one that this user may not read, or that is too large.
struct Print {
  std::string stat;
  std::string sha256;
  std::string Text() const { return stat + " " + (sha256.empty() ? "-" : sha256); }
};

Print ParsePrint(const std::string& text) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 1));
  return {parts.first, parts.second == "-" ? "" : parts.second};
}

std::string StatText(const struct stat& st) { return absl::StrCat(st.st_size, ".", MicrosOf(st.st_mtim)); }

Print Take(const std::string& path, const struct stat& st) {
  Print print{StatText(st), ""};
  if (st.st_size > static_cast<off_t>(kLargestHashed)) return print;
  const auto content = ReadRegular(path, kLargestHashed);
  if (content.ok()) print.sha256 = HexEncode(Sha256(*content));
  return print;
}

bool Same(const Print& a, const Print& b) {
  const bool both = !a.sha256.empty() && !b.sha256.empty();
  return both ? a.sha256 == b.sha256 : a.stat == b.stat;
}

struct Seen {
  std::string path;
  const char* what;  // made, changed, gone
  Print before, after;
  Micros at = 0;
  std::string author;
};

void Tell(const ChangePlace& place, const ChangeContext& context, const Seen& seen) {
  ChangeEvent event{"change.config", seen.at, {}, absl::StrCat(seen.path, " ", seen.what)};
  AddPlace(place, event);
  event.labels.insert(event.labels.end(), {{"path", seen.path},
                                           {"before", seen.before.sha256},
                                           {"after", seen.after.sha256},
                                           {"author", seen.author}});
  context.tell(event);
}

void LookAtFile(const ChangePlace& place, const ChangeContext& context, const std::string& prefix,
                const std::string& path, bool first) {
  struct stat st {};
  if (stat((context.root + path).c_str(), &st) != 0) return;
  const auto known = context.memory.Find(prefix + path);
  const Print before = known ? ParsePrint(*known) : Print();
  if (known && before.stat == StatText(st)) return;
  const Print after = Take(context.root + path, st);
  // What can't be remembered would be news at each look.
  if (!context.memory.Set(prefix + path, after.Text())) return;
  if (known ? !Same(before, after) : !first) {
    Tell(place, context,
         {path, known ? "changed" : "made", before, after, MicrosOf(st.st_ctim),
          UserName(context.root, st.st_uid)});
  }
}

}  // namespace

absl::Status LookAtFiles(const ChangePlace& place, const ChangeContext& context) {
  const std::string pattern = "files " + place.path;
  const std::string prefix = absl::StrCat("file ", place.path, "\t");
  QUELL_ASSIGN_OR_RETURN(const std::vector<std::string> paths, FindNames(context.root, place.path));
  const bool first = !context.memory.Find(pattern).has_value();
  const std::set<std::string> there(paths.begin(), paths.end());
  for (const std::string& path : paths) LookAtFile(place, context, prefix, path, first);
  for (const auto& [key, value] : context.memory.Under(prefix)) {
    const std::string path = key.substr(prefix.size());
    if (there.count(path) != 0) continue;
    Tell(place, context, {path, "gone", ParsePrint(value), Print(), 0, ""});
    context.memory.Erase(key);
  }
  context.memory.Set(pattern, "seen");
  return absl::OkStatus();
}

}  // namespace quell::agent
