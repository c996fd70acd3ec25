// Labels: a sorted set of name/value pairs, values without I/O or locks. A label with an empty value equals
// no label and is not kept. Copyable; owned by whoever holds it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace quell {

class Labels {
 public:
  using Pair = std::pair<std::string, std::string>;
  Labels() = default;
  // Sorts, drops empty values; of equal names the last one stays.
  explicit Labels(std::vector<Pair> pairs);
  Labels(std::initializer_list<Pair> pairs) : Labels(std::vector<Pair>(pairs)) {}

  std::string_view Get(std::string_view name) const;  // "" when absent
  bool Has(std::string_view name) const { return !Get(name).empty(); }
  void Set(std::string_view name, std::string_view value);  // an empty value removes
  void Remove(std::string_view name) { Set(name, ""); }
  Labels Without(std::string_view name) const;

  const std::vector<Pair>& pairs() const { return pairs_; }
  auto begin() const { return pairs_.begin(); }
  auto end() const { return pairs_.end(); }
  size_t size() const { return pairs_.size(); }
  bool empty() const { return pairs_.empty(); }

  // {a="1", b="x\"y"}: Prometheus' text form; with the metric name in front when __name__ is there.
  std::string ToString() const;
  uint64_t Hash() const;  // stable over processes (FNV-1a over names and values with separators)

  friend bool operator==(const Labels&, const Labels&) = default;
  friend auto operator<=>(const Labels&, const Labels&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const Labels& l) {
    return H::combine(std::move(h), l.pairs_);
  }

 private:
  std::vector<Pair> pairs_;
};

inline constexpr char kMetricName[] = "__name__";

}  // namespace quell
