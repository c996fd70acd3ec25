// LockTree: who waits for whom. Values; pure.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace quell::agent {

struct LockEdge {
  int64_t waiter = 0;
  int64_t blocker = 0;  // 0: a prepared transaction, which no process owns
};

class LockTree {
 public:
  explicit LockTree(const std::vector<LockEdge>& edges);

  // Sessions that wait for `pid`, directly or not.
  uint32_t Victims(int64_t pid) const;
  // The one that `pid` waits for (the first of several, by number); -1: it waits for nobody.
  int64_t WaitsFor(int64_t pid) const;
  // Those that block and wait for nobody, most victims first.
  std::vector<int64_t> Roots() const;
  std::set<int64_t> Pids() const;

  // One line per session, as `describe` says it, below and further right than the one it waits for; a session
  // that waits for several stands once, a ring of waiters begins anywhere. At most `lines` lines, and one
  // that says how many sessions are left out.
  std::string Draw(const std::function<std::string(int64_t pid)>& describe, size_t lines) const;

 private:
  std::map<int64_t, std::set<int64_t>> waiters_;  // blocker -> those that wait for it directly
  std::map<int64_t, std::set<int64_t>> blockers_;
};

}  // namespace quell::agent
