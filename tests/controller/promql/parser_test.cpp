#include "controller/promql/parser.h"

#include <gtest/gtest.h>

#include "controller/promql/functions.h"

namespace quell::promql {
namespace {

TEST(Parser, PrintsWhatItRead) {
  const std::pair<const char*, const char*> cases[] = {
      {"up", "up"},
      {"up{job=\"a\",b!=\"c\",d=~\"e.*\",f!~\"g\"}", "up{job=\"a\",b!=\"c\",d=~\"e.*\",f!~\"g\"}"},
      {"{__name__=~\"a|b\"}", "{__name__=~\"a|b\"}"},
      {"{\"a.b\", c='d'}", "{\"a.b\",c=\"d\"}"},
      {"rate ( x [ 5m ] )", "rate(x[5m])"},
      {"x[300]", "x[5m]"},
      {"x[5m*2]", "x[10m]"},
      {"x offset -1h30m", "x offset -1h30m"},
      {"x @ 12.5 offset 1m", "x @ 12.500 offset 1m"},
      {"x @ start()", "x @ start()"},
      {"max_over_time(x[1h:5m])", "max_over_time(x[1h:5m])"},
      {"max_over_time(x[1h:])", "max_over_time(x[1h:])"},
      {"SUM BY (a,b,) (x)", "sum by (a, b) (x)"},
      {"sum(x) without (a)", "sum without (a) (x)"},
      {"topk(3, x)", "topk(3, x)"},
      {"a AND ON(b) c", "a and on (b) c"},
      {"a / ignoring (b) group_left (c) d", "a / ignoring (b) group_left (c) d"},
      {"a > bool 1", "a > bool 1"},
      {"0x1F + 1_000 + 1e3 + .5", "31 + 1e+03 + 1e+03 + 0.5"},
      {"5m", "3e+02"},
      {"x # and that is all", "x"},
      {"`a\\b`", "\"a\\\\b\""},
      {"-x", "-x"},
  };
  for (const auto& [text, printed] : cases) {
    const Parsed parsed = ParseExpression(text);
    ASSERT_NE(parsed.expr, nullptr) << text << ": " << parsed.error.ToString();
    EXPECT_EQ(parsed.expr->ToString(), printed) << text;
    const Parsed again = ParseExpression(printed);
    ASSERT_NE(again.expr, nullptr) << printed;
    EXPECT_EQ(again.expr->ToString(), printed);
  }
}

// Fully bracketed, to see what binds what.
std::string Bracketed(const Expr& e) {
  if (e.kind == ExprKind::kBinary)
    return "(" + Bracketed(*e.args[0]) + std::string(BinaryOpText(e.op)) + Bracketed(*e.args[1]) + ")";
  if (e.kind == ExprKind::kUnary) return "(-" + Bracketed(*e.args[0]) + ")";
  if (e.kind == ExprKind::kParen) return Bracketed(*e.args[0]);
  return e.ToString();
}

TEST(Parser, Precedence) {
  const std::pair<const char*, const char*> cases[] = {
      {"-a^b", "(-(a^b))"},
      {"a^b^c", "(a^(b^c))"},
      {"-a*b", "((-a)*b)"},
      {"a-b-c", "((a-b)-c)"},
      {"a+b*c", "(a+(b*c))"},
      {"a>b+c", "(a>(b+c))"},
      {"a or b and c", "(aor(bandc))"},
      {"a and b unless c", "((aandb)unlessc)"},
      {"a^-b*c", "((a^(-b))*c)"},
      {"a%b/c", "((a%b)/c)"},
      {"a==b>c", "((a==b)>c)"},
      {"(a+b)*c", "((a+b)*c)"},
  };
  for (const auto& [text, wanted] : cases) {
    const Parsed parsed = ParseExpression(text);
    ASSERT_NE(parsed.expr, nullptr) << text << ": " << parsed.error.ToString();
    EXPECT_EQ(Bracketed(*parsed.expr), wanted) << text;
  }
}

TEST(Parser, MistakesHaveTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "1:1: unexpected end of input"},
      {"a +\n  b )", "2:5: unexpected \")\""},
      {"{}", "1:1: vector selector must contain at least one non-empty matcher"},
      {"x{a=~\".*\"} + {b=~\".*\"}", "1:14: vector selector must contain at least one non-empty matcher"},
      {"a{b=c}", "1:5: unexpected \"c\" in label matching, expected string"},
      {"a{b=\"c}", "1:5: unterminated quoted string"},
      {"1 > 2", "1:1: comparisons between scalars must use BOOL modifier"},
      {"a + bool b", "1:5: bool modifier can only be used on comparison operators"},
      {"a and 1", "1:1: set operator \"and\" not allowed in binary scalar expression"},
      {"a and on (x) group_left b", "1:14: no grouping allowed for \"and\" operation"},
      {"a + on (x) group_left (x) b", "1:12: label \"x\" must not occur in ON and GROUP clause at once"},
      {"1 + on (x) a", "1:1: vector matching only allowed between instant vectors"},
      {"rate(x)", "1:6: expected type range vector in call to function \"rate\", got instant vector"},
      {"rate(x[5m], 1)", "1:1: expected 1 argument(s) in call to \"rate\", got 2"},
      {"clamp(x)", "1:1: expected 3 argument(s) in call to \"clamp\", got 1"},
      {"foo(x)", "1:1: unknown function with name \"foo\""},
      {"info(x)", "1:1: function info is not supported"},
      {"sum()", "1:1: no arguments for aggregate expression provided"},
      {"topk(x)", "1:1: wrong number of arguments for aggregate expression provided, expected 2, got 1"},
      {"sum(x[5m])", "1:5: expected type instant vector in aggregation expression, got range vector"},
      {"x[0]", "1:3: duration must be greater than 0"},
      {"x[5q]", "1:3: bad number or duration syntax: \"5q\""},
      {"x[1m5h]", "1:3: bad number or duration syntax: \"1m5h\""},
      {"x offset 5m offset 1m", "1:13: offset may not be set multiple times"},
      {"sum(x) offset 5m",
       "1:8: offset modifier must be preceded by an instant vector selector or range vector selector or a "
       "subquery"},
      {"x offset 1m [5m]", "1:13: no offset modifiers allowed before range"},
      {"(x)[5m]", "1:4: ranges only allowed for vector selectors"},
      {"x[5m][5m:1m]", "1:1: subquery is only allowed on instant vector, got range vector"},
      {"-x[5m]",
       "1:1: unary expression only allowed on expressions of type scalar or instant vector, got \"range "
       "vector\""},
      {"x{__name__=\"y\"}", "1:1: metric name must not be set twice: \"x\" or \"y\""},
      {"x{a=\"\\.\"}", "1:5: unknown escape sequence '\\.'"},
      {"x{a=~\"(\"}", "1:6: invalid regular expression: missing ): ("},
      {"on", "1:1: unexpected \"on\""},
      {"x @ Inf", "1:5: timestamp out of bounds for @ modifier"},
      {"a + fill(0) b", "1:5: modifier fill is not supported"},
      {"rate(x[5m] anchored)", "1:12: modifier anchored is not supported"},
      {"x[step()]", "1:3: step() in a duration is not supported"},
      {"a $ b", "1:3: unexpected character: '$'"},
      {"label_replace(x, \"a\", \"b\", \"c\", \"(\")", "1:33: invalid regular expression: missing ): ("},
  };
  for (const auto& [text, message] : cases) {
    const Parsed parsed = ParseExpression(text);
    EXPECT_EQ(parsed.expr, nullptr) << text;
    EXPECT_EQ(parsed.error.ToString(), message) << text;
  }
}

