// Who may call what: one table, a row per method of the service; a test sweeps the service's descriptor
// against it. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/time.h"
#include "quell/v1/options.pb.h"

namespace quell::operators {

enum class Role { kNone = 0, kViewer = 1, kResponder = 2, kApprover = 3, kAdmin = 4 };

// Who asks: by the Unix socket, or by a certificate, whose role is what the log says at this call.
struct Caller {
  std::string name;  // person's
  Role role = Role::kNone;
  std::string via;     // "socket", "certificate"
  unsigned uid = 0;    // by the socket
  Micros expires = 0;  // the certificate, wall time; 0: there is none
};

struct RoleRow {
  std::string_view method;  // "/quell.v1.Operator/Status"
  Role least;
};
const std::vector<RoleRow>& RoleTable();

std::string_view RoleName(Role role);
Role RoleOf(std::string_view name);  // kNone for what is none
// PermissionDenied when the caller's role is lower than the method's, or when the method has no row.
absl::Status Authorise(const Caller& caller, std::string_view method);
// A responder runs what its descriptor calls low risk; anything else takes an approver.
absl::Status AuthoriseRun(const Caller& caller, v1::Risk risk);

}  // namespace quell::operators
