// Answers to what is read: the first screen, lists, descriptions, explanations. Made of rows and of the
// configuration; asks the engine nothing. Stateless over its backend: any thread.
#pragma once
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "controller/operator/backend.h"
#include "controller/operator/json.h"
#include "controller/operator/roles.h"
#include "quell/v1/operator.pb.h"

namespace quell::operators {

struct Listed {
  Json json;  // {"items": […]}
  std::string next_cursor;
};

absl::StatusOr<Json> StatusDocument(OperatorBackend& backend);
// InvalidArgument names the kinds there are; NotFound when a name was given and nothing bears it.
absl::StatusOr<Listed> ListDocument(OperatorBackend& backend, const v1::GetRequest& request);
// Evidence is listed for responders and above.
absl::StatusOr<Json> DescribeDocument(OperatorBackend& backend, const v1::DescribeRequest& request,
                                      const Caller& caller);
// Why something was or was not done: of an incident, a command or a signal's key.
absl::StatusOr<Json> ExplainDocument(OperatorBackend& backend, std::string_view name);
Json WhoAmIDocument(const Caller& caller);
Json VersionDocument(const ProgramInfo& info);
Json AuditDocument(const AuditReport& report);

// An incident with its commands and signals filled in.
absl::StatusOr<Json> FullIncident(OperatorBackend& backend, const v1::Incident& incident, bool timeline);
// A command with its name; its incident's number is looked up.
Json FullCommand(OperatorBackend& backend, const v1::CommandEntry& command);

}  // namespace quell::operators
