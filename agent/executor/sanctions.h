// Sanctions: what this host lets anybody make it do. sanctions.yaml is a list of entries; what isn't named is
// refused. Values; pure but for LoadSanctions.
//
//   - {action: pm2.restart, user: deploy, allow: {apps: ["boutique-*"]}, limits: {per_hour: 6}}
//   - {action: release.rollback, user: deploy, deployment: portal, path: /opt/portal, layout: releases,
//      app: portal, never: ["1.6.*"], migrations: {connection: main}}
//
// Of all entries that match a target the strictest value of each limit and approval counts, and one deny is
// enough. Patterns know `*` and `?` and match whole names. A name pattern counts only with an owner: without
// `user:` an entry of an action on apps is a mistake. One mistake refuses the whole file, and a refused file
// refuses everything.
//
// An entry of an action on a PostgreSQL server's sessions bears the connection's name, and its `allow` names
// databases; where it names users or applications too, a session has to match each. Sessions are judged when
// they are known (session_sanctions.h).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/executor/action_info.h"
#include "common/config/yaml.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/journal.pb.h"

namespace quell::agent {

enum class ApprovalNeeded { kNone = 0, kOne = 1, kTwo = 2 };

// Of release.rollback: one deployment, under its owner's name for it.
struct ReleaseSanction {
  std::string deployment;
  std::string path;                // the directory that holds releases/ and `current`; absolute
  std::string layout;              // "releases"
  std::string app;                 // its PM2 app; empty: none is started anew
  std::vector<std::string> never;  // patterns of releases that are never gone to
  std::string
      migrations_connection;  // agent.yaml's postgres entry that tells applied migrations; empty: none
  std::string migrations_query_file;  // empty: Prisma's own table
};

struct SanctionEntry {
  std::string where;  // file:line
  std::string action;
  std::string user;
  std::string connection;                                 // of actions on a server's sessions
  std::map<std::string, std::vector<std::string>> allow;  // dimension ("apps") -> patterns
  std::map<std::string, std::vector<std::string>> deny;
  std::optional<int64_t> per_hour;     // starts of this action on whatever this entry matches
  std::optional<int64_t> max_targets;  // of what this entry matches, in one command
  std::optional<Micros> min_age;       // a younger target isn't touched
  ApprovalNeeded approval = ApprovalNeeded::kNone;
  std::optional<ReleaseSanction> release;
};

struct SanctionsFile {
  std::string sha256;  // over names and contents of all files; empty when they can't be read
  std::string error;   // not empty: everything is refused, and why
  std::vector<SanctionEntry> entries;
};

// What the sanctions say about one action on one target.
struct Sanction {
  bool allowed = false;
  std::string reason;                 // why not, with the place of the entry
  std::vector<SanctionEntry> limits;  // the matching entries, whose limits all hold
};

// Adds the entries of one file; mistakes go to `problems`.
void ParseSanctions(std::string_view file, std::string_view text, config::Problems& problems,
                    std::vector<SanctionEntry>& entries);

// Reads `path` and the *.yaml files of `path` with ".d" instead of ".yaml" beside it, all as ReadGuardedFile
// does. `owner`: whose the files must be besides root.
SanctionsFile LoadSanctions(const std::string& path, uid_t owner);

// Names only; limits are counted, and approvals judged (approvals.h), by the caller. Of an action on
// sessions: whether any entry speaks of its connection.
Sanction FindSanction(const SanctionsFile& file, const ActionInfo& info);
bool EntryMatches(const SanctionEntry& entry, std::string_view action, std::string_view user,
                  std::string_view name);

// Any of the patterns in that dimension matches the whole name.
bool AnyMatches(const std::map<std::string, std::vector<std::string>>& patterns, std::string_view dimension,
                std::string_view name);

}  // namespace quell::agent
