// Tables and the first screen, made of the controller's documents. Pure: the same document, options and time
// give the same text. Every string goes through the terminal's encoder.
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/time/time.h"

namespace quell::cli {

using Json = nlohmann::ordered_json;

struct ViewOptions {
  absl::Time now;
  absl::TimeZone zone;  // of what tables show
  bool wide = false;
  int columns = 80;
  int lines = 24;
};

// "03:12:07" today, else "2026-11-23 03:12"; "-" for null.
std::string ShowTime(const Json& time, const ViewOptions& options);
// "6m"; "-" for null.
std::string ShowAge(const Json& time, const ViewOptions& options);

// A list document ({"items": […]}) as a table; a kind without columns of its own gets its JSON.
std::string ListView(std::string_view kind, const Json& document, const ViewOptions& options);
std::string IncidentView(const Json& incident, const ViewOptions& options);
std::string CommandView(const Json& command, const ViewOptions& options);
std::string EvidenceView(const Json& document, const ViewOptions& options);
// The content of one item, line by line: what a terminal would obey is shown.
std::string EvidenceItemView(const Json& document, const ViewOptions& options);
// A draft as it is to be put into its file.
std::string DraftView(const Json& document, const ViewOptions& options);
std::string ExplainView(const Json& document, const ViewOptions& options);
std::string QueryView(const Json& document, const ViewOptions& options);
// "key  value" lines of any document.
std::string FieldsView(const Json& document, const ViewOptions& options);
// At most options.columns wide and options.lines long.
std::string StatusView(const Json& document, const ViewOptions& options);

std::string JsonText(const Json& document);  // indented
std::string YamlText(const Json& document);

}  // namespace quell::cli
