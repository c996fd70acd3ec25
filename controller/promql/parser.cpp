#include "controller/promql/parser.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "controller/promql/check.h"
#include "controller/promql/functions.h"
#include "controller/promql/lexer.h"

namespace quell::promql {
namespace {

using MutableExpr = std::shared_ptr<Expr>;

struct Failure {
  size_t at;
  std::string message;
};

constexpr int kUnaryPrecedence = 5;

std::optional<BinaryOp> OperatorOf(const Lexeme& l) {
  switch (l.token) {
    case Token::kAdd:
      return BinaryOp::kAdd;
    case Token::kSub:
      return BinaryOp::kSub;
    case Token::kMul:
      return BinaryOp::kMul;
    case Token::kDiv:
      return BinaryOp::kDiv;
    case Token::kMod:
      return BinaryOp::kMod;
    case Token::kPow:
      return BinaryOp::kPow;
    case Token::kEqual:
      return BinaryOp::kEqual;
    case Token::kNotEqual:
      return BinaryOp::kNotEqual;
    case Token::kLess:
      return BinaryOp::kLess;
    case Token::kLessEqual:
      return BinaryOp::kLessEqual;
    case Token::kGreater:
      return BinaryOp::kGreater;
    case Token::kGreaterEqual:
      return BinaryOp::kGreaterEqual;
    case Token::kIdentifier:
      break;
    default:
      return std::nullopt;
  }
  const std::string word = absl::AsciiStrToLower(l.text);
  if (word == "and") return BinaryOp::kAnd;
  if (word == "or") return BinaryOp::kOr;
  if (word == "unless") return BinaryOp::kUnless;
  if (word == "atan2") return BinaryOp::kAtan2;
  return std::nullopt;
}

int Precedence(BinaryOp op) {
  if (op == BinaryOp::kOr) return 1;
  if (op == BinaryOp::kAnd || op == BinaryOp::kUnless) return 2;
  if (IsComparison(op)) return 3;
  if (op == BinaryOp::kAdd || op == BinaryOp::kSub) return 4;
  return op == BinaryOp::kPow ? 6 : 5;
}

std::optional<AggregateOp> AggregateOf(std::string_view lower) {
  for (int i = 0; i <= static_cast<int>(AggregateOp::kLimitRatio); ++i)
    if (AggregateOpText(static_cast<AggregateOp>(i)) == lower) return static_cast<AggregateOp>(i);
  return std::nullopt;
}

// Words that cannot name a metric.
bool IsReserved(std::string_view lower) {
  static constexpr std::string_view kWords[] = {"bool",       "on",          "ignoring",
                                                "group_left", "group_right", "atan2"};
  return std::find(std::begin(kWords), std::end(kWords), lower) != std::end(kWords);
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), tokens_(Lex(text)) {}

  // Errors leave by this private exception, which never leaves the file: a descent of some twenty functions
  // would otherwise test a status after every step.
  ExprPtr Run() {
    MutableExpr expr = Binary(1);
    if (Peek().token != Token::kEnd) Unexpected("");
    return expr;
  }

  Labels Metric() {
    MutableExpr selector = Primary();
    if (selector->kind != ExprKind::kSelector || Peek().token != Token::kEnd) Unexpected("in a series");
    std::vector<Labels::Pair> pairs;
    for (const series::Matcher& m : selector->matchers) {
      if (m.op() != series::MatchOp::kEqual) Fail(0, "only = names a series");
      pairs.emplace_back(m.name(), m.value());
    }
    return Labels(std::move(pairs));
  }
  void AllowEmptySelector() { allow_empty_ = true; }

 private:
  [[noreturn]] void Fail(size_t at, std::string message) const { throw Failure{at, std::move(message)}; }

