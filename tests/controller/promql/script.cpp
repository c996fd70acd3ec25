#include "tests/controller/promql/script.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/promql/evaluate.h"
#include "controller/promql/functions.h"
#include "controller/promql/lexer.h"
#include "controller/promql/parser.h"

namespace quell::promql {
namespace {

class ScriptStore final : public SeriesSource {
 public:
  void Add(const Labels& labels, Sample s) { series_[labels].push_back(s); }
  void Clear() { series_.clear(); }
  bool Select(const series::Matchers& matchers, Micros from, Micros to, series::Read read,
              const series::Visit& visit) const override {
    for (const auto& [labels, samples] : series_) {
      if (!series::MatchesAll(matchers, labels)) continue;
      std::vector<Sample> found;
      for (const Sample& s : samples)
        if (s.at > from && s.at <= to) found.push_back(s);
      if (read == series::Read::kNewest && found.size() > 1) found.erase(found.begin(), found.end() - 1);
      if (!found.empty() && !visit(labels, found)) return false;
    }
    return true;
  }

 private:
  std::map<Labels, std::vector<Sample>> series_;
};

using Points = std::vector<std::optional<double>>;

struct Expected {
  Labels labels;
  Points points;
  bool native = false;  // has values that are native histograms
};

struct Command {
  int line = 0;
  std::string head;
  std::vector<std::string> body;
};

std::string Trim(std::string_view s) {
  return std::string(absl::StripAsciiWhitespace(absl::string_view(s.data(), s.size())));
}

std::vector<Command> Commands(std::string_view text) {
  std::vector<Command> out;
  int line = 0;
  for (absl::string_view raw : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++line;
    const std::string content = Trim({raw.data(), raw.size()});
    if (content.empty() || content[0] == '#') continue;
    const bool indented = raw[0] == ' ' || raw[0] == '\t';
    if (indented && !out.empty()) {
      out.back().body.push_back(content);
    } else {
      out.push_back({line, content, {}});
    }
  }
  return out;
}

Micros Time(std::string_view text) {
  const bool negative = !text.empty() && text[0] == '-';
  if (negative) text.remove_prefix(1);
  if (const int64_t ms = ParseDurationMs(text); ms >= 0) return (negative ? -ms : ms) * kMillisecond;
  double seconds = 0;
  if (!absl::SimpleAtod(absl::string_view(text.data(), text.size()), &seconds)) return -1;
  return static_cast<Micros>(std::llround(seconds * 1000)) * kMillisecond * (negative ? -1 : 1);
}

std::optional<double> Number(std::string_view text) {
  double v = 0;
  if (text == "stale") return StaleMarker();
  if (!absl::SimpleAtod(absl::string_view(text.data(), text.size()), &v)) return std::nullopt;
  return std::isnan(v) ? OrdinaryNan() : v;
}

// "1", "0+10x5", "5x3", "_", "_x3", "stale"; false: not understood.
bool AddPoints(std::string_view item, Points& out) {
  const size_t x = item.rfind('x');
  size_t times = 0;
  if (x != std::string_view::npos) {
    int64_t n = 0;
    const std::string_view count = item.substr(x + 1);
    if (!absl::SimpleAtoi(absl::string_view(count.data(), count.size()), &n)) return false;
    times = static_cast<size_t>(n);
    item = item.substr(0, x);
  }
  const bool repeated = x != std::string_view::npos;
  if (item == "_") {
    for (size_t i = 0; i < (repeated ? times : 1); ++i) out.push_back(std::nullopt);
    return true;
  }
  if (auto v = Number(item)) {
    for (size_t i = 0; i < (repeated ? times + 1 : 1); ++i) out.push_back(*v);
    return true;
  }
  for (size_t i = 1; i < item.size(); ++i) {
    if ((item[i] != '+' && item[i] != '-') || item[i - 1] == 'e' || item[i - 1] == 'E') continue;
    auto start = Number(item.substr(0, i)), step = Number(item.substr(i + 1));
    if (!start || !step) continue;
    double v = *start;
    for (size_t n = 0; n <= times; ++n, v += item[i] == '-' ? -*step : *step) out.push_back(v);
    return true;
  }
  return false;
}

// `name {a="b"} 1`: a brace behind the blank, but not the two of a native histogram.
bool OpensLabels(const std::string& line, size_t blank) {
  const size_t at = line.find_first_not_of(" \t", blank);
  return at != std::string::npos && line[at] == '{' && line.substr(at, 2) != "{{";
}

std::optional<Expected> SeriesLine(const std::string& line) {
  size_t end = line.find_first_of(" \t");
  if (const size_t brace = line.find('{');
      brace != std::string::npos && (end == std::string::npos || brace < end || OpensLabels(line, end))) {
    bool quoted = false;
    for (end = brace; end < line.size(); ++end) {
      if (line[end] == '\\')
        ++end;
      else if (line[end] == '"')
        quoted = !quoted;
      else if (line[end] == '}' && !quoted)
        break;
    }
    ++end;
  }
  if (end == std::string::npos) end = line.size();
  auto labels = ParseMetric(line.substr(0, end));
  if (!labels.ok()) return std::nullopt;
  Expected out{*labels, {}};
  for (absl::string_view item : absl::StrSplit(absl::string_view(line).substr(std::min(end, line.size())),
                                               absl::ByAnyChar(" \t"), absl::SkipEmpty()))
    if (!AddPoints({item.data(), item.size()}, out.points)) {
      out.native = true;
      break;
    }
  return out;
}

bool Close(double a, double b) {
  if (IsStale(a) || IsStale(b)) return IsStale(a) && IsStale(b);
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (a == b) return true;
  const double size = std::fabs(a) + std::fabs(b), difference = std::fabs(a - b);
  if (a == 0 || b == 0 || size < std::numeric_limits<double>::min())
    return difference < 1e-6 * std::numeric_limits<double>::min() || difference < 1e-300;
  return difference / std::min(size, std::numeric_limits<double>::max()) < 1e-6;
}

class Runner {
 public:
  ScriptReport Run(std::string_view text) {
    options_.delayed_name_removal = true;
    for (const Command& c : Commands(text)) {
      if (absl::StartsWith(c.head, "load")) {
        Load(c);
      } else if (c.head == "clear") {
        store_.Clear();
        native_.clear();
      } else {
        EvalCommand(c);
      }
    }
    return std::move(report_);
  }

