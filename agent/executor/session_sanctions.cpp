#include "agent/executor/session_sanctions.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quell::agent {
namespace {

constexpr size_t kMostNamed = 5;                             // sessions in one sentence
constexpr int64_t kLatestTime = int64_t{1} << 52;            // the year 2112, in microseconds
constexpr int64_t kLongestAge = 100 * 366 * kDay / kSecond;  // seconds

struct Application {
  std::string_view prefix;  // in lower case
  std::string_view what;
};
// What well-known programs call themselves.
constexpr auto kApplications = std::to_array<Application>({
    {"pg_dump", "a dump"},
    {"pg_restore", "a dump"},
    {"pg_basebackup", "a backup"},
    {"pg_receivewal", "a backup"},
    {"pg_probackup", "a backup"},
    {"pgbackrest", "a backup"},
    {"barman", "a backup"},
    {"wal-g", "a backup"},
    {"psql", "an interactive client"},
    {"pgcli", "an interactive client"},
    {"pgadmin", "an interactive client"},
    {"dbeaver", "an interactive client"},
    {"datagrip", "an interactive client"},
    {"tableplus", "an interactive client"},
    {"postico", "an interactive client"},
    {"heidisql", "an interactive client"},
    {"navicat", "an interactive client"},
    {"beekeeper", "an interactive client"},
});

std::string Who(const v1::PostgresSession& session) {
  return absl::StrCat("pid ", session.pid(), " (user ", session.role(), ", database ", session.database(),
                      ", application ", session.application(), ")");
}

std::string Exempt(const v1::PostgresSession& session) {
  if (session.backend_type() != "client backend") return "is no client's session";
  if (session.superuser()) return "is a superuser's";
  if (session.replication()) return "is of a user who may replicate";
  if (session.role() == kMonitorRole || session.role() == kRemedyRole || session.role() == kOwnerRole)
    return "is quell's own";
  return "";
}

std::string WhatItIs(const v1::PostgresSession& session) {
  const std::string name = absl::AsciiStrToLower(session.application());
  for (const Application& application : kApplications) {
    if (absl::StartsWith(name, absl::string_view(application.prefix.data(), application.prefix.size())))
      return std::string(application.what);
  }
  if (session.kind() == "ddl") return "changing the schema";
  if (session.kind() == "maintenance") return "a maintenance command";
  if (session.kind() == "copy") return "a COPY";
  return session.kind().empty() ? "" : "a statement of another kind";
}

Micros AgeOf(const SessionQuestion& question, const v1::PostgresSession& session) {
  int64_t began = question.target.cancel ? session.query_start_us() : session.xact_start_us();
  if (began == 0) began = session.query_start_us();
  if (began == 0) began = session.backend_start_us();
  return question.now - began;
}

bool OfConnection(const SanctionEntry& entry, const SessionQuestion& question) {
  return entry.action == question.action && entry.connection == question.target.connection;
}

bool Allows(const SanctionEntry& entry, const SessionQuestion& question, const v1::PostgresSession& session) {
  if (!OfConnection(entry, question) || entry.allow.empty()) return false;
  const std::pair<std::string_view, const std::string&> names[] = {
      {"databases", session.database()}, {"users", session.role()}, {"applications", session.application()}};
  return std::all_of(std::begin(names), std::end(names),
                     [&](const auto& name) {
                       const bool named = entry.allow.count(std::string(name.first)) > 0;
                       return !named || AnyMatches(entry.allow, name.first, name.second);
                     }) &&
         entry.allow.count("databases") > 0;
}

class Ruler {
 public:
  Ruler(const SanctionsFile& file, const SessionQuestion& question, const CountIntents& started)
      : file_(file), question_(question), started_(started) {}

  SessionRuling Rule(const std::vector<v1::PostgresSession>& found) {
    SessionRuling ruling;
    std::vector<std::string> spared;
    bool unapproved = false;
    for (const v1::PostgresSession& session : found) {
      std::string why = WhyNot(session);
      if (why.empty()) {
        why = Unapproved(session);
        unapproved = unapproved || !why.empty();
      }
      if (why.empty()) {
        ruling.targets.push_back(session);
      } else {
        spared.push_back(std::move(why));
      }
    }
    const std::string sentence = Sentence(spared);
    if (ruling.targets.empty()) {
      ruling.for_approvals = unapproved;
      ruling.reason = sentence.empty() ? "no session was found" : sentence;
      return ruling;
    }
    ruling.reason = WhyNotAll(ruling.targets);
    if (!ruling.reason.empty()) {
      ruling.targets.clear();
    } else if (!sentence.empty()) {
      ruling.spared = absl::StrCat("left alone: ", sentence);
    }
    return ruling;
  }

 private:
  static std::string Sentence(std::vector<std::string> whys) {
    const size_t more = whys.size() > kMostNamed ? whys.size() - kMostNamed : 0;
    whys.resize(whys.size() - more);
    std::string text = absl::StrJoin(whys, "; ");
    if (more > 0) absl::StrAppend(&text, "; and ", more, " more");
    return text;
  }

