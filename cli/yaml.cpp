// JSON as YAML: a block style whose strings are always quoted where they could be read as something else.
#include <algorithm>

#include "cli/view.h"
#include "common/text/encode.h"

namespace quell::cli {
namespace {

bool PlainText(const std::string& s) {
  static const char* const kWords[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  if (s.empty() || !((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z'))) return false;
  std::string lower = s;
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (const char* word : kWords)
    if (lower == word) return false;
  return std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '/';
  });
}

std::string Scalar(const Json& json) {
  if (json.is_string()) {
    const auto text = json.get<std::string>();
    return PlainText(text) ? text : text::Json(text);
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void Write(const Json& json, int indent, std::string& out);

void WriteValue(const Json& value, int indent, std::string& out) {
  if (value.is_structured() && !value.empty()) {
    out += "\n";
    Write(value, indent, out);
  } else {
    out += " " + Scalar(value) + "\n";
  }
}

void Write(const Json& json, int indent, std::string& out) {
  const std::string pad(static_cast<size_t>(indent), ' ');
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      out += pad + Scalar(Json(key)) + ":";
      WriteValue(value, indent + 2, out);
    }
  } else if (json.is_array()) {
    for (const auto& value : json) {
      out += pad + "-";
      WriteValue(value, indent + 2, out);
    }
  }
}

}  // namespace

std::string YamlText(const Json& document) {
  if (!document.is_structured() || document.empty()) return Scalar(document) + "\n";
  std::string out;
  Write(document, 0, out);
  return out;
}

}  // namespace quell::cli
