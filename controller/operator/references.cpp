#include "controller/operator/references.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell::operators {
namespace {

constexpr size_t kMostListed = 10;
constexpr size_t kCommandId = 32;   // hex digits
constexpr size_t kLeastPrefix = 8;  // of a command's id
constexpr size_t kLongestReference = 128;

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

template <typename Message>
absl::StatusOr<Message> Parse(const engine::ProjectionRow& row) {
  Message message;
  if (!message.ParseFromString(row.message))
    return absl::DataLossError(absl::StrCat("reading ", row.kind, " ", row.id, ": its row cannot be parsed"));
  return message;
}

// "417" or "#417"; 0 when it is no number.
uint64_t NumberIn(std::string_view text) {
  if (!text.empty() && text.front() == '#') text.remove_prefix(1);
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty() ? number : 0;
}

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

absl::StatusOr<std::string> ListOpen(const RowPage& page) {
  std::string list;
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ParseIncident(row));
    absl::StrAppend(&list, list.empty() ? "" : ", ", "#", incident.number(), " (", incident.title(), ")");
  }
  return list;
}

absl::StatusOr<v1::Incident> OnlyOpen(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("incident", RowFilter{}, kMostListed, ""));
  if (page.rows.empty()) return absl::NotFoundError("there is no open incident");
  if (page.rows.size() == 1) return ParseIncident(page.rows.front());
  QUELL_ASSIGN_OR_RETURN(const std::string list, ListOpen(page));
  return absl::InvalidArgumentError(absl::StrCat("several incidents are open, so name one: ", list));
}

absl::StatusOr<v1::Incident> Latest(OperatorBackend& backend) {
  RowFilter filter;
  filter.all = true;
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("incident", filter, 1, ""));
  if (page.rows.empty()) return absl::NotFoundError("there has been no incident yet");
  return ParseIncident(page.rows.front());
}

absl::StatusOr<engine::ProjectionRow> ByPrefix(OperatorBackend& backend, std::string_view kind,
                                               std::string_view text) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<std::string> ids, backend.IdsWithPrefix(kind, text, 2));
  if (ids.empty()) return absl::NotFoundError(absl::StrCat("there is no ", View(kind), " ", View(text)));
  // A whole id is always itself, though others may begin with it.
  if (ids.size() == 1 || ids.front() == text) return backend.Find(kind, ids.front());
  return absl::InvalidArgumentError(
      absl::StrCat(View(text), " is not unique: it begins ", ids[0], " and ", ids[1]));
}

absl::Status NoSuch(std::string_view kind, std::string_view text, const absl::Status& status) {
  if (status.code() != absl::StatusCode::kNotFound) return status;
  return absl::NotFoundError(absl::StrCat("there is no ", View(kind), " ", View(text)));
}

absl::StatusOr<engine::ProjectionRow> ByNumber(OperatorBackend& backend, std::string_view kind,
                                               std::string_view text, const std::string& incident,
                                               uint64_t number) {
  if (number == 0) return absl::NotFoundError(absl::StrCat("there is no command ", View(text)));
  auto row = backend.FindNumber(kind, incident, number);
  if (!row.ok()) return NoSuch("command", text, row.status());
  return row;
}

// A command's row, or a plan's, as it is named.
absl::StatusOr<engine::ProjectionRow> Numbered(OperatorBackend& backend, std::string_view kind,
                                               std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("name a command, as in 417.2 or C-58");
  if (text.size() > kLongestReference)
    return absl::InvalidArgumentError("that is too long for a command's name");
  if (text.substr(0, 2) == "C-") return ByNumber(backend, kind, text, "", NumberIn(text.substr(2)));
  if (const size_t dot = text.rfind('.'); dot != std::string_view::npos) {
    QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend, text.substr(0, dot)));
    return ByNumber(backend, kind, text, incident.id(), NumberIn(text.substr(dot + 1)));
  }
  if (text.size() < kLeastPrefix || !IsHex(text))
    return absl::NotFoundError(
        absl::StrCat("there is no command ", View(text), "; commands are named 417.2 or C-58"));
  return ByPrefix(backend, kind, text);
}

}  // namespace

absl::StatusOr<v1::Incident> ParseIncident(const engine::ProjectionRow& row) {
  return Parse<v1::Incident>(row);
}
absl::StatusOr<v1::CommandEntry> ParseCommand(const engine::ProjectionRow& row) {
  return Parse<v1::CommandEntry>(row);
}

absl::StatusOr<v1::Plan> ParsePlan(const engine::ProjectionRow& row) { return Parse<v1::Plan>(row); }

bool LooksLikeCommand(std::string_view text) {
  if (text.substr(0, 2) == "C-") return true;
  if (text.size() == kCommandId && IsHex(text)) return true;
  const size_t dot = text.find('.');
  const std::string_view incident = text.substr(0, std::min(dot, text.size()));
  return dot != std::string_view::npos && (incident == "last" || NumberIn(incident) != 0);
}

absl::StatusOr<v1::Incident> ResolveIncident(OperatorBackend& backend, std::string_view text) {
  if (text.empty()) return OnlyOpen(backend);
  if (text.size() > kLongestReference)
    return absl::InvalidArgumentError("that is too long for an incident's name");
  if (text == "last") return Latest(backend);
  if (const uint64_t number = NumberIn(text); number != 0) {
    auto row = backend.FindNumber("incident", "", number);
    if (!row.ok()) return NoSuch("incident", text, row.status());
    return ParseIncident(*row);
  }
  QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, ByPrefix(backend, "incident", text));
  return ParseIncident(row);
}

absl::StatusOr<v1::CommandEntry> ResolveCommand(OperatorBackend& backend, std::string_view text) {
  QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, Numbered(backend, "command", text));
  return ParseCommand(row);
}

absl::StatusOr<v1::Plan> ResolvePlan(OperatorBackend& backend, std::string_view text) {
  QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, Numbered(backend, "plan", text));
  return ParsePlan(row);
}

// Page by page, and then once more those that have changed since the first page: a host that is heard of
// meanwhile moves to the front, past the place that has been reached.
absl::Status EachHost(OperatorBackend& backend, const std::function<void(const v1::Host&)>& use) {
  constexpr size_t kAtOnce = 1000;
  RowFilter filter;
  for (int pass = 0; pass < 2; ++pass) {
    std::string cursor;
    Micros newest = 0;
    do {
      QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("host", filter, kAtOnce, cursor));
      for (const auto& row : page.rows) {
        newest = std::max(newest, row.time);
        v1::Host host;
        if (host.ParseFromString(row.message)) use(host);
      }
      cursor = page.next_cursor;
    } while (!cursor.empty());
    filter.since = newest;
  }
  return absl::OkStatus();
}

}  // namespace quell::operators
