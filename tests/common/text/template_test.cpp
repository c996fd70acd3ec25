#include "common/text/template.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace quell::text {
namespace {

TEST(TemplateTest, ExpandsLabelsAndTheValue) {
  const absl::StatusOr<Template> t =
      Template::Parse("{{ $labels.app }} on {{$labels.host}} is {{ $value }}% }} {");
  ASSERT_TRUE(t.ok()) << t.status();
  EXPECT_EQ(t->Expand(Labels({{"app", "portal"}, {"host", "web-1"}}), 97.5), "portal on web-1 is 97.5% }} {");
  EXPECT_EQ(t->Expand(Labels({{"app", "{{ $value }}"}}), 1), "{{ $value }} on  is 1% }} {");
  EXPECT_FALSE(t->constant());
  EXPECT_TRUE(Template::Parse("plain")->constant());
  EXPECT_EQ(Template::Parse("")->Expand({}, 0), "");
}

TEST(TemplateTest, RefusesAnythingElseWithItsOffset) {
  const std::pair<std::string_view, std::string_view> table[] = {
      {"{{ .Labels.app }}", "at offset 0: {{ .Labels.app }} is not supported"},
      {"ab {{ $value | humanize }}", "at offset 3: {{ $value | humanize }} is not supported"},
      {"{{ $labels }}", "at offset 0: {{ $labels }}"},
      {"{{ $labels. }}", "at offset 0: "},
      {"{{ $labels.1a }}", "at offset 0: "},
      {"{{ $labels.a.b }}", "at offset 0: "},
      {"{{- $value }}", "at offset 0: "},
      {"{{ query \"up\" }}", "at offset 0: "},
      {"{{}}", "at offset 0: "},
      {"x {{ $value", "at offset 2: {{ without }}"},
      {"{{ if true }}x{{ end }}", "at offset 0: "},
  };
  for (const auto& [text, told] : table) {
    const absl::StatusOr<Template> t = Template::Parse(text);
    ASSERT_FALSE(t.ok()) << text;
    EXPECT_NE(t.status().ToString().find(told), std::string::npos) << t.status();
  }
}

TEST(TemplateTest, ValuesPrintAsPrometheusPrintsThem) {
  const std::pair<double, std::string_view> table[] = {
      {0, "0"},
      {-0.0, "-0"},
      {1, "1"},
      {0.1, "0.1"},
      {-12.5, "-12.5"},
      {100000, "100000"},
      {123456.789, "123456.789"},
      {999999.5, "999999.5"},
      {1e6, "1e+06"},
      {1234567, "1.234567e+06"},
      {1e21, "1e+21"},
      {1e100, "1e+100"},
      {0.0001, "0.0001"},
      {0.00012345, "0.00012345"},
      {0.00001, "1e-05"},
      {1.0 / 3, "0.3333333333333333"},
      {0.1 + 0.2, "0.30000000000000004"},
      {5e-324, "5e-324"},
      {std::numeric_limits<double>::max(), "1.7976931348623157e+308"},
      {std::numeric_limits<double>::infinity(), "+Inf"},
      {-std::numeric_limits<double>::infinity(), "-Inf"},
      {std::nan(""), "NaN"},
  };
  for (const auto& [value, text] : table) EXPECT_EQ(FormatValue(value), text);
}

}  // namespace
}  // namespace quell::text
