#include "common/config/yaml.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/log.h"
#include "common/base/utf8.h"

namespace quell::config {
namespace {

constexpr size_t kMostMistakes = 500;

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

std::string Quoted(std::string_view s) { return absl::StrCat("\"", EncodeLogText(CutUtf8(s, 80)), "\""); }

// Optimal string alignment distance: insertions, deletions, replacements, swaps of neighbours.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({replaced, d[i - 1][j] + 1, d[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

// The known key closest to `key`, "" when none is close enough to be meant.
std::string_view Nearest(std::string_view key, const std::set<std::string, std::less<>>& known) {
  std::string_view best;
  if (key.size() > 64) return best;
  size_t least = std::max<size_t>(1, key.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = Distance(key, candidate);
    if (distance < least) least = distance, best = candidate;
  }
  return best;
}

std::string_view KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "something else";
}

}  // namespace

std::string Mistake::ToString() const { return absl::StrCat(file, ":", line, ":", column, ": ", message); }

void Problems::Add(Mistake mistake) {
  if (mistakes_.size() > kMostMistakes) return;
  if (mistakes_.size() == kMostMistakes) mistake.message = "too many mistakes; the rest is not listed";
  mistakes_.push_back(std::move(mistake));
}

std::string Problems::ToString() const {
  std::vector<Mistake> sorted = mistakes_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.file, a.line, a.column) < std::tie(b.file, b.line, b.column);
  });
  return absl::StrJoin(sorted, "\n",
                       [](std::string* out, const Mistake& m) { absl::StrAppend(out, m.ToString()); });
}

absl::Status Problems::ToStatus() const {
  return ok() ? absl::OkStatus() : absl::InvalidArgumentError(ToString());
}

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const auto& [name, value] : entries) {
    if (name.kind == Kind::kScalar && name.scalar == key) return &value;
  }
  return nullptr;
}

YamlNode::YamlNode() = default;
YamlNode::YamlNode(const YamlNode&) = default;
YamlNode::YamlNode(YamlNode&&) noexcept = default;
YamlNode& YamlNode::operator=(const YamlNode&) = default;
YamlNode& YamlNode::operator=(YamlNode&&) noexcept = default;
YamlNode::~YamlNode() = default;

Mistake YamlNode::At(std::string message) const { return {file, line, column, std::move(message)}; }

MapReader::MapReader(const YamlNode& node, Problems& problems, std::string_view what)
    : node_(node), problems_(problems), what_(what) {
  if (node.kind == YamlNode::Kind::kMap || node.kind == YamlNode::Kind::kNull) return;
  problems_.Add(
      node.At(absl::StrCat(what_, " must be a map of keys and values, not ", View(KindName(node.kind)))));
}

bool MapReader::Has(std::string_view key) const { return node_.Find(key) != nullptr; }

const YamlNode* MapReader::Node(std::string_view key, bool required) {
  known_.emplace(key);
  const YamlNode* value = node_.Find(key);
  if (value == nullptr || value->kind == YamlNode::Kind::kNull) {
    // A node without a place is what a file with a syntax error, already told, leaves behind; one of another
    // kind was told by the constructor.
    const bool told =
        node_.line == 0 || (node_.kind != YamlNode::Kind::kMap && node_.kind != YamlNode::Kind::kNull);
    if (required && !told) {
      const YamlNode& place = value == nullptr ? node_ : *value;
      problems_.Add(place.At(absl::StrCat("the key ", Quoted(key),
                                          value == nullptr ? " is missing in " : " is empty in ", what_)));
    }
    return nullptr;
  }
  return value;
}

const YamlNode* MapReader::Typed(std::string_view key, YamlNode::Kind kind, bool required) {
  const YamlNode* value = Node(key, required);
  if (value == nullptr || value->kind == kind) return value;
  problems_.Add(value->At(absl::StrCat(Quoted(key), " in ", what_, " must be ", View(KindName(kind)),
                                       ", not ", View(KindName(value->kind)))));
  return nullptr;
}

void MapReader::WrongValue(const YamlNode& value, std::string_view key, std::string_view needed) {
  problems_.Add(value.At(absl::StrCat(Quoted(key), " in ", what_, " is ", Quoted(value.scalar),
                                      ", but must be ", View(needed))));
}

void MapReader::String(std::string_view key, std::string* out, bool required) {
  if (const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required)) *out = value->scalar;
}