  const Lexeme& Peek(size_t ahead = 0) const {
    const Lexeme& l = tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
    if (l.token == Token::kError) Fail(l.start, l.text);
    return l;
  }
  const Lexeme& Next() {
    const Lexeme& l = Peek();
    taken_ = at_;
    if (at_ + 1 < tokens_.size()) ++at_;
    return l;
  }
  size_t LastEnd() const { return at_ == 0 ? 0 : tokens_[at_ - 1].end; }
  bool Accept(Token token) {
    if (Peek().token != token) return false;
    Next();
    return true;
  }
  [[noreturn]] void Unexpected(std::string_view where) const {
    const Lexeme& l = Peek();
    const std::string written(text_.substr(l.start, l.end - l.start));
    std::string message =
        l.token == Token::kEnd ? "unexpected end of input" : absl::StrCat("unexpected \"", written, "\"");
    if (!where.empty()) absl::StrAppend(&message, " ", absl::string_view(where.data(), where.size()));
    Fail(l.start, message);
  }
  void Expect(Token token, std::string_view where) {
    if (!Accept(token)) Unexpected(where);
  }
  bool PeekWord(std::string_view word, size_t ahead = 0) const {
    const Lexeme& l = Peek(ahead);
    return l.token == Token::kIdentifier &&
           absl::AsciiStrToLower(l.text) == absl::string_view(word.data(), word.size());
  }
  bool AcceptWord(std::string_view word) {
    if (!PeekWord(word)) return false;
    Next();
    return true;
  }

  MutableExpr Make(ExprKind kind, size_t start) const {
    auto e = std::make_shared<Expr>();
    e->kind = kind;
    e->start = start;
    return e;
  }
  template <typename T>
  MutableExpr Done(T e) {
    e->end = LastEnd();
    if (std::optional<Mistake> mistake = Check(*e)) Fail(mistake->at, mistake->message);
    return e;
  }

  struct Deeper {
    explicit Deeper(Parser& p) : parser(p) {
      if (++p.depth_ > kExpressionDepth) p.Fail(p.Peek().start, "expression is nested too deeply");
    }
    ~Deeper() { --parser.depth_; }
    Parser& parser;
  };

  MutableExpr Binary(int least) {
    Deeper deeper(*this);
    MutableExpr left = Unary();
    while (true) {
      const std::optional<BinaryOp> op = OperatorOf(Peek());
      if (!op || Precedence(*op) < least) return left;
      Next();
      MutableExpr e = Make(ExprKind::kBinary, left->start);
      e->op = *op;
      Modifiers(*e);
      const int next = *op == BinaryOp::kPow ? Precedence(*op) : Precedence(*op) + 1;
      e->args = {left, Binary(next)};
      if (IsSetOp(*op) && e->matching.cardinality == Cardinality::kOneToOne)
        e->matching.cardinality = Cardinality::kManyToMany;
      left = Done(e);
    }
  }

  void Modifiers(Expr& e) {
    const size_t start = Peek().start;
    if (AcceptWord("bool")) {
      if (!IsComparison(e.op)) Fail(start, "bool modifier can only be used on comparison operators");
      e.return_bool = true;
    }
    if (PeekWord("on") || PeekWord("ignoring")) {
      e.matching.given = true;
      e.matching.on = AcceptWord("on");
      if (!e.matching.on) Next();
      e.matching.labels = LabelNames();
      GroupModifier(e);
    }
    if ((PeekWord("fill") || PeekWord("fill_left") || PeekWord("fill_right")) &&
        Peek(1).token == Token::kLeftParen)
      Fail(Peek().start, absl::StrCat("modifier ", Peek().text, " is not supported"));
  }

  void GroupModifier(Expr& e) {
    const size_t start = Peek().start;
    const bool left = PeekWord("group_left");
    if (!left && !PeekWord("group_right")) return;
    Next();
    if (IsSetOp(e.op))
      Fail(start,
           absl::StrCat("no grouping allowed for \"", std::string(BinaryOpText(e.op)), "\" operation"));
    e.matching.cardinality = left ? Cardinality::kManyToOne : Cardinality::kOneToMany;
    if (Peek().token == Token::kLeftParen) e.matching.include = LabelNames();
    for (const std::string& label : e.matching.include)
      if (e.matching.on &&
          std::find(e.matching.labels.begin(), e.matching.labels.end(), label) != e.matching.labels.end())
        Fail(start, absl::StrCat("label \"", label, "\" must not occur in ON and GROUP clause at once"));
  }

