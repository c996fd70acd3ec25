#include "agent/executor/sanctions.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/executor/glob.h"
#include "agent/executor/guarded_file.h"
#include "common/base/ids.h"

namespace quell::agent {
namespace {

using config::kRequired;
using config::MapReader;
using config::Problems;
using config::YamlNode;

constexpr uint64_t kLargestFile = 1 << 20;
constexpr size_t kMostFiles = 64;
constexpr size_t kMostEntries = 4096;
constexpr size_t kLongestPath = 1024;

// What an entry of an action may hold besides action, allow, deny, limits and approval.
struct Shape {
  std::string_view action;
  std::vector<std::string_view> dimensions;     // keys of allow and deny
  std::vector<std::string_view> counts;         // keys of limits that are whole numbers
  std::vector<std::string_view> durations;      // keys of limits that are durations
  std::vector<std::string_view> required_text;  // further keys that must be there
  std::vector<std::string_view> text;           // further keys
  bool user = false;                            // its targets have an owner, which must be named
  bool sessions = false;                        // its targets are a server's sessions, judged when known
};

const std::vector<Shape>& Shapes() {
  static const auto* shapes = new std::vector<Shape>{
      {"pm2.restart", {"apps"}, {"per_hour"}, {}, {}, {"env_file"}, true},
      {"pm2.reload", {"apps"}, {"per_hour"}, {}, {}, {"env_file"}, true},
      {"pm2.start", {"apps"}, {"per_hour"}, {}, {}, {}, true},
      {"pm2.stop", {"apps"}, {"per_hour"}, {"longest"}, {}, {}, true},
      {"pm2.scale", {"apps"}, {"per_hour", "min", "max"}, {"longest"}, {}, {}, true},
      {"release.rollback", {}, {"per_hour"}, {}, {}, {}, true},
      {"maintenance.on", {}, {"per_hour"}, {"longest"}, {"deployment", "path"}, {}, true},
      {"maintenance.off", {}, {"per_hour"}, {}, {"deployment", "path"}, {}, true},
      {"postgres.terminate",
       {"databases", "users", "applications"},
       {"per_hour", "max_targets"},
       {"min_age"},
       {"connection"},
       {},
       false,
       true},
      {"postgres.cancel",
       {"databases", "users", "applications"},
       {"per_hour", "max_targets"},
       {"min_age"},
       {"connection"},
       {},
       false,
       true},
      {"service.restart", {"units"}, {"per_hour"}, {}, {}, {}, false},
      {"network.block", {"networks"}, {"per_hour", "max_targets"}, {"longest"}, {}, {}, false},
      {"sessions.revoke", {}, {"per_hour"}, {}, {"connection", "statement"}, {}, false},
      {"procedure.run", {}, {"per_hour"}, {}, {"name"}, {"timeout"}, true},
  };
  return *shapes;
}

const Shape* FindShape(std::string_view action) {
  for (const Shape& shape : Shapes()) {
    if (shape.action == action) return &shape;
  }
  return nullptr;
}

void ReadPatterns(MapReader& map, std::string_view key, const Shape& shape, Problems& problems,
                  std::map<std::string, std::vector<std::string>>* out) {
  map.Map(key, [&](const YamlNode& node) {
    MapReader patterns(node, problems, key);
    for (const std::string_view dimension : shape.dimensions) {
      if (!patterns.Has(dimension)) continue;
      std::vector<std::string>& list = (*out)[std::string(dimension)];
      patterns.Strings(dimension, &list);
      if (list.empty())
        problems.Add(node.At(absl::StrCat("the list of patterns is empty: it names nothing")));
      for (const std::string& pattern : list) {
        if (pattern.empty()) problems.Add(node.At("an empty pattern matches no name"));
      }
    }
    patterns.Finish();
  });
}

void ReadLimits(MapReader& map, const Shape& shape, Problems& problems, SanctionEntry& entry) {
  map.Map("limits", [&](const YamlNode& node) {
    MapReader limits(node, problems, "limits");
    for (const std::string_view key : shape.counts) {
      int64_t value = -1;
      limits.Int(key, &value, 0, 1'000'000);
      if (key == "per_hour" && value >= 0) entry.per_hour = value;
      if (key == "max_targets" && value >= 0) entry.max_targets = value;
    }
    for (const std::string_view key : shape.durations) {
      Micros value = -1;
      limits.Duration(key, &value);
      if (key == "min_age" && value >= 0) entry.min_age = value;
    }
    limits.Finish();
  });
}

// Keys of actions whose further values this build doesn't act on are read for their form.
void ReadFurther(MapReader& map, const Shape& shape, const YamlNode& node, Problems& problems,
                 SanctionEntry& entry) {
  std::string ignored;
  for (const std::string_view key : shape.required_text)
    map.String(key, key == "connection" ? &entry.connection : &ignored, kRequired);
  for (const std::string_view key : shape.text) map.String(key, &ignored);
  std::vector<std::string> names;
  if (shape.action == "procedure.run") {
    map.Strings("argv", &names, kRequired);
    std::map<std::string, std::string> params;
    map.StringMap("params", &params);
  }
  std::string env_file;
  if (map.Has("env_file")) map.String("env_file", &env_file);
  if (!env_file.empty() && env_file[0] != '/') problems.Add(node.At("env_file is not an absolute path"));
}

void ReadRelease(MapReader& map, const YamlNode& node, Problems& problems, SanctionEntry& entry) {
  ReleaseSanction release;
  map.String("deployment", &release.deployment, kRequired);
  map.String("path", &release.path, kRequired);
  map.String("layout", &release.layout, kRequired);
  map.String("app", &release.app);
  map.Strings("never", &release.never);
  map.Map("migrations", [&](const YamlNode& migrations_node) {
    MapReader migrations(migrations_node, problems, "migrations");
    migrations.String("connection", &release.migrations_connection, kRequired);
    migrations.String("query_file", &release.migrations_query_file);
    migrations.Finish();
  });
  if (!release.layout.empty() && release.layout != "releases") {
    problems.Add(node.At("layout is `releases`: a directory of releases with a link `current` beside it"));
  }
  if (release.path.size() > kLongestPath) {
    problems.Add(node.At(absl::StrCat("path is longer than ", kLongestPath, " bytes")));
  }
  while (release.path.size() > 1 && release.path.back() == '/') release.path.pop_back();
  // What is recorded of it is found again by this very text.
  for (absl::string_view part : absl::StrSplit(release.path.substr(release.path.empty() ? 0 : 1), '/')) {
    if (part.empty() || part == "." || part == "..")
      problems.Add(node.At("path has an empty part, a . or a .."));
  }
  for (const std::string* path : {&release.path, &release.migrations_query_file}) {
    if (!path->empty() && (*path)[0] != '/')
      problems.Add(node.At(absl::StrCat(*path, " is not an absolute path")));
  }
  entry.release = std::move(release);
}

void CheckNames(const Shape& shape, const SanctionEntry& entry, const YamlNode& node, Problems& problems) {
  if (shape.user && entry.user.empty()) {
    problems.Add(node.At(absl::StrCat("an entry of ", entry.action,
                                      " needs `user`: a name pattern counts only with its owner")));
  }
  if (entry.user.find_first_of("*?") != std::string::npos) {
    problems.Add(node.At("`user` is a name, not a pattern"));
  }
  if (!shape.dimensions.empty() && entry.allow.empty() && entry.deny.empty()) {
    problems.Add(
        node.At(absl::StrCat("an entry of ", entry.action, " needs `allow` or `deny`: it names nothing")));
  }
  if (shape.sessions && !entry.allow.empty() && entry.allow.count("databases") == 0) {
    problems.Add(node.At(absl::StrCat("`allow` of ", entry.action, " needs `databases`")));
  }
}

void ReadEntry(const YamlNode& node, Problems& problems, std::vector<SanctionEntry>& entries) {
  SanctionEntry entry;
  entry.where = absl::StrCat(node.file, ":", node.line);
  if (node.kind != YamlNode::Kind::kMap) {
    problems.Add(node.At("an entry of the sanctions is a map, as {action: pm2.restart, user: …, allow: …}"));
    return;
  }
  const YamlNode* name = node.Find("action");
  const Shape* shape = name == nullptr ? nullptr : FindShape(name->scalar);
  if (shape == nullptr) {
    problems.Add(name == nullptr ? node.At("the entry has no `action`")
                                 : name->At(absl::StrCat("no action is called ", name->scalar)));
    return;
  }
  MapReader map(node, problems, "sanction");
  map.String("action", &entry.action, kRequired);
  if (shape->user) map.String("user", &entry.user);
  if (!shape->dimensions.empty()) {
    ReadPatterns(map, "allow", *shape, problems, &entry.allow);
    ReadPatterns(map, "deny", *shape, problems, &entry.deny);
  }
  ReadLimits(map, *shape, problems, entry);
  if (shape->action == "release.rollback") ReadRelease(map, node, problems, entry);
  int approval = 0;
  map.Choice("approval", {"none", "one", "two"}, &approval);
  entry.approval = static_cast<ApprovalNeeded>(approval);
  ReadFurther(map, *shape, node, problems, entry);
  CheckNames(*shape, entry, node, problems);
  map.Finish();
  entries.push_back(std::move(entry));
}

// The dimension that an action's target name is matched in: the last of its target fields.
std::string_view TargetDimension(std::string_view action) {
  const Shape* shape = FindShape(action);
  return shape == nullptr || shape->dimensions.empty() ? "" : shape->dimensions.front();
}

bool OfSessions(std::string_view action) {
  const Shape* shape = FindShape(action);
  return shape != nullptr && shape->sessions;
}

bool Denies(const SanctionEntry& entry, const ActionInfo& info) {
  return !OfSessions(info.name) && entry.action == info.name && entry.user == info.user &&
         AnyMatches(entry.deny, TargetDimension(info.name), info.target.back());
}

struct NamedText {
  std::string path;
  std::string text;
};

absl::StatusOr<std::vector<NamedText>> ReadFiles(const std::string& path, uid_t owner) {
  std::vector<NamedText> files;
  auto main = ReadGuardedFile(path, owner, kLargestFile);
  if (!main.ok()) return main.status();
  files.push_back({path, *std::move(main)});
  const std::string directory =
      absl::StrCat(absl::EndsWith(path, ".yaml") ? path.substr(0, path.size() - 5) : path, ".d");
  auto names = ListGuardedDirectory(directory, owner, kMostFiles);
  if (absl::IsNotFound(names.status())) return files;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (!absl::EndsWith(name, ".yaml") || name[0] == '.') continue;
    const std::string part = absl::StrCat(directory, "/", name);
    auto text = ReadGuardedFile(part, owner, kLargestFile);
    if (!text.ok()) return text.status();
    files.push_back({part, *std::move(text)});
  }
  return files;
}

}  // namespace

