#include "common/text/template.h"

#include <charconv>
#include <cmath>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/log.h"
#include "common/text/encode.h"

namespace quell::text {
namespace {

constexpr std::string_view kLabelPrefix = "$labels.";

bool IsLabelName(std::string_view name) {
  if (name.empty() || absl::ascii_isdigit(static_cast<unsigned char>(name[0]))) return false;
  for (const char c : name) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_') return false;
  }
  return true;
}

std::string_view Trim(std::string_view s) {
  const absl::string_view t = absl::StripAsciiWhitespace(absl::string_view(s.data(), s.size()));
  return {t.data(), t.size()};
}

absl::Status Refuse(size_t offset, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "at offset ", offset, ": ", why, "; between {{ and }} only $labels.NAME and $value can stand"));
}

}  // namespace

absl::StatusOr<Template> Template::Parse(std::string_view source) {
  Template parsed;
  size_t at = 0;
  while (at < source.size()) {
    const size_t open = source.find("{{", at);
    if (open != at) parsed.parts_.push_back({Part::Kind::kText, std::string(source.substr(at, open - at))});
    if (open == std::string_view::npos) break;
    const size_t close = source.find("}}", open + 2);
    if (close == std::string_view::npos) return Refuse(open, "{{ without }}");
    const std::string_view inside = Trim(source.substr(open + 2, close - open - 2));
    if (inside == "$value") {
      parsed.parts_.push_back({Part::Kind::kValue, ""});
    } else if (inside.starts_with(kLabelPrefix) && IsLabelName(inside.substr(kLabelPrefix.size()))) {
      parsed.parts_.push_back({Part::Kind::kLabel, std::string(inside.substr(kLabelPrefix.size()))});
    } else {
      return Refuse(open, absl::StrCat("{{ ", EncodeLogText(Cut(inside, 80)), " }} is not supported"));
    }
    at = close + 2;
  }
  return parsed;
}

std::string Template::Expand(const Labels& labels, double value) const {
  std::string out;
  for (const Part& part : parts_) {
    switch (part.kind) {
      case Part::Kind::kText:
        out.append(part.text);
        break;
      case Part::Kind::kLabel:
        out.append(labels.Get(part.text));
        break;
      case Part::Kind::kValue:
        out.append(FormatValue(value));
        break;
    }
  }
  return out;
}

bool Template::constant() const {
  for (const Part& part : parts_) {
    if (part.kind != Part::Kind::kText) return false;
  }
  return true;
}

std::string FormatValue(double v) {
  if (std::isnan(v)) return "NaN";
  if (std::isinf(v)) return v > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  const auto print = [&](std::chars_format format) {
    const std::to_chars_result end = std::to_chars(buffer, buffer + sizeof(buffer), v, format);
    return std::string_view(buffer, static_cast<size_t>(end.ptr - buffer));
  };
  const std::string_view scientific = print(std::chars_format::scientific);
  int exponent = 0;
  const char* digits = scientific.data() + scientific.find('e') + 1;
  if (*digits == '+') ++digits;
  std::from_chars(digits, scientific.data() + scientific.size(), exponent);
  if (exponent < -4 || exponent >= 6) return std::string(scientific);
  return std::string(print(std::chars_format::fixed));
}

}  // namespace quell::text
