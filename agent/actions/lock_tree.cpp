#include "agent/actions/lock_tree.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quell::agent {

LockTree::LockTree(const std::vector<LockEdge>& edges) {
  for (const LockEdge& edge : edges) {
    if (edge.waiter == edge.blocker) continue;
    waiters_[edge.blocker].insert(edge.waiter);
    blockers_[edge.waiter].insert(edge.blocker);
  }
}

uint32_t LockTree::Victims(int64_t pid) const {
  std::set<int64_t> seen = {pid};
  std::vector<int64_t> open = {pid};
  while (!open.empty()) {
    const auto direct = waiters_.find(open.back());
    open.pop_back();
    if (direct == waiters_.end()) continue;
    for (const int64_t waiter : direct->second) {
      if (seen.insert(waiter).second) open.push_back(waiter);
    }
  }
  return static_cast<uint32_t>(seen.size() - 1);
}

int64_t LockTree::WaitsFor(int64_t pid) const {
  const auto known = blockers_.find(pid);
  return known == blockers_.end() ? -1 : *known->second.begin();
}

std::vector<int64_t> LockTree::Roots() const {
  std::vector<std::pair<uint32_t, int64_t>> roots;
  for (const auto& [blocker, waiters] : waiters_) {
    if (blockers_.count(blocker) == 0) roots.emplace_back(Victims(blocker), blocker);
  }
  std::sort(roots.begin(), roots.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::vector<int64_t> pids;
  for (const auto& [victims, pid] : roots) pids.push_back(pid);
  return pids;
}

std::set<int64_t> LockTree::Pids() const {
  std::set<int64_t> pids;
  for (const auto& [blocker, waiters] : waiters_) {
    pids.insert(blocker);
    pids.insert(waiters.begin(), waiters.end());
  }
  return pids;
}

std::string LockTree::Draw(const std::function<std::string(int64_t pid)>& describe, size_t lines) const {
  constexpr size_t kDeepest = 20;  // further right nobody can read it
  std::string text;
  std::set<int64_t> drawn;
  size_t left_out = 0;
  const auto draw_from = [&](int64_t root) {
    std::vector<std::pair<int64_t, size_t>> open = {{root, 0}};
    while (!open.empty()) {
      const auto [pid, depth] = open.back();
      open.pop_back();
      if (!drawn.insert(pid).second) continue;
      if (drawn.size() > lines) {
        ++left_out;
      } else {
        absl::StrAppend(&text, std::string(2 * std::min(depth, kDeepest), ' '), describe(pid), "\n");
      }
      const auto direct = waiters_.find(pid);
      if (direct == waiters_.end()) continue;
      for (auto it = direct->second.rbegin(); it != direct->second.rend(); ++it)
        open.emplace_back(*it, depth + 1);
    }
  };
  for (const int64_t root : Roots()) draw_from(root);
  for (const int64_t pid : Pids()) draw_from(pid);  // rings have no root
  if (left_out > 0) absl::StrAppend(&text, "and ", left_out, " more\n");
  return text;
}

}  // namespace quell::agent
