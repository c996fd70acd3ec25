#include "controller/store/projection.h"

#include "common/base/ids.h"
#include "common/base/status.h"

namespace quell::store {
namespace {

// People name incidents, commands and plans by number (#417, 417.2): the rows carry it beside the message.
uint64_t NumberOf(const engine::ProjectionRow& row) {
  if (row.kind == "incident") {
    v1::Incident incident;
    return incident.ParseFromString(row.message) ? incident.number() : 0;
  }
  if (row.kind == "command") {
    v1::CommandEntry command;
    return command.ParseFromString(row.message) ? command.number() : 0;
  }
  if (row.kind == "plan") {
    v1::Plan plan;
    return plan.ParseFromString(row.message) ? plan.number() : 0;
  }
  return 0;
}

absl::Status WriteRow(Database& db, const engine::ProjectionRow& row) {
  if (row.removed) {
    return Query(db, "DELETE FROM rows WHERE kind = ?1 AND id = ?2").Text(row.kind).Text(row.id).Run();
  }
  return Query(db,
               "INSERT INTO rows(kind, id, time, open, parent, number, message) VALUES(?1,?2,?3,?4,?5,?6,?7) "
               "ON CONFLICT(kind, id) DO UPDATE SET time=?3, open=?4, parent=?5, number=?6, message=?7")
      .Text(row.kind)
      .Text(row.id)
      .Int(row.time)
      .Int(row.open ? 1 : 0)
      .Text(row.parent)
      .Int(static_cast<int64_t>(NumberOf(row)))
      .Blob(row.message)
      .Run();
}

}  // namespace

absl::Status WriteRows(Database& db, const std::vector<engine::ProjectionRow>& rows) {
  for (const engine::ProjectionRow& row : rows) QUELL_RETURN_IF_ERROR(WriteRow(db, row));
  return absl::OkStatus();
}

absl::Status WriteRuleStates(Database& db, const std::vector<v1::RuleState>& states) {
  for (const v1::RuleState& state : states) {
    if (state.gone()) {
      QUELL_RETURN_IF_ERROR(Query(db, "DELETE FROM rule_state WHERE rule = ?1 AND key = ?2")
                                .Text(state.rule())
                                .Text(state.key())
                                .Run());
      continue;
    }
    const std::string message = state.SerializeAsString();
    v1::RuleState read;
    if (!read.ParseFromString(message)) {
      return absl::InvalidArgumentError("storing a rule's state: it holds text that is not UTF-8");
    }
    QUELL_RETURN_IF_ERROR(Query(db,
                                "INSERT INTO rule_state(rule, key, message) VALUES(?1, ?2, ?3) "
                                "ON CONFLICT(rule, key) DO UPDATE SET message = ?3")
                              .Text(state.rule())
                              .Text(state.key())
                              .Blob(message)
                              .Run());
  }
  return absl::OkStatus();
}

absl::Status WriteBlobs(Database& db, const std::vector<engine::Blob>& blobs) {
  for (const engine::Blob& blob : blobs) {
    if (Sha256(blob.content) != blob.sha256) {
      return absl::InvalidArgumentError(absl::StrCat(
          "storing evidence of ", blob.owner, ": its content does not have the hash it is filed under"));
    }
    QUELL_RETURN_IF_ERROR(
        Query(db,
              "INSERT INTO blobs(owner, name, sha256, expires, content) VALUES(?1,?2,?3,?4,?5) "
              "ON CONFLICT(owner, name, sha256) DO UPDATE SET expires = ?4")
            .Text(blob.owner)
            .Text(blob.name)
            .Blob(blob.sha256)
            .Int(blob.expires)
            .Blob(blob.content)
            .Run());
  }
  return absl::OkStatus();
}

}  // namespace quell::store
