// Rule files and expressions from arbitrary bytes: no crash, no hang, and what loads prints and parses again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "controller/promql/evaluate.h"
#include "controller/promql/parser.h"
#include "controller/rules/rule_set.h"
#include "controller/series/store.h"

namespace {

void TryExpression(std::string_view text) {
  const quell::promql::Parsed parsed = quell::promql::ParseExpression(text);
  if (parsed.expr == nullptr) return;
  const std::string printed = parsed.expr->ToString();
  const quell::promql::Parsed again = quell::promql::ParseExpression(printed);
  if (again.expr == nullptr || again.expr->ToString() != printed) std::abort();
  const quell::series::SeriesStore empty;
  quell::promql::EvalOptions options;
  options.max_steps = 100;
  options.max_samples = 1000;
  const quell::promql::StoreSource source(empty);
  (void)quell::promql::Evaluate(*parsed.expr, quell::kHour, source, options);
}

void TryFile(std::string_view text) {
  quell::config::Problems problems;
  const auto set = quell::rules::LoadRules(
      {{"fuzz.yml", std::string(text)}}, [](std::string_view) { return std::string(); }, problems);
  if ((set == nullptr) == problems.ok()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  TryFile(text);
  TryExpression(text);
  return 0;
}
