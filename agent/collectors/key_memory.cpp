#include "agent/collectors/key_memory.h"

#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/log.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestFile = 5 * KeyMemory::kMostBytes;  // a byte is escaped as four at most

// CEscape, so that a tab or a newline in a name ends neither key nor line.
std::string Escape(const std::string& text) { return absl::CEscape(text); }

}  // namespace

KeyMemory::KeyMemory(Disk& disk, std::string path) : disk_(disk), path_(std::move(path)) { Load(); }

void KeyMemory::Load() {
  if (path_.empty()) return;
  const auto text = disk_.Read(path_, kLargestFile);
  if (!text.ok()) {
    if (!absl::IsNotFound(text.status()))
      LogWarning("what was seen before is lost: %s", text.status().message());
    return;
  }
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, '\t');
    std::string key, value;
    if (parts.size() != 2 || !absl::CUnescape(parts[0], &key) || !absl::CUnescape(parts[1], &value)) continue;
    Set(key, std::move(value));
  }
  dirty_ = false;
}

std::optional<std::string> KeyMemory::Find(const std::string& key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : std::optional<std::string>(found->second);
}

bool KeyMemory::Set(const std::string& key, std::string value) {
  const auto found = values_.find(key);
  const bool known = found != values_.end();
  if (known && found->second == value) return true;
  const size_t freed = known ? key.size() + found->second.size() : 0;
  const size_t bytes = bytes_ - freed + key.size() + value.size();
  if ((!known && values_.size() >= kMostKeys) || bytes > kMostBytes) return false;
  bytes_ = bytes;
  values_[key] = std::move(value);
  return dirty_ = true;
}

void KeyMemory::Erase(const std::string& key) {
  const auto found = values_.find(key);
  if (found == values_.end()) return;
  bytes_ -= key.size() + found->second.size();
  values_.erase(found);
  dirty_ = true;
}

std::map<std::string, std::string> KeyMemory::Under(const std::string& prefix) const {
  std::map<std::string, std::string> found;
  for (auto it = values_.lower_bound(prefix); it != values_.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    found.insert(*it);
  }
  return found;
}

absl::Status KeyMemory::Save() {
  if (!dirty_ || path_.empty()) return absl::OkStatus();
  std::string text;
  for (const auto& [key, value] : values_) absl::StrAppend(&text, Escape(key), "\t", Escape(value), "\n");
  absl::Status written = disk_.WriteWhole(path_, text);
  dirty_ = !written.ok();
  return written;
}

}  // namespace quell::agent