  std::vector<std::string> LabelNames() {
    std::vector<std::string> names;
    Expect(Token::kLeftParen, "in grouping opts, expected \"(\"");
    while (!Accept(Token::kRightParen)) {
      const Lexeme& l = Next();
      if (l.token != Token::kIdentifier && l.token != Token::kString)
        Again("in grouping opts, expected label");
      if (l.text.empty() || l.text.find(':') != std::string::npos)
        Fail(l.start, absl::StrCat("\"", l.text, "\" is not a label name"));
      names.push_back(l.text);
      if (Peek().token != Token::kRightParen)
        Expect(Token::kComma, "in grouping opts, expected \",\" or \")\"");
    }
    return names;
  }
  // The token taken last is the wrong one.
  [[noreturn]] void Again(std::string_view where) {
    at_ = taken_;
    Unexpected(where);
  }

  MutableExpr Unary() {
    if (Peek().token != Token::kAdd && Peek().token != Token::kSub) return Postfix();
    Deeper deeper(*this);
    const Lexeme& sign = Next();
    const BinaryOp op = sign.token == Token::kSub ? BinaryOp::kSub : BinaryOp::kAdd;
    MutableExpr operand = Binary(kUnaryPrecedence + 1);
    if (operand->kind == ExprKind::kNumber) {
      if (op == BinaryOp::kSub) operand->number = -operand->number;
      operand->start = sign.start;
      return operand;
    }
    MutableExpr e = Make(ExprKind::kUnary, sign.start);
    e->op = op;
    e->args = {operand};
    return Done(e);
  }

  MutableExpr Postfix() {
    MutableExpr e = Primary();
    while (true) {
      if (Peek().token == Token::kLeftBracket) {
        e = Brackets(e);
      } else if (Peek().token == Token::kAt) {
        AtModifier(*e);
      } else if (PeekWord("offset")) {
        Offset(*e);
      } else if (PeekWord("anchored") || PeekWord("smoothed")) {
        Fail(Peek().start, absl::StrCat("modifier ", Peek().text, " is not supported"));
      } else {
        return e;
      }
    }
  }

  // The node that offset and @ set; null when they can't stand here.
  Expr* Placed(Expr& e) const {
    if (e.kind == ExprKind::kSelector || e.kind == ExprKind::kSubquery) return &e;
    if (e.kind == ExprKind::kRange)
      return const_cast<Expr*>(e.args[0].get());  // made by this parser, not shared yet
    return nullptr;
  }

  void Offset(Expr& e) {
    const size_t start = Next().start;
    Expr* place = Placed(e);
    if (place == nullptr)
      Fail(start,
           "offset modifier must be preceded by an instant vector selector or range vector selector or a "
           "subquery");
    const int sign = Accept(Token::kSub) ? -1 : (Accept(Token::kAdd), 1);
    const double seconds =
        Peek().token == Token::kLeftParen ? DurationAtom() : DurationLiteral("in offset, expected duration");
    if (place->offset != 0) Fail(start, "offset may not be set multiple times");
    place->offset = sign * ToMicros(seconds, start);
    e.end = LastEnd();
  }

  void AtModifier(Expr& e) {
    const size_t start = Next().start;
    Expr* place = Placed(e);
    if (place == nullptr)
      Fail(
          start,
          "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery");
    if (place->at != At::kNone) Fail(start, "@ <timestamp> may not be set multiple times");
    if (PeekWord("start") || PeekWord("end")) {
      place->at = PeekWord("start") ? At::kStart : At::kEnd;
      Next();
      Expect(Token::kLeftParen, "in @, expected \"(\"");
      Expect(Token::kRightParen, "in @, expected \")\"");
    } else {
      const int sign = Accept(Token::kSub) ? -1 : (Accept(Token::kAdd), 1);
      place->at = At::kTime;
      place->at_time = sign * ToMicros(TimestampLiteral(), start);
    }
    e.end = LastEnd();
  }

