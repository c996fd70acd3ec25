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
  // `value` as FormatValue prints it.
  std::string Expand(const Labels& labels, double value) const;
  bool constant() const;

 private:
  struct Part {
    enum class Kind { kText, kLabel, kValue } kind;
    std::string text;
  };
  std::vector<Part> parts_;
};

// A value as Prometheus' templates print one (Go's %v of a float64): the shortest digits that read back as
// the same number; the exponent form, with two exponent digits at least, when the decimal exponent is below
// -4 or from 6 on: 100000, 1e+06, 1.234567e+06, 0.0001, 1e-05; NaN, +Inf, -Inf.
std::string FormatValue(double v);

}  // namespace quell::text