void MapReader::Strings(std::string_view key, std::vector<std::string>* out, bool required) {
  const YamlNode* value = Node(key, required);
  if (value == nullptr) return;
  if (value->kind == YamlNode::Kind::kScalar) {
    *out = {value->scalar};
    return;
  }
  if (Typed(key, YamlNode::Kind::kList, required) == nullptr) return;
  std::vector<std::string> strings;
  for (const YamlNode& item : value->items) {
    if (item.kind == YamlNode::Kind::kScalar) {
      strings.push_back(item.scalar);
    } else {
      problems_.Add(item.At(absl::StrCat("each item of ", Quoted(key), " in ", what_,
                                         " must be a single value, not ", View(KindName(item.kind)))));
    }
  }
  *out = std::move(strings);
}

void MapReader::StringMap(std::string_view key, std::map<std::string, std::string>* out, bool required) {
  std::map<std::string, std::string> map;
  bool good = false;
  Entries(
      key,
      [&](const YamlNode& name, const YamlNode& value) {
        if (value.kind == YamlNode::Kind::kScalar) {
          map[name.scalar] = value.scalar;
        } else {
          problems_.Add(value.At(absl::StrCat(Quoted(name.scalar), " in ", Quoted(key),
                                              " must be a single value, not ", View(KindName(value.kind)))));
        }
        good = true;
      },
      required);
  if (good) *out = std::move(map);
}

void MapReader::Bool(std::string_view key, bool* out, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  if (value->scalar != "true" && value->scalar != "false") return WrongValue(*value, key, "true or false");
  *out = value->scalar == "true";
}

void MapReader::Int(std::string_view key, int64_t* out, int64_t least, int64_t most, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  int64_t number = 0;
  const std::string& text = value->scalar;
  const bool digits = !text.empty() && text.find_first_not_of("-0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(text, &number) || number < least || number > most) {
    return WrongValue(*value, key, absl::StrCat("a whole number from ", least, " to ", most));
  }
  *out = number;
}

void MapReader::Double(std::string_view key, double* out, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  double number = 0;
  if (value->scalar.find_first_not_of("-+.eE0123456789") != std::string::npos ||
      !absl::SimpleAtod(value->scalar, &number) || !std::isfinite(number)) {
    return WrongValue(*value, key, "a number");
  }
  *out = number;
}

void MapReader::Share(std::string_view key, double* out, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  std::string_view text = value->scalar;
  double percent = -1;
  if (text.ends_with('%')) {
    text.remove_suffix(1);
    if (text.find_first_not_of(".0123456789") != std::string_view::npos ||
        !absl::SimpleAtod(View(text), &percent)) {
      percent = -1;
    }
  }
  if (percent < 0 || percent > 100) return WrongValue(*value, key, "a share from 0% to 100%");
  *out = percent / 100;
}

void MapReader::Duration(std::string_view key, Micros* out, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  const absl::StatusOr<Micros> duration = ParseDuration(value->scalar);
  if (!duration.ok()) return WrongValue(*value, key, "a duration such as 30s, 5m, 24h or 1h30m");
  *out = *duration;
}

void MapReader::Choice(std::string_view key, const std::vector<std::string_view>& names, int* out,
                       bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kScalar, required);
  if (value == nullptr) return;
  const auto it = std::find(names.begin(), names.end(), value->scalar);
  if (it == names.end()) {
    const std::string list =
        absl::StrJoin(names, ", ", [](std::string* s, std::string_view n) { s->append(n); });
    return WrongValue(*value, key, "one of " + list);
  }
  *out = static_cast<int>(it - names.begin());
}

void MapReader::Map(std::string_view key, const std::function<void(const YamlNode&)>& read, bool required) {
  if (const YamlNode* value = Typed(key, YamlNode::Kind::kMap, required)) read(*value);
}

void MapReader::Each(std::string_view key, const std::function<void(const YamlNode&)>& read, bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kList, required);
  if (value == nullptr) return;
  for (const YamlNode& item : value->items) read(item);
}

void MapReader::Entries(std::string_view key,
                        const std::function<void(const YamlNode& key, const YamlNode& value)>& read,
                        bool required) {
  const YamlNode* value = Typed(key, YamlNode::Kind::kMap, required);
  if (value == nullptr) return;
  for (const auto& [name, entry] : value->entries) {
    if (name.kind == YamlNode::Kind::kScalar) read(name, entry);
  }
}

void MapReader::Finish() {
  for (const auto& [name, value] : node_.entries) {
    if (name.kind != YamlNode::Kind::kScalar || known_.contains(name.scalar)) continue;
    std::string message = absl::StrCat("unknown key ", Quoted(name.scalar), " in ", what_);
    const std::string_view nearest = Nearest(name.scalar, known_);
    if (!nearest.empty()) absl::StrAppend(&message, "; did you mean ", Quoted(nearest), "?");
    problems_.Add(name.At(std::move(message)));
  }
}

}  // namespace quell::config
