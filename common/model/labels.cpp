#include "common/model/labels.h"

#include <algorithm>

namespace quell {
namespace {

bool NameLess(const Labels::Pair& pair, std::string_view name) { return pair.first < name; }

void AppendQuoted(std::string* out, std::string_view value) {
  out->push_back('"');
  for (const char c : value) {
    if (c == '\n') {
      out->append("\\n");
      continue;
    }
    if (c == '"' || c == '\\') out->push_back('\\');
    out->push_back(c);
  }
  out->push_back('"');
}

// FNV-1a, 64 bit (offset basis and prime of the FNV authors).
uint64_t Mix(uint64_t h, std::string_view bytes) {
  for (const char c : bytes) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  // 0xFF never occurs in UTF-8, so no two sets of labels share their separated bytes.
  return (h ^ 0xff) * 0x100000001b3u;
}

}  // namespace

Labels::Labels(std::vector<Pair> pairs) {
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.first < b.first; });
  for (Pair& pair : pairs) {
    if (!pairs_.empty() && pairs_.back().first == pair.first) {
      pairs_.back().second = std::move(pair.second);
    } else {
      pairs_.push_back(std::move(pair));
    }
  }
  std::erase_if(pairs_, [](const Pair& pair) { return pair.second.empty(); });
}

std::string_view Labels::Get(std::string_view name) const {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), name, NameLess);
  return it != pairs_.end() && it->first == name ? std::string_view(it->second) : std::string_view();
}

void Labels::Set(std::string_view name, std::string_view value) {
  const auto it = std::lower_bound(pairs_.begin(), pairs_.end(), name, NameLess);
  const bool found = it != pairs_.end() && it->first == name;
  if (value.empty()) {
    if (found) pairs_.erase(it);
  } else if (found) {
    it->second.assign(value);
  } else {
    pairs_.emplace(it, name, value);
  }
}

Labels Labels::Without(std::string_view name) const {
  Labels copy = *this;
  copy.Remove(name);
  return copy;
}

std::string Labels::ToString() const {
  std::string out(Get(kMetricName));
  if (!out.empty() && pairs_.size() == 1) return out;
  out.push_back('{');
  bool first = true;
  for (const Pair& pair : pairs_) {
    if (pair.first == kMetricName) continue;
    if (!first) out.append(", ");
    first = false;
    out.append(pair.first).push_back('=');
    AppendQuoted(&out, pair.second);
  }
  out.push_back('}');
  return out;
}

uint64_t Labels::Hash() const {
  uint64_t h = 0xcbf29ce484222325u;
  for (const Pair& pair : pairs_) h = Mix(Mix(h, pair.first), pair.second);
  return h;
}

}  // namespace quell
