#include "controller/operator/evidence.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "controller/operator/references.h"

namespace quell::operators {
namespace {

constexpr size_t kMostCommands = 100;  // of one incident
constexpr size_t kLongestItem = 128;

struct Item {
  std::string name;     // "": the projection was made anew since, and its content has expired
  std::string sha256;   // hex
  std::string missing;  // why it could not be had
  bool kept = false;    // its content is still there
  uint64_t bytes = 0;
  Micros expires = 0;
};

using Stored = std::map<std::pair<std::string, std::string>, EvidenceInfo>;  // by name and hex hash

// Contents are filed under a command's id by whoever reports; its own host's are those that the command
// names.
absl::StatusOr<Stored> StoredOf(OperatorBackend& backend, const v1::CommandEntry& command) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<EvidenceInfo> all, backend.Evidence(command.id()));
  const std::set<std::string> own(command.evidence().begin(), command.evidence().end());
  Stored stored;
  for (const EvidenceInfo& info : all) {
    const std::string hash = HexEncode(info.sha256);
    if (own.contains(hash)) stored[{info.name, hash}] = info;
  }
  return stored;
}

Item ItemOf(const Stored& stored, const std::string& name, const std::string& sha256) {
  Item item{name, sha256, "", false, 0, 0};
  const auto found = stored.find({name, sha256});
  if (found == stored.end()) return item;
  item.kept = true;
  item.bytes = found->second.size;
  item.expires = found->second.expires;
  return item;
}

Item MissingItem(const std::string& told) {  // "name: reason"
  const size_t colon = told.find(": ");
  if (colon == std::string::npos) return Item{told, "", "the host did not say why", false, 0, 0};
  return Item{told.substr(0, colon), "", told.substr(colon + 2), false, 0, 0};
}

// Without the host's report (its row goes when the lists are made anew) the contents tell what they are.
std::vector<Item> ItemsFromContents(const Stored& stored, const v1::CommandEntry& command) {
  std::vector<Item> items;
  std::set<std::string> seen;
  for (const auto& [key, info] : stored) {
    items.push_back(ItemOf(stored, key.first, key.second));
    seen.insert(key.second);
  }
  for (const std::string& sha256 : command.evidence())
    if (!seen.contains(sha256)) items.push_back(Item{"", sha256, "", false, 0, 0});
  return items;
}

absl::StatusOr<std::vector<Item>> ItemsOf(OperatorBackend& backend, const v1::CommandEntry& command) {
  QUELL_ASSIGN_OR_RETURN(const Stored stored, StoredOf(backend, command));
  const auto row = backend.Find("evidence", command.id());
  if (absl::IsNotFound(row.status())) return ItemsFromContents(stored, command);
  QUELL_RETURN_IF_ERROR(row.status());
  v1::CommandReported reported;
  if (!reported.ParseFromString(row->message))
    return absl::DataLossError(
        absl::StrCat("reading the evidence of command ", command.id(), ": its row cannot be parsed"));
  std::vector<Item> items;
  const int count = std::min(reported.evidence_names_size(), reported.evidence_sha256_size());
  for (int i = 0; i < count; ++i)
    items.push_back(ItemOf(stored, reported.evidence_names(i), reported.evidence_sha256(i)));
  for (const std::string& told : reported.evidence_missing()) items.push_back(MissingItem(told));
  return items;
}

Json ItemJson(const Item& item) {
  const bool missing = !item.missing.empty();
  return {{"name", item.name.empty() ? Json(nullptr) : Json(item.name)},
          {"sha256", missing ? Json(nullptr) : Json(item.sha256)},
          {"bytes", item.kept ? Json(item.bytes) : Json(nullptr)},
          {"expires_at", TimeJson(item.expires)},
          {"expired", missing ? Json(nullptr) : Json(!item.kept)},
          {"missing", missing ? Json(item.missing) : Json(nullptr)}};
}

// ---- whose

struct Asked {
  uint64_t incident = 0;  // its number; 0: none
  std::string incident_id;
  std::vector<v1::CommandEntry> commands;  // oldest first
};

absl::StatusOr<uint64_t> NumberOf(OperatorBackend& backend, const std::string& incident) {
  if (incident.empty()) return 0;
  QUELL_ASSIGN_OR_RETURN(const engine::ProjectionRow row, backend.Find("incident", incident));
  QUELL_ASSIGN_OR_RETURN(const v1::Incident found, ParseIncident(row));
  return found.number();
}