void ParseSanctions(std::string_view file, std::string_view text, config::Problems& problems,
                    std::vector<SanctionEntry>& entries) {
  const YamlNode root = config::ParseYaml(file, text, problems);
  if (!problems.ok() || root.kind == YamlNode::Kind::kNull) return;
  if (root.kind != YamlNode::Kind::kList) {
    problems.Add(root.At("the sanctions are a list of entries"));
    return;
  }
  if (root.items.size() + entries.size() > kMostEntries) {
    problems.Add(root.At(absl::StrCat("there are more than ", kMostEntries, " entries")));
    return;
  }
  for (const YamlNode& item : root.items) ReadEntry(item, problems, entries);
}

SanctionsFile LoadSanctions(const std::string& path, uid_t owner) {
  SanctionsFile file;
  auto texts = ReadFiles(path, owner);
  if (!texts.ok()) {
    file.error = absl::StrCat("the sanctions can't be used: ", texts.status().message());
    return file;
  }
  Problems problems;
  std::string all;
  for (const NamedText& part : *texts) {
    absl::StrAppend(&all, part.path.size(), " ", part.path, " ", part.text.size(), " ", part.text);
    ParseSanctions(part.path, part.text, problems, file.entries);
  }
  file.sha256 = Sha256(all);
  if (!problems.ok()) {
    file.entries.clear();
    file.error = problems.ToString();
  }
  return file;
}