  double TimestampLiteral() {
    const Lexeme& l = Next();
    if (l.token == Token::kNumber || l.token == Token::kDuration) return l.number;
    if (l.token == Token::kIdentifier && SpecialNumber(l.text))
      Fail(l.start, "timestamp out of bounds for @ modifier");
    Again("in @, expected timestamp");
  }

  Micros ToMicros(double seconds, size_t at) const {
    if (!(std::fabs(seconds) < 9.2e12)) Fail(at, "duration out of range");
    return static_cast<Micros>(std::llround(seconds * 1000)) * kMillisecond;
  }

  double DurationLiteral(std::string_view where) {
    const Lexeme& l = Next();
    if (l.token != Token::kNumber && l.token != Token::kDuration) Again(where);
    return l.number;
  }

  // Arithmetic over durations, as `[5m*2]`: folded at once.
  double DurationSum() {
    Deeper deeper(*this);
    double value = DurationProduct();
    while (Peek().token == Token::kAdd || Peek().token == Token::kSub)
      value = Next().token == Token::kAdd ? value + DurationProduct() : value - DurationProduct();
    return value;
  }
  double DurationProduct() {
    double value = DurationPower();
    while (Peek().token == Token::kMul || Peek().token == Token::kDiv || Peek().token == Token::kMod) {
      const Lexeme op = Next();
      const double right = DurationPower();
      if (op.token == Token::kMul) {
        value *= right;
        continue;
      }
      if (right == 0) Fail(op.start, op.token == Token::kDiv ? "division by zero" : "modulo by zero");
      value = op.token == Token::kDiv ? value / right : std::fmod(value, right);
    }
    return value;
  }
  double DurationPower() {
    if (Accept(Token::kSub)) return -DurationPower();
    if (Accept(Token::kAdd)) return DurationPower();
    const double value = DurationAtom();
    return Accept(Token::kPow) ? std::pow(value, DurationPower()) : value;
  }
  double DurationAtom() {
    if (Accept(Token::kLeftParen)) {
      const double value = DurationSum();
      Expect(Token::kRightParen, "in duration, expected \")\"");
      return value;
    }
    if (Peek().token == Token::kIdentifier && Peek(1).token == Token::kLeftParen)
      Fail(Peek().start, absl::StrCat(Peek().text, "() in a duration is not supported"));
    return DurationLiteral("expected duration");
  }

  MutableExpr Brackets(const MutableExpr& inner) {
    const size_t bracket = Next().start;
    const size_t at = Peek().start;
    const Micros range = ToMicros(DurationSum(), at);
    if (range <= 0) Fail(at, "duration must be greater than 0");
    if (Peek().token != Token::kColon) return Range(inner, range, bracket);
    Next();
    MutableExpr e = Make(ExprKind::kSubquery, inner->start);
    e->range = range;
    if (const size_t step_at = Peek().start; Peek().token != Token::kRightBracket) {
      e->step = ToMicros(DurationSum(), step_at);
      if (e->step <= 0) Fail(step_at, "duration must be greater than 0");
    }
    Expect(Token::kRightBracket, "in subquery selector, expected \"]\"");
    e->args = {inner};
    return Done(e);
  }

  MutableExpr Range(const MutableExpr& inner, Micros range, size_t bracket) {
    Expect(Token::kRightBracket, "in range, expected \":\" or \"]\"");
    if (inner->kind != ExprKind::kSelector) Fail(bracket, "ranges only allowed for vector selectors");
    if (inner->offset != 0) Fail(bracket, "no offset modifiers allowed before range");
    if (inner->at != At::kNone) Fail(bracket, "no @ modifiers allowed before range");
    MutableExpr e = Make(ExprKind::kRange, inner->start);
    e->range = range;
    e->args = {inner};
    return Done(e);
  }

