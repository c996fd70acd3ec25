#include "controller/promql/functions.h"

#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "controller/promql/bodies.h"

namespace quell::promql {
namespace {

constexpr ValueType S = ValueType::kScalar, V = ValueType::kVector, M = ValueType::kMatrix,
                    T = ValueType::kString;

double Sgn(double v) { return v > 0 ? 1 : v < 0 ? -1 : v; }
double Degrees(double v) { return v * 180 / M_PI; }
double Radians(double v) { return v * M_PI / 180; }

Function Math(std::string_view name, std::string_view sentence, MathBody body) {
  return {name, {V}, 0, V, sentence, body, nullptr, nullptr, false};
}
Function Over(std::string_view name, std::string_view sentence, WindowBody body,
              std::vector<ValueType> types = {M}) {
  return {name, std::move(types), 0, V, sentence, nullptr, body, nullptr, false};
}
Function Call(std::string_view name, std::vector<ValueType> types, int optional, ValueType result,
              std::string_view sentence, CallBody body) {
  return {name, std::move(types), optional, result, sentence, nullptr, nullptr, body, false};
}
Function Keeps(Function f) {
  f.keeps_name = true;
  return f;
}
// Read, and refused when it is used.
Function Known(std::string_view name) {
  return {name, {}, -1, V, "not supported", nullptr, nullptr, nullptr, false};
}

}  // namespace

const std::vector<Function>& Functions() {
  static const auto& table = *new std::vector<Function>{
      // over the samples of a range
      Over("rate", "Per-second increase of a counter.", Rate),
      Over("increase", "Increase of a counter.", Increase),
      Over("irate", "Per-second increase between a counter's last two samples.", Irate),
      Over("delta", "Difference between the ends of a gauge's range.", Delta),
      Over("idelta", "Difference between the last two samples.", Idelta),
      Over("avg_over_time", "Mean of the samples.", AvgOverTime),
      Over("min_over_time", "Smallest sample.", MinOverTime),
      Over("max_over_time", "Largest sample.", MaxOverTime),
      Over("sum_over_time", "Sum of the samples.", SumOverTime),
      Over("count_over_time", "Number of samples.", CountOverTime),
      Keeps(Over("last_over_time", "Newest sample.", LastOverTime)),
      Over("present_over_time", "1 where there is any sample.", PresentOverTime),
      Over("stddev_over_time", "Population standard deviation of the samples.", StddevOverTime),
      Over("stdvar_over_time", "Population variance of the samples.", StdvarOverTime),
      Over("quantile_over_time", "Quantile of the samples.", QuantileOverTime, {S, M}),
      Over("changes", "How often the value changed.", Changes),
      Over("resets", "How often a counter fell.", Resets),
      Over("deriv", "Slope per second by least squares.", Deriv),
      Over("predict_linear", "Value some seconds from now by least squares.", PredictLinear, {M, S}),
      // value by value
      Math("abs", "Absolute value.", [](double v) { return std::fabs(v); }),
      Math("ceil", "Rounded up.", [](double v) { return std::ceil(v); }),
      Math("floor", "Rounded down.", [](double v) { return std::floor(v); }),
      Math("exp", "e to the power of the value.", [](double v) { return std::exp(v); }),
      Math("ln", "Natural logarithm.", [](double v) { return std::log(v); }),
      Math("log2", "Logarithm to base 2.", [](double v) { return std::log2(v); }),
      Math("log10", "Logarithm to base 10.", [](double v) { return std::log10(v); }),
      Math("sqrt", "Square root.", [](double v) { return std::sqrt(v); }),
      Math("sgn", "Sign: -1, 0 or 1.", Sgn), Math("sin", "Sine.", [](double v) { return std::sin(v); }),
      Math("cos", "Cosine.", [](double v) { return std::cos(v); }),
      Math("tan", "Tangent.", [](double v) { return std::tan(v); }),
      Math("asin", "Arc sine.", [](double v) { return std::asin(v); }),
      Math("acos", "Arc cosine.", [](double v) { return std::acos(v); }),
      Math("atan", "Arc tangent.", [](double v) { return std::atan(v); }),
      Math("sinh", "Hyperbolic sine.", [](double v) { return std::sinh(v); }),
      Math("cosh", "Hyperbolic cosine.", [](double v) { return std::cosh(v); }),
      Math("tanh", "Hyperbolic tangent.", [](double v) { return std::tanh(v); }),
      Math("asinh", "Inverse hyperbolic sine.", [](double v) { return std::asinh(v); }),
      Math("acosh", "Inverse hyperbolic cosine.", [](double v) { return std::acosh(v); }),
      Math("atanh", "Inverse hyperbolic tangent.", [](double v) { return std::atanh(v); }),
      Math("deg", "Radians as degrees.", Degrees), Math("rad", "Degrees as radians.", Radians),
      // anything else
      Call("time", {}, 0, S, "The evaluation's time in Unix seconds.", Time),
      Call("start", {}, 0, S, "The first time of the query in Unix seconds.", QueryStart),
      Call("end", {}, 0, S, "The last time of the query in Unix seconds.", QueryEnd),
      Call("step", {}, 0, S, "The step of the query in seconds; 0 of an instant one.", QueryStep),
      Call("range", {}, 0, S, "The length of the query in seconds; 0 of an instant one.", QueryRange),
      Call("pi", {}, 0, S, "The number pi.", Pi),
      Call("timestamp", {V}, 0, V, "Time of each sample in Unix seconds.", Timestamp),
      Call("vector", {S}, 0, V, "A scalar as a vector without labels.", ToVector),
      Call("scalar", {V}, 0, S, "The value of a vector of one element, else NaN.", ToScalar),
      Call("absent", {V}, 0, V, "1 where a vector is empty.", Absent),
      Call("absent_over_time", {M}, 0, V, "1 where a range has no sample.", AbsentOverTime),
      Call("round", {V, S}, 1, V, "Rounded to the nearest multiple.", Round),
      Call("clamp", {V, S, S}, 0, V, "Held between two bounds.", Clamp),
      Call("clamp_min", {V, S}, 0, V, "Held above a bound.", ClampMin),
      Call("clamp_max", {V, S}, 0, V, "Held below a bound.", ClampMax),
      Call("sort", {V}, 0, V, "Sorted by value, smallest first.", Sort),
      Call("sort_desc", {V}, 0, V, "Sorted by value, largest first.", SortDesc),
      Call("label_replace", {V, T, T, T, T}, 0, V, "A label made from another by a pattern.", LabelReplace),
      Call("label_join", {V, T, T, T}, -1, V, "A label joined from others.", LabelJoin),
      Call("histogram_quantile", {S, V}, 0, V, "Quantile of a classic histogram.", HistogramQuantile),
      Call("histogram_fraction", {S, S, V}, 0, V, "Share of a classic histogram between two bounds.",
           HistogramFraction),
      Call("minute", {V}, 1, V, "Minute of the hour, UTC.", DatePart),
      Call("hour", {V}, 1, V, "Hour of the day, UTC.", DatePart),
      Call("day_of_week", {V}, 1, V, "Day of the week, UTC; 0 is Sunday.", DatePart),
      Call("day_of_month", {V}, 1, V, "Day of the month, UTC.", DatePart),
      Call("day_of_year", {V}, 1, V, "Day of the year, UTC.", DatePart),
      Call("days_in_month", {V}, 1, V, "Days of the month, UTC.", DatePart),
      Call("month", {V}, 1, V, "Month, UTC.", DatePart), Call("year", {V}, 1, V, "Year, UTC.", DatePart),
      // of native histograms, or experimental
      Known("double_exponential_smoothing"), Known("first_over_time"), Known("histogram_avg"),
      Known("histogram_count"), Known("histogram_quantiles"), Known("histogram_stddev"),
      Known("histogram_stdvar"), Known("histogram_sum"), Known("info"), Known("mad_over_time"),
      Known("max_of"), Known("min_of"), Known("sort_by_label"), Known("sort_by_label_desc"),
      Known("ts_of_first_over_time"), Known("ts_of_last_over_time"), Known("ts_of_max_over_time"),
      Known("ts_of_min_over_time")};
  return table;
}

const Function* FindFunction(std::string_view name) {
  static const auto& index =
      [] {
        auto* map = new absl::flat_hash_map<std::string, const Function*>();
        for (const Function& f : Functions()) map->emplace(std::string(f.name), &f);
        return std::ref(*map);
      }()
          .get();
  auto it = index.find(absl::string_view(name.data(), name.size()));
  return it == index.end() ? nullptr : it->second;
}

}  // namespace quell::promql
