#include "controller/series/matcher.h"

#include <re2/re2.h>

#include "absl/strings/str_cat.h"

namespace quell::series {

std::string_view MatchOpText(MatchOp op) {
  switch (op) {
    case MatchOp::kEqual:
      return "=";
    case MatchOp::kNotEqual:
      return "!=";
    case MatchOp::kRegex:
      return "=~";
    case MatchOp::kNotRegex:
      return "!~";
  }
  return "=";
}

absl::StatusOr<std::shared_ptr<const re2::RE2>> CompileRegex(std::string_view pattern) {
  re2::RE2::Options options;
  options.set_dot_nl(true);
  options.set_log_errors(false);
  options.set_max_mem(kRegexMemory);
  auto regex = std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
  if (!regex->ok())
    return absl::InvalidArgumentError(absl::StrCat("invalid regular expression: ", regex->error()));
  return regex;
}

absl::StatusOr<Matcher> Matcher::Make(MatchOp op, std::string_view name, std::string_view value) {
  Matcher m;
  m.op_ = op;
  m.name_ = name;
  m.value_ = value;
  if (op == MatchOp::kRegex || op == MatchOp::kNotRegex) {
    auto regex = CompileRegex(value);
    if (!regex.ok()) return regex.status();
    m.regex_ = *std::move(regex);
  }
  return m;
}

Matcher Matcher::Equal(std::string_view name, std::string_view value) {
  Matcher m;
  m.name_ = name;
  m.value_ = value;
  return m;
}

bool Matcher::Matches(std::string_view value) const {
  switch (op_) {
    case MatchOp::kEqual:
      return value == value_;
    case MatchOp::kNotEqual:
      return value != value_;
    case MatchOp::kRegex:
      return re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *regex_);
    case MatchOp::kNotRegex:
      return !re2::RE2::FullMatch(re2::StringPiece(value.data(), value.size()), *regex_);
  }
  return false;
}

bool MatchesAll(const Matchers& matchers, const Labels& labels) {
  for (const Matcher& m : matchers)
    if (!m.Matches(labels.Get(m.name()))) return false;
  return true;
}

std::string_view EqualValue(const Matchers& matchers, std::string_view name) {
  for (const Matcher& m : matchers)
    if (m.op() == MatchOp::kEqual && m.name() == name) return m.value();
  return "";
}

}  // namespace quell::series