 private:
  void Fail(const Command& c, const std::string& what) {
    report_.failures.push_back(absl::StrCat("line ", c.line, ": ", c.head, ": ", what));
  }
  void Skip(const Command& c, const std::string& reason) {
    ++report_.skipped[reason];
    report_.skipped_lines[reason].push_back(c.line);
  }

  void Load(const Command& c) {
    const std::vector<std::string> words = absl::StrSplit(c.head, ' ', absl::SkipEmpty());
    const Micros step = Time(words.back());
    for (const std::string& line : c.body) {
      auto series = SeriesLine(line);
      if (!series) {
        Fail(c, "series not understood: " + line);
        continue;
      }
      NoteNative(*series, absl::StartsWith(c.head, "load_with_nhcb"));
      if (series->native) continue;
      for (size_t i = 0; i < series->points.size(); ++i)
        if (series->points[i])
          store_.Add(series->labels, {static_cast<Micros>(i) * step, *series->points[i]});
    }
  }

  // Series that are, or have a twin that is, a native histogram; questions about them are left out.
  void NoteNative(const Expected& series, bool twins) {
    if (series.native) native_.push_back(series.labels);
    const std::string name(series.labels.Get(kMetricName));
    if (!twins || !absl::EndsWith(name, "_bucket")) return;
    Labels twin = series.labels.Without("le");
    twin.Set(kMetricName, name.substr(0, name.size() - 7));
    native_.push_back(twin);
  }
  bool ReadsNative(const Expr& expr) const {
    std::vector<const Expr*> selectors;
    Selectors(expr, selectors);
    for (const Expr* selector : selectors)
      for (const Labels& labels : native_)
        if (series::MatchesAll(selector->matchers, labels)) return true;
    return false;
  }

