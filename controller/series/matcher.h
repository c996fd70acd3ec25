// Matcher: one condition on a label, as selectors have them. Immutable, copyable, any thread.
// Regular expressions are RE2 (linear time), compiled once, anchored at both ends; a dot matches a newline.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/model/labels.h"

namespace re2 {
class RE2;
}

namespace quell::series {

enum class MatchOp { kEqual, kNotEqual, kRegex, kNotRegex };
std::string_view MatchOpText(MatchOp op);  // "=", "!=", "=~", "!~"

// Memory that one compiled expression may take; a larger one is refused when it is made.
inline constexpr int64_t kRegexMemory = 1 << 20;

// Anchored, dot matches newline. InvalidArgument with RE2's reason.
absl::StatusOr<std::shared_ptr<const re2::RE2>> CompileRegex(std::string_view pattern);

class Matcher {
 public:
  static absl::StatusOr<Matcher> Make(MatchOp op, std::string_view name, std::string_view value);
  static Matcher Equal(std::string_view name, std::string_view value);

  bool Matches(std::string_view value) const;  // "" stands for an absent label
  bool MatchesEmpty() const { return Matches(""); }
  MatchOp op() const { return op_; }
  const std::string& name() const { return name_; }
  const std::string& value() const { return value_; }

 private:
  MatchOp op_ = MatchOp::kEqual;
  std::string name_;
  std::string value_;
  std::shared_ptr<const re2::RE2> regex_;  // shared: copies of a matcher use one compiled expression
};

using Matchers = std::vector<Matcher>;
bool MatchesAll(const Matchers& matchers, const Labels& labels);
// The value that an `=` matcher asks of `name`; "" when none does.
std::string_view EqualValue(const Matchers& matchers, std::string_view name);

}  // namespace quell::series
