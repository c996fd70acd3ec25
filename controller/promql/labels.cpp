// label_replace and label_join.
#include <re2/re2.h>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "controller/promql/bodies.h"

namespace quell::promql {
namespace {

const std::string& Text(const Expr& call, size_t i) { return Unwrap(*call.args[i]).text; }

bool IsNameCharacter(char c) {
  return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

// A group by number or name, as written behind the $; "" when there is none or it took no part.
std::string_view GroupText(const re2::RE2& regex, const std::vector<re2::StringPiece>& groups,
                           const std::string& name) {
  size_t number = 0;
  const bool numeric =
      !name.empty() && name.size() < 6 && name.find_first_not_of("0123456789") == std::string::npos;
  if (numeric) {
    number = std::stoul(name);
  } else {
    const auto& named = regex.NamedCapturingGroups();
    auto it = named.find(name);
    if (it == named.end()) return "";
    number = static_cast<size_t>(it->second);
  }
  if (number >= groups.size()) return "";
  return {groups[number].data(), groups[number].size()};
}

// $1, ${1}, $name, ${name} and $$; a name is as long as its characters go.
std::string Expand(const re2::RE2& regex, const std::string& pattern,
                   const std::vector<re2::StringPiece>& groups) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '$') {
      out += pattern[i];
      continue;
    }
    if (i + 1 < pattern.size() && pattern[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const bool braces = i + 1 < pattern.size() && pattern[i + 1] == '{';
    const size_t start = i + (braces ? 2 : 1);
    size_t end = start;
    while (end < pattern.size() && IsNameCharacter(pattern[end])) ++end;
    const bool closed = !braces || (end < pattern.size() && pattern[end] == '}');
    if (end == start || !closed) {
      out += '$';
      continue;
    }
    out += GroupText(regex, groups, pattern.substr(start, end - start));
    i = braces ? end : end - 1;
  }
  return out;
}

void SetLabel(Element& e, const std::string& name, const std::string& value) {
  e.labels.Set(name, value);
  if (name == kMetricName) e.drop_name = false;
}

bool IsLabel(std::string_view name) {
  if (name.empty()) return false;
  while (!name.empty()) {
    const CodePoint c = DecodeUtf8(name);
    if (!c.valid) return false;
    name.remove_prefix(c.size);
  }
  return true;
}

}  // namespace

absl::StatusOr<Value> LabelReplace(Evaluator& ev, const Expr& call, Micros at) {
  const std::string &target = Text(call, 1), &replacement = Text(call, 2), &source = Text(call, 3);
  if (!IsLabel(target))
    return absl::InvalidArgumentError(
        absl::StrCat("invalid destination label name in label_replace(): ", target));
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(*call.args[0], at));
  const re2::RE2& regex = *call.regex;
  std::vector<re2::StringPiece> groups(static_cast<size_t>(regex.NumberOfCapturingGroups()) + 1);
  for (Element& e : value.vector) {
    const std::string from(e.labels.Get(source));
    const re2::StringPiece piece(from.data(), from.size());
    if (!regex.Match(piece, 0, from.size(), re2::RE2::ANCHOR_BOTH, groups.data(),
                     static_cast<int>(groups.size())))
      continue;
    SetLabel(e, target, Expand(regex, replacement, groups));
  }
  QUELL_RETURN_IF_ERROR(ev.CheckUnique(value.vector));
  return value;
}

absl::StatusOr<Value> LabelJoin(Evaluator& ev, const Expr& call, Micros at) {
  const std::string &target = Text(call, 1), &separator = Text(call, 2);
  if (!IsLabel(target))
    return absl::InvalidArgumentError(
        absl::StrCat("invalid destination label name in label_join(): ", target));
  for (size_t i = 3; i < call.args.size(); ++i)
    if (!IsLabel(Text(call, i)))
      return absl::InvalidArgumentError(
          absl::StrCat("invalid source label name in label_join(): ", Text(call, i)));
  QUELL_ASSIGN_OR_RETURN(Value value, ev.Eval(*call.args[0], at));
  for (Element& e : value.vector) {
    std::string joined;
    for (size_t i = 3; i < call.args.size(); ++i) {
      if (i > 3) joined += separator;
      joined += e.labels.Get(Text(call, i));
    }
    SetLabel(e, target, joined);
  }
  QUELL_RETURN_IF_ERROR(ev.CheckUnique(value.vector));
  return value;
}

}  // namespace quell::promql