TEST(Parser, DepthAndLengthAreBounded) {
  for (const std::string& text :
       {std::string(50'000, '(') + "1", std::string(50'000, '-') + "x", "x[" + std::string(50'000, '('), [] {
          std::string chain = "x";
          for (int i = 0; i < 5'000; ++i) chain += "^x";
          return chain;
        }()})
    EXPECT_EQ(ParseExpression(text).error.message, "expression is nested too deeply");
  EXPECT_EQ(ParseExpression(std::string(70'000, ' ')).error.message, "expression is longer than 65536 bytes");
}

TEST(Parser, MetricsOfTestFiles) {
  const auto labels = ParseMetric("m{a=\"b\",c=\"\"}");
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(*labels, Labels({{"__name__", "m"}, {"a", "b"}}));
  EXPECT_TRUE(ParseMetric("{}").ok());
  EXPECT_FALSE(ParseMetric("m{a=~\"b\"}").ok());
  EXPECT_FALSE(ParseMetric("m + 1").ok());
}

TEST(Functions, EveryRowIsFoundAndDescribed) {
  for (const Function& f : Functions()) {
    EXPECT_EQ(FindFunction(f.name), &f);
    EXPECT_FALSE(f.sentence.empty()) << f.name;
  }
  EXPECT_EQ(FindFunction("nope"), nullptr);
}

}  // namespace
}  // namespace quell::promql
