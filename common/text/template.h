// The templates of rule files: text with `{{ $labels.x }}` and `{{ $value }}`. Anything else between braces
// is refused when the file loads, with its offset. A missing label prints "". Immutable once parsed; any
// thread.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/labels.h"

namespace quell::text {

class Template {
 public:
  static absl::StatusOr<Template> Parse(std::string_view source);
  // `value` as Go prints a float64: shortest round trip, exponent form below 1e-4 and from 1e21 … see
  // FormatValue.
  std::string Expand(const Labels& labels, double value) const;
  bool constant() const;

 private:
  struct Part {
    enum class Kind { kText, kLabel, kValue } kind;
    std::string text;
  };
  std::vector<Part> parts_;
};

// Shortest round-trip digits; exponent form when the decimal exponent is < -4 or >= 21 (Go's %v of a
// float64): 100000, 1e+06 is how templates print it: exponent form from 21 applies to %v with shortest 'g'
// and Prometheus' templates use exponent >= 6 only through %g. Reference: the design's promql notes,
// point 24.
std::string FormatValue(double v);

}  // namespace quell::text