  std::string WhyNot(const v1::PostgresSession& session) const {
    const auto because = [&](const std::string& why) { return absl::StrCat(Who(session), " ", why); };
    if (const std::string why = Exempt(session); !why.empty()) return because(why);
    std::string ask = WhatItIs(session);
    std::vector<SanctionEntry> allowing;
    for (const SanctionEntry& entry : file_.entries) {
      if (!OfConnection(entry, question_)) continue;
      const bool denied = AnyMatches(entry.deny, "databases", session.database()) ||
                          AnyMatches(entry.deny, "users", session.role());
      if (denied) return because(absl::StrCat("is denied by ", entry.where));
      if (AnyMatches(entry.deny, "applications", session.application()))
        ask = absl::StrCat("an application that ", entry.where, " denies");
      if (Allows(entry, question_, session)) allowing.push_back(entry);
    }
    if (allowing.empty()) return because("is named by no sanction");
    for (const SanctionEntry& entry : allowing) {
      if (!entry.min_age || AgeOf(question_, session) >= *entry.min_age) continue;
      return because(absl::StrCat("is younger than the ", *entry.min_age / kSecond, " s of ", entry.where));
    }
    const bool named_by_person = question_.by_person && question_.target.named();
    if (ask.empty() || named_by_person) return "";
    return because(absl::StrCat("is ", ask, ": a person has to ask for it by its pid"));
  }

  std::string Unapproved(const v1::PostgresSession& session) const {
    std::vector<SanctionEntry> allowing;
    for (const SanctionEntry& entry : file_.entries) {
      if (Allows(entry, question_, session)) allowing.push_back(entry);
    }
    const std::string why = ApprovalRefusal(allowing, question_.consent);
    return why.empty() ? "" : absl::StrCat(Who(session), " is not to be touched: ", why);
  }

  std::string WhyNotAll(const std::vector<v1::PostgresSession>& targets) const {
    if (targets.size() > kMostTargets)
      return absl::StrCat(targets.size(), " sessions match, and one command touches ", kMostTargets,
                          " at most");
    for (const SanctionEntry& entry : file_.entries) {
      const auto allowed = [&](const v1::PostgresSession& session) {
        return Allows(entry, question_, session);
      };
      const int64_t matching = std::count_if(targets.begin(), targets.end(), allowed);
      if (matching == 0) continue;
      if (entry.max_targets && matching > *entry.max_targets)
        return absl::StrCat(entry.where, " allows ", *entry.max_targets, " sessions in one command, and ",
                            matching, " match");
      if (std::string why = WhyNotNow(entry); !why.empty()) return why;
    }
    return "";
  }

  std::string WhyNotNow(const SanctionEntry& entry) const {
    if (!entry.per_hour || !started_) return "";
    const uint64_t before = started_([&](const v1::JournalIntent& intent) {
      const bool same = intent.action() == question_.action && intent.target_size() > 0 &&
                        intent.target(0) == question_.target.connection;
      return same && std::any_of(intent.sessions().begin(), intent.sessions().end(),
                                 [&](const v1::PostgresSession& s) { return Allows(entry, question_, s); });
    });
    if (before < static_cast<uint64_t>(*entry.per_hour)) return "";
    return absl::StrCat(entry.where, " allows ", *entry.per_hour, " an hour, and there were ", before);
  }

  const SanctionsFile& file_;
  const SessionQuestion& question_;
  const CountIntents& started_;
};

}  // namespace

absl::Status CheckSessionTarget(const SessionTarget& target, bool by_person) {
  const auto refuse = [](absl::string_view why) { return absl::InvalidArgumentError(why); };
  if (target.pid < 0 || target.pid > INT32_MAX) return refuse("parameter pid is no process's number");
  for (const int64_t time : {target.backend_start_us, target.xact_start_us, target.query_start_us}) {
    if (time < 0 || time > kLatestTime)
      return refuse("a parameter that tells when something began is no time");
  }
  if (target.min_age_s < 0 || target.min_age_s > kLongestAge) return refuse("parameter min_age_s is no age");
  if (target.named() && target.filtered())
    return refuse("either a pid or filters tell which sessions are meant");
  if (target.named() && by_person) return absl::OkStatus();
  if (!target.named() && !target.filtered())
    return refuse("neither a pid nor a filter tells which sessions are meant");
  if (!target.named() && !by_person)
    return refuse("which sessions are meant only a person may say by filters");
  if (!target.named()) return absl::OkStatus();
  const bool statement = target.cancel && target.query_start_us == 0;
  if (target.backend_start_us == 0 || target.xact_start_us == 0 || statement) {
    return refuse(
        "a policy names a session by pid, backend_start_us and xact_start_us, to cancel by query_start_us "
        "too");
  }
  return absl::OkStatus();
}

SessionRuling RuleSessions(const SanctionsFile& file, const SessionQuestion& question,
                           const std::vector<v1::PostgresSession>& found, const CountIntents& started) {
  SessionRuling ruling;
  ruling.reason = file.error;
  if (!file.error.empty()) return ruling;
  return Ruler(file, question, started).Rule(found);
}

}  // namespace quell::agent
