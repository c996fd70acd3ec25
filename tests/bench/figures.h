// What the benches share: percentiles of times, and times out of documents. One thread.
#pragma once
#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/base/time.h"

namespace quell::test {

class Percentiles {
 public:
  void Add(Micros taken) { taken_.push_back(taken); }
  size_t count() const { return taken_.size(); }
  double Milliseconds(double share) {
    if (taken_.empty()) return 0;
    std::sort(taken_.begin(), taken_.end());
    const size_t at = static_cast<size_t>(share * static_cast<double>(taken_.size() - 1) + 0.5);
    return static_cast<double>(taken_[at]) / kMillisecond;
  }

 private:
  std::vector<Micros> taken_;
};

// A time of a document, RFC 3339; 0: none.
inline Micros TimeOf(const nlohmann::json& object, const char* key) {
  absl::Time time;
  const nlohmann::json text = object.value(key, nlohmann::json());
  if (!text.is_string() || !absl::ParseTime(absl::RFC3339_full, text.get<std::string>(), &time, nullptr))
    return 0;
  return absl::ToUnixMicros(time);
}

}  // namespace quell::test