absl::StatusOr<Asked> Ask(OperatorBackend& backend, std::string_view name) {
  Asked asked;
  if (LooksLikeCommand(name)) {
    QUELL_ASSIGN_OR_RETURN(v1::CommandEntry command, ResolveCommand(backend, name));
    QUELL_ASSIGN_OR_RETURN(asked.incident, NumberOf(backend, command.incident()));
    asked.incident_id = command.incident();
    asked.commands.push_back(std::move(command));
    return asked;
  }
  QUELL_ASSIGN_OR_RETURN(const v1::Incident incident, ResolveIncident(backend, name));
  asked.incident = incident.number();
  asked.incident_id = incident.id();
  RowFilter filter;
  filter.all = true;
  filter.parent = incident.id();
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("command", filter, kMostCommands, ""));
  for (auto row = page.rows.rbegin(); row != page.rows.rend(); ++row) {
    QUELL_ASSIGN_OR_RETURN(v1::CommandEntry command, ParseCommand(*row));
    asked.commands.push_back(std::move(command));
  }
  return asked;
}

absl::StatusOr<Json> ListOf(OperatorBackend& backend, const Asked& asked) {
  Json commands = Json::array();
  for (const v1::CommandEntry& command : asked.commands) {
    QUELL_ASSIGN_OR_RETURN(Json items, EvidenceItems(backend, command));
    commands.push_back(Json{{"id", command.id()},
                            {"name", CommandName(command, asked.incident)},
                            {"action", command.action()},
                            {"host", command.host()},
                            {"state", StateName(command.state())},
                            {"evidence_seconds", static_cast<double>(command.evidence_ms()) / 1000},
                            {"evidence", std::move(items)}});
  }
  return Json{{"incident", asked.incident_id.empty() ? Json(nullptr) : Json(asked.incident_id)},
              {"commands", std::move(commands)}};
}

// ---- one item's content

struct Found {
  std::string command;  // its name
  Item item;
};

absl::StatusOr<Found> FindItem(OperatorBackend& backend, const Asked& asked, const std::string& name) {
  std::vector<Found> found;
  std::set<std::string> others;
  for (const v1::CommandEntry& command : asked.commands) {
    QUELL_ASSIGN_OR_RETURN(const std::vector<Item> items, ItemsOf(backend, command));
    for (const Item& item : items) {
      if (item.name == name) found.push_back({CommandName(command, asked.incident), item});
      if (!item.name.empty()) others.insert(item.name);
    }
  }
  if (found.size() == 1) return found.front();
  if (found.empty())
    return absl::NotFoundError(absl::StrCat(
        "no evidence is called ", name,
        others.empty() ? "; none was taken" : absl::StrCat("; there are: ", absl::StrJoin(others, ", "))));
  std::vector<std::string> commands;
  for (const Found& one : found) commands.push_back(one.command);
  return absl::InvalidArgumentError(
      absl::StrCat("several commands took ", name, ", so name one of them: ", absl::StrJoin(commands, ", ")));
}

absl::StatusOr<Json> ContentOf(OperatorBackend& backend, const Asked& asked, const std::string& name) {
  QUELL_ASSIGN_OR_RETURN(const Found found, FindItem(backend, asked, name));
  if (!found.item.missing.empty())
    return absl::NotFoundError(
        absl::StrCat(name, " could not be had before ", found.command, ": ", found.item.missing));
  const absl::Status expired = absl::NotFoundError(
      absl::StrCat("the content of ", name, ", taken before ", found.command, ", has expired"));
  if (!found.item.kept) return expired;
  QUELL_ASSIGN_OR_RETURN(const std::string raw, HexDecode(found.item.sha256));
  auto content = backend.EvidenceContent(raw);
  if (absl::IsNotFound(content.status())) return expired;
  if (!content.ok()) return content.status();
  const bool text = IsUtf8(*content);
  return Json{{"command", found.command},
              {"name", name},
              {"sha256", found.item.sha256},
              {"bytes", content->size()},
              {"encoding", text ? "utf-8" : "base64"},
              {"content", text ? *content : absl::Base64Escape(*content)}};
}

}  // namespace

absl::StatusOr<Json> EvidenceItems(OperatorBackend& backend, const v1::CommandEntry& command) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<Item> items, ItemsOf(backend, command));
  Json out = Json::array();
  for (const Item& item : items) out.push_back(ItemJson(item));
  return out;
}

absl::StatusOr<Json> EvidenceDocument(OperatorBackend& backend, const v1::EvidenceRequest& request) {
  if (request.item().size() > kLongestItem)
    return absl::InvalidArgumentError("that is too long for the name of an item");
  QUELL_ASSIGN_OR_RETURN(const Asked asked, Ask(backend, request.name()));
  return request.item().empty() ? ListOf(backend, asked) : ContentOf(backend, asked, request.item());
}

}  // namespace quell::operators
