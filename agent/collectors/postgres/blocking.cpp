#include "agent/collectors/postgres/blocking.h"

#include <algorithm>
#include <set>

namespace quell::agent {
namespace {

using Waiters = std::map<int64_t, std::vector<int64_t>>;  // blocker's pid -> pids that wait for it directly

int CountVictims(const Waiters& waiters, int64_t root) {
  std::set<int64_t> seen;
  std::vector<int64_t> next = {root};
  while (!next.empty()) {
    const auto found = waiters.find(next.back());
    next.pop_back();
    if (found == waiters.end()) continue;
    for (int64_t pid : found->second)
      if (pid != root && seen.insert(pid).second) next.push_back(pid);
  }
  return static_cast<int>(seen.size());
}

SessionMemory::Key KeyOf(const NotableSession& notable) {
  const PgSession& s = notable.session;
  return {s.pid,           s.backend_start_us, s.xact_start_us, s.query_start_us,
          notable.datname, notable.usename,    notable.why};
}

}  // namespace

std::vector<NotableSession> FindBlockingRoots(const std::vector<PgSession>& sessions) {
  Waiters waiters;
  std::map<int64_t, const PgSession*> by_pid;
  for (const PgSession& session : sessions) {
    by_pid.emplace(session.pid, &session);
    for (int64_t blocker : session.blockers) waiters[blocker].push_back(session.pid);
  }
  static const PgSession& prepared = *new PgSession();
  std::vector<NotableSession> roots;
  for (const auto& [pid, direct] : waiters) {
    const auto found = by_pid.find(pid);
    if (pid != 0 && (found == by_pid.end() || found->second->waiting)) continue;
    NotableSession& root = roots.emplace_back();
    root.session = pid == 0 ? prepared : *found->second;
    root.victims = CountVictims(waiters, pid);
  }
  std::stable_sort(roots.begin(), roots.end(),
                   [](const NotableSession& a, const NotableSession& b) { return a.victims > b.victims; });
  return roots;
}

std::string WhySpared(const PgSession& session, const PgRole* role, std::string_view own_user) {
  if (session.pid == 0) return "prepared_transaction";
  if (session.backend_type == "walsender") return "walsender";
  if (session.backend_type.starts_with("autovacuum")) return "autovacuum";
  if (session.backend_type != "client backend") return "background";
  if (role == nullptr) return "unknown_role";
  if (role->name == own_user || role->name.starts_with("quell_")) return "quell";
  if (role->superuser) return "superuser";
  return role->replication ? "replication" : "";
}

void SessionMemory::Update(const std::vector<NotableSession>& notable, Micros now) {
  for (auto& [key, told] : told_)
    if (told.gone_since == 0) told.gone_since = now;
  size_t place = 0, there = 0;
  for (const NotableSession& one : notable) {
    const auto found = told_.find(KeyOf(one));
    const bool known = found != told_.end();
    if (++place <= kMostNew || (known && there < kMostTold))
      told_[KeyOf(one)] = {one, known ? found->second.since : now, 0}, ++there;
    else if (known)
      told_.erase(found);
  }
  ForgetGone(now);
}

void SessionMemory::ForgetGone(Micros now) {
  std::vector<std::pair<Micros, Key>> gone;
  for (auto& [key, told] : told_) {
    if (told.gone_since == 0) continue;
    told.notable.victims = 0;
    told.notable.session.seconds = 0;
    gone.emplace_back(told.gone_since, key);
  }
  std::sort(gone.rbegin(), gone.rend());  // the latest first
  for (size_t i = 0; i < gone.size(); ++i)
    if (i >= kMostGone || now - gone[i].first > kTellGone) told_.erase(gone[i].second);
}

}  // namespace quell::agent