  struct Eval {
    bool range = false, fails = false, ordered = false, matrix = false;
    Micros start = 0, end = 0, step = 0;
    Micros matrix_start = 0, matrix_step = 0;
    std::string expr, message;
    std::optional<std::string> text;
    std::optional<double> scalar;
    std::vector<Expected> series;
    bool native = false;
  };

  // False: an annotation is expected, which is not our matter; the value is checked all the same.
  void ReadExpect(const std::string& line, Eval& e) {
    std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 2), absl::SkipEmpty());
    if (words[1] == "fail") e.fails = true;
    if (words[1] == "ordered") e.ordered = true;
    if (words[1] == "string") e.text = Unquote(words[2]);
    if (words[1] == "range") {
      const std::vector<std::string> range = absl::StrSplit(line, ' ', absl::SkipEmpty());
      e.matrix = true;
      e.matrix_start = Time(range[4]);
      e.matrix_step = Time(range[8]);
    }
  }
  static std::string Unquote(const std::string& quoted) {
    auto parsed = Parse(quoted);
    return parsed.ok() ? (*parsed)->text : quoted;
  }

  bool ReadHead(const Command& c, Eval& e) {
    std::vector<std::string> words = absl::StrSplit(c.head, absl::MaxSplits(absl::ByAnyChar(" \t"), 4));
    e.fails = absl::StartsWith(words[0], "eval_fail");
    e.ordered = absl::StartsWith(words[0], "eval_ordered");
    if (words[1] == "instant") {
      e.start = Time(words[3]);
      e.expr = words[4];
      return true;
    }
    words = absl::StrSplit(c.head, absl::MaxSplits(absl::ByAnyChar(" \t"), 8));
    if (words.size() < 9) return false;
    e.range = true;
    e.start = Time(words[3]);
    e.end = Time(words[5]);
    e.step = Time(words[7]);
    e.expr = words[8];
    return true;
  }

  void EvalCommand(const Command& c) {
    Eval e;
    if (!ReadHead(c, e)) return Fail(c, "not understood");
    for (const std::string& line : c.body) {
      if (absl::StartsWith(line, "expect")) {
        ReadExpect(line, e);
      } else if (absl::StrContains(line, "{{")) {
        e.native = true;
      } else if (double v = 0; absl::SimpleAtod(line, &v)) {
        e.scalar = v;
      } else if (auto series = SeriesLine(line); series && !series->native) {
        e.series.push_back(*std::move(series));
      } else {
        return Fail(c, "line not understood: " + line);
      }
    }
    Judge(c, e);
  }

  void Judge(const Command& c, const Eval& e) {
    if (e.native) return Skip(c, "native histograms");
    Parsed parsed = ParseExpression(e.expr);
    if (parsed.expr == nullptr) {
      if (absl::StrContains(parsed.error.message, "is not supported")) return Skip(c, parsed.error.message);
      if (e.fails) return void(++report_.passed);
      return Fail(c, parsed.error.ToString());
    }
    const std::string problem = e.range ? JudgeRange(e, *parsed.expr) : JudgeInstant(e, *parsed.expr);
    if (problem.empty()) return void(++report_.passed);
    if (ReadsNative(*parsed.expr)) return Skip(c, "native histograms");
    Fail(c, problem);
  }

  std::string JudgeRange(const Eval& e, const Expr& expr) {
    auto value = EvaluateRange(expr, e.start, e.end, e.step, store_, options_);
    if (e.fails) return value.ok() ? "should have failed" : "";
    if (!value.ok()) return std::string(value.status().message());
    return CompareMatrix(e, value->matrix, e.start, e.step);
  }