bool AnyMatches(const std::map<std::string, std::vector<std::string>>& patterns, std::string_view dimension,
                std::string_view name) {
  auto list = patterns.find(std::string(dimension));
  if (list == patterns.end()) return false;
  return std::any_of(list->second.begin(), list->second.end(),
                     [&](const std::string& pattern) { return GlobMatch(pattern, name); });
}

bool EntryMatches(const SanctionEntry& entry, std::string_view action, std::string_view user,
                  std::string_view name) {
  if (OfSessions(action)) return entry.action == action && entry.connection == name && !entry.allow.empty();
  if (entry.release) return entry.action == action && entry.user == user && entry.release->deployment == name;
  return entry.action == action && entry.user == user &&
         AnyMatches(entry.allow, TargetDimension(action), name);
}

Sanction FindSanction(const SanctionsFile& file, const ActionInfo& info) {
  Sanction sanction;
  const auto refuse = [&](std::string why) {
    sanction.allowed = false;
    sanction.reason = std::move(why);
    return sanction;
  };
  if (!file.error.empty()) return refuse(file.error);
  if (info.target.empty()) return refuse(absl::StrCat(info.name, " has no target that sanctions could name"));
  for (const SanctionEntry& entry : file.entries) {
    if (Denies(entry, info))
      return refuse(absl::StrCat(entry.where, " denies ", info.name, " on this target"));
    if (EntryMatches(entry, info.name, info.user, info.target.back())) sanction.limits.push_back(entry);
  }
  if (sanction.limits.empty())
    return refuse(absl::StrCat("no sanction names ", info.name, " on this target"));
  sanction.allowed = true;
  return sanction;
}

}  // namespace quell::agent