  static std::optional<double> SpecialNumber(std::string_view word) {
    const std::string lower = absl::AsciiStrToLower(absl::string_view(word.data(), word.size()));
    if (lower == "inf") return std::numeric_limits<double>::infinity();
    if (lower == "nan") return OrdinaryNanValue();
    return std::nullopt;
  }
  static double OrdinaryNanValue() { return std::numeric_limits<double>::quiet_NaN(); }

  MutableExpr Number(size_t start, double value) {
    MutableExpr e = Make(ExprKind::kNumber, start);
    e->number = value;
    return Done(e);
  }

  MutableExpr Primary() {
    const Lexeme& l = Peek();
    switch (l.token) {
      case Token::kNumber:
      case Token::kDuration:
        Next();
        return Number(l.start, l.number);
      case Token::kString: {
        MutableExpr e = Make(ExprKind::kString, Next().start);
        e->text = l.text;
        return Done(e);
      }
      case Token::kLeftParen: {
        MutableExpr e = Make(ExprKind::kParen, Next().start);
        e->args = {Binary(1)};
        Expect(Token::kRightParen, "in expression, expected \")\"");
        return Done(e);
      }
      case Token::kLeftBrace:
        return Selector("", l.start);
      case Token::kIdentifier:
        return Word();
      default:
        Unexpected("");
    }
  }

  MutableExpr Word() {
    const Lexeme& l = Next();
    const std::string lower = absl::AsciiStrToLower(l.text);
    if (std::optional<AggregateOp> op = AggregateOf(lower))
      if (Peek().token == Token::kLeftParen || PeekWord("by") || PeekWord("without"))
        return Aggregate(*op, l.start);
    if (Peek().token == Token::kLeftParen && !IsReserved(lower)) return Call(l);
    if (std::optional<double> number = SpecialNumber(l.text)) return Number(l.start, *number);
    if (IsReserved(lower)) Again("");
    return Selector(l.text, l.start);
  }

  std::vector<ExprPtr> Arguments(std::string_view where) {
    std::vector<ExprPtr> arguments;
    Expect(Token::kLeftParen, where);
    while (Peek().token != Token::kRightParen) {
      arguments.push_back(Binary(1));
      if (!Accept(Token::kComma)) break;
      if (Peek().token == Token::kRightParen)
        Fail(LastEnd() - 1, "trailing commas not allowed in function call args");
    }
    Expect(Token::kRightParen, where);
    return arguments;
  }

  MutableExpr Call(const Lexeme& name) {
    const Function* function = FindFunction(name.text);
    if (function == nullptr) Fail(name.start, absl::StrCat("unknown function with name \"", name.text, "\""));
    if (!function->supported()) Fail(name.start, absl::StrCat("function ", name.text, " is not supported"));
    MutableExpr e = Make(ExprKind::kCall, name.start);
    e->function = function;
    e->args = Arguments("in function call");
    return Done(e);
  }

  bool Grouping(Expr& e) {
    if (!PeekWord("by") && !PeekWord("without")) return false;
    e.without = PeekWord("without");
    Next();
    e.grouping = LabelNames();
    return true;
  }

  MutableExpr Aggregate(AggregateOp op, size_t start) {
    if (op == AggregateOp::kLimitk || op == AggregateOp::kLimitRatio)
      Fail(start, absl::StrCat("aggregation ", std::string(AggregateOpText(op)), " is not supported"));
    MutableExpr e = Make(ExprKind::kAggregate, start);
    e->aggregate = op;
    const bool grouped = Grouping(*e);
    std::vector<ExprPtr> arguments = Arguments("in aggregation");
    if (!grouped) Grouping(*e);
    const bool parameter = op == AggregateOp::kTopk || op == AggregateOp::kBottomk ||
                           op == AggregateOp::kQuantile || op == AggregateOp::kCountValues;
    const size_t wanted = parameter ? 2 : 1;
    if (arguments.empty()) Fail(start, "no arguments for aggregate expression provided");
    if (arguments.size() != wanted)
      Fail(start, absl::StrCat("wrong number of arguments for aggregate expression provided, expected ",
                               wanted, ", got ", arguments.size()));
    e->args = {arguments.back()};
    if (parameter) e->args.push_back(arguments.front());
    return Done(e);
  }