  std::string CompareMatrix(const Eval& e, const std::vector<RangeSeries>& matrix, Micros start,
                            Micros step) {
    std::map<Labels, std::map<Micros, double>> wanted;
    for (const Expected& s : e.series)
      for (size_t i = 0; i < s.points.size(); ++i)
        if (s.points[i]) wanted[s.labels][start + static_cast<Micros>(i) * step] = *s.points[i];
    size_t found = 0;
    for (const RangeSeries& s : matrix) {
      if (s.samples.empty()) continue;
      ++found;
      auto it = wanted.find(s.labels);
      if (it == wanted.end()) return "unexpected series " + s.labels.ToString();
      if (it->second.size() != s.samples.size())
        return absl::StrCat(s.labels.ToString(), ": ", s.samples.size(), " points, wanted ",
                            it->second.size());
      for (const Sample& sample : s.samples) {
        auto point = it->second.find(sample.at);
        if (point == it->second.end())
          return absl::StrCat(s.labels.ToString(), ": no point expected at ", sample.at);
        if (!Close(point->second, sample.value))
          return absl::StrCat(s.labels.ToString(), ": got ", sample.value, ", wanted ", point->second);
      }
    }
    return found == wanted.size() ? "" : absl::StrCat(found, " series, wanted ", wanted.size());
  }

  std::string JudgeInstant(const Eval& e, const Expr& expr) {
    auto value = Evaluate(expr, e.start, store_, options_);
    if (e.fails) return value.ok() ? "should have failed" : "";
    if (!value.ok()) return std::string(value.status().message());
    if (value->type == ValueType::kString)
      return e.text && *e.text == value->text ? "" : "string " + value->text;
    if (value->type == ValueType::kScalar)
      return e.scalar && Close(*e.scalar, value->scalar) ? "" : absl::StrCat("scalar ", value->scalar);
    if (value->type == ValueType::kMatrix)
      return CompareMatrix(e, value->matrix, e.matrix_start, e.matrix_step);
    const std::string problem = CompareVector(e, value->vector);
    return !problem.empty() || e.ordered ? problem : AgainInRange(e, expr);
  }

  std::string CompareVector(const Eval& e, const Vector& vector) {
    if (vector.size() != e.series.size())
      return absl::StrCat(vector.size(), " elements, wanted ", e.series.size());
    std::map<Labels, double> got;
    for (const Element& element : vector) got[element.labels] = element.value;
    for (size_t i = 0; i < e.series.size(); ++i) {
      const Expected& wanted = e.series[i];
      if (e.ordered && vector[i].labels != wanted.labels)
        return absl::StrCat("place ", i, " has ", vector[i].labels.ToString(), ", wanted ",
                            wanted.labels.ToString());
      auto it = got.find(wanted.labels);
      if (it == got.end()) return "missing " + wanted.labels.ToString();
      if (wanted.points.size() != 1 || !wanted.points[0]) return "one value expected";
      if (!Close(it->second, *wanted.points[0]))
        return absl::StrCat(wanted.labels.ToString(), ": got ", it->second, ", wanted ", *wanted.points[0]);
    }
    return "";
  }

  static bool UsesBorders(const Expr& e) {
    if (e.at == At::kStart || e.at == At::kEnd) return true;
    static constexpr std::string_view kBorders[] = {"start", "end", "step", "range"};
    if (e.function != nullptr &&
        std::find(std::begin(kBorders), std::end(kBorders), e.function->name) != std::end(kBorders))
      return true;
    return std::any_of(e.args.begin(), e.args.end(), [](const ExprPtr& a) { return UsesBorders(*a); });
  }

  // The same as the middle step of a range of three.
  std::string AgainInRange(const Eval& e, const Expr& expr) {
    if (UsesBorders(expr)) return "";
    auto value = EvaluateRange(expr, e.start - kMinute, e.start + kMinute, kMinute, store_, options_);
    if (!value.ok()) return "as a range: " + std::string(value.status().message());
    Vector middle;
    for (const RangeSeries& s : value->matrix)
      for (const Sample& sample : s.samples)
        if (sample.at == e.start) middle.push_back({s.labels, sample.value, 0, 0, false});
    const std::string problem = CompareVector(e, middle);
    return problem.empty() ? "" : "as a range: " + problem;
  }

  ScriptStore store_;
  EvalOptions options_;
  ScriptReport report_;
  std::vector<Labels> native_;
};

}  // namespace

ScriptReport RunScript(std::string_view text) { return Runner().Run(text); }

}  // namespace quell::promql
