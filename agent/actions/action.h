// An action answers three questions; everything dangerous around it (sanction, journal, deadline, duplicates,
// dry run, evidence budget) belongs to the executor. Runs inside quell-worker, as the target's user, once.
// One thread.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"

namespace quell::agent {

class Action {
 public:
  virtual ~Action() = default;
  // Is the target what the evidence says? refusal and reason when not; `before` filled.
  virtual v1::WorkerResult Check(const v1::WorkerRequest& request, Clock& clock) = 0;
  // Takes the named evidence within the request's budget; what could not be had is listed with the reason.
  virtual v1::WorkerResult Evidence(const v1::WorkerRequest& request, Clock& clock) = 0;
  // Checks once more, then does it.
  virtual v1::WorkerResult Run(const v1::WorkerRequest& request, Clock& clock) = 0;
};

struct ActionRow {
  std::string_view name;  // as in the message's option action_name
  v1::Action::KindCase kind;
  std::unique_ptr<Action> (*make)();
};
const std::vector<ActionRow>& ActionRegistry();
// nullptr when this build does not know it.
const ActionRow* FindAction(v1::Action::KindCase kind);

}  // namespace quell::agent