  MutableExpr Selector(const std::string& name, size_t start) {
    MutableExpr e = Make(ExprKind::kSelector, start);
    e->text = name;
    if (Accept(Token::kLeftBrace)) Matchers(*e);
    if (!e->text.empty()) {
      for (const series::Matcher& m : e->matchers)
        if (m.name() == kMetricName && m.op() == series::MatchOp::kEqual)
          Fail(start,
               absl::StrCat("metric name must not be set twice: \"", e->text, "\" or \"", m.value(), "\""));
      e->matchers.insert(e->matchers.begin(), series::Matcher::Equal(kMetricName, e->text));
    }
    e->end = LastEnd();
    if (allow_empty_) return e;
    return Done(e);
  }

  void Matchers(Expr& e) {
    while (!Accept(Token::kRightBrace)) {
      const Lexeme& name = Next();
      if (name.token == Token::kString &&
          (Peek().token == Token::kComma || Peek().token == Token::kRightBrace)) {
        if (!e.text.empty())
          Fail(name.start,
               absl::StrCat("metric name must not be set twice: \"", e.text, "\" or \"", name.text, "\""));
        e.text = name.text;
      } else {
        if (name.token != Token::kIdentifier && name.token != Token::kString)
          Again("in label matching, expected identifier or \"}\"");
        e.matchers.push_back(OneMatcher(name));
      }
      if (Peek().token != Token::kRightBrace)
        Expect(Token::kComma, "in label matching, expected \",\" or \"}\"");
    }
  }

  series::Matcher OneMatcher(const Lexeme& name) {
    const Token op = Next().token;
    series::MatchOp match = series::MatchOp::kEqual;
    if (op == Token::kNotEqual) {
      match = series::MatchOp::kNotEqual;
    } else if (op == Token::kMatch) {
      match = series::MatchOp::kRegex;
    } else if (op == Token::kNotMatch) {
      match = series::MatchOp::kNotRegex;
    } else if (op != Token::kAssign) {
      Again("in label matching, expected label matching operator");
    }
    const Lexeme& value = Next();
    if (value.token != Token::kString) Again("in label matching, expected string");
    auto matcher = series::Matcher::Make(match, name.text, value.text);
    if (!matcher.ok()) Fail(value.start, std::string(matcher.status().message()));
    return *std::move(matcher);
  }

  std::string_view text_;
  std::vector<Lexeme> tokens_;
  size_t at_ = 0;
  size_t taken_ = 0;
  int depth_ = 0;
  bool allow_empty_ = false;
};

ParseError ErrorAt(std::string_view text, size_t at, std::string message) {
  ParseError error;
  error.message = std::move(message);
  at = std::min(at, text.size());
  error.line =
      1 + static_cast<int>(std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(at), '\n'));
  const size_t line_start = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  error.column = 1 + static_cast<int>(line_start == std::string_view::npos ? at : at - line_start - 1);
  return error;
}

}  // namespace

std::string ParseError::ToString() const { return absl::StrCat(line, ":", column, ": ", message); }

Parsed ParseExpression(std::string_view text) {
  if (text.size() > kExpressionBytes)
    return {nullptr, {1, 1, absl::StrCat("expression is longer than ", kExpressionBytes, " bytes")}};
  try {
    return {Parser(text).Run(), {}};
  } catch (const Failure& failure) {
    return {nullptr, ErrorAt(text, failure.at, failure.message)};
  }
}

absl::StatusOr<ExprPtr> Parse(std::string_view text) {
  Parsed parsed = ParseExpression(text);
  if (parsed.expr == nullptr) return absl::InvalidArgumentError(parsed.error.ToString());
  return parsed.expr;
}

absl::StatusOr<Labels> ParseMetric(std::string_view text) {
  try {
    Parser parser(text);
    parser.AllowEmptySelector();
    return parser.Metric();
  } catch (const Failure& failure) {
    return absl::InvalidArgumentError(ErrorAt(text, failure.at, failure.message).ToString());
  }
}

}  // namespace quell::promql
