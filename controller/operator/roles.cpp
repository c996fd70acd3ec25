#include "controller/operator/roles.h"

#include "absl/strings/str_cat.h"

namespace quell::operators {
namespace {

absl::string_view View(std::string_view s) { return absl::string_view(s.data(), s.size()); }

absl::Status Denied(const Caller& caller, std::string_view what, Role least) {
  return absl::PermissionDeniedError(absl::StrCat(caller.name, " has the role ", View(RoleName(caller.role)),
                                                  "; ", View(what), " takes the role ",
                                                  View(RoleName(least))));
}

}  // namespace

const std::vector<RoleRow>& RoleTable() {
  static const auto* table = new std::vector<RoleRow>{
      {"/quell.v1.Operator/Status", Role::kViewer},
      {"/quell.v1.Operator/Get", Role::kViewer},
      {"/quell.v1.Operator/Describe", Role::kViewer},  // evidence in it from responder on
      {"/quell.v1.Operator/Evidence", Role::kResponder},
      {"/quell.v1.Operator/Explain", Role::kViewer},
      {"/quell.v1.Operator/Query", Role::kViewer},
      {"/quell.v1.Operator/Draft", Role::kViewer},
      {"/quell.v1.Operator/WhoAmI", Role::kViewer},
      {"/quell.v1.Operator/Version", Role::kViewer},
      {"/quell.v1.Operator/AuditVerify", Role::kAdmin},
      {"/quell.v1.Operator/Declare", Role::kResponder},
      {"/quell.v1.Operator/Acknowledge", Role::kResponder},
      {"/quell.v1.Operator/Take", Role::kResponder},
      {"/quell.v1.Operator/AddNote", Role::kResponder},
      {"/quell.v1.Operator/Resolve", Role::kResponder},
      {"/quell.v1.Operator/Run", Role::kResponder},  // and by the action's risk: AuthoriseRun
      {"/quell.v1.Operator/Approve", Role::kApprover},
      {"/quell.v1.Operator/Sign", Role::kResponder},  // and only what they asked for themselves
      {"/quell.v1.Operator/Deny", Role::kApprover},
      {"/quell.v1.Operator/SetHold", Role::kResponder},
      {"/quell.v1.Operator/EndHold", Role::kApprover},
      {"/quell.v1.Operator/TestNotice", Role::kResponder},
      {"/quell.v1.Operator/StartChange", Role::kResponder},
      {"/quell.v1.Operator/FinishChange", Role::kResponder},
      {"/quell.v1.Operator/MakeToken", Role::kAdmin},
      {"/quell.v1.Operator/RevokeToken", Role::kAdmin},
      {"/quell.v1.Operator/RevokeAgent", Role::kAdmin},
      {"/quell.v1.Operator/DeleteAgent", Role::kAdmin},
      {"/quell.v1.Operator/LabelAgent", Role::kAdmin},
      {"/quell.v1.Operator/SetResponder", Role::kAdmin},
      {"/quell.v1.Operator/RevokeResponder", Role::kAdmin},
  };
  return *table;
}

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kViewer:
      return "viewer";
    case Role::kResponder:
      return "responder";
    case Role::kApprover:
      return "approver";
    case Role::kAdmin:
      return "admin";
    case Role::kNone:
      break;
  }
  return "none";
}

Role RoleOf(std::string_view name) {
  for (const Role role : {Role::kViewer, Role::kResponder, Role::kApprover, Role::kAdmin})
    if (RoleName(role) == name) return role;
  return Role::kNone;
}

absl::Status Authorise(const Caller& caller, std::string_view method) {
  for (const auto& row : RoleTable()) {
    if (row.method != method) continue;
    if (caller.role != Role::kNone && caller.role >= row.least) return absl::OkStatus();
    return Denied(caller, method.substr(method.rfind('/') + 1), row.least);
  }
  return absl::PermissionDeniedError(
      absl::StrCat("nobody may call ", View(method), ": it is in no role's table"));
}

absl::Status AuthoriseRun(const Caller& caller, v1::Risk risk) {
  const Role least = risk == v1::RISK_LOW ? Role::kResponder : Role::kApprover;
  return caller.role >= least ? absl::OkStatus() : Denied(caller, "running this action", least);
}

}  // namespace quell::operators
