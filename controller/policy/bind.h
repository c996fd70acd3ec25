// From a policy's step or a person's parameters to a typed action, by reflection over the messages' own
// options. A value is bound whole: it is never spliced into text. Pure.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "google/protobuf/descriptor.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::policy {

// The message of the action of that name; nullptr when this build has none.
const google::protobuf::Descriptor* FindActionType(std::string_view name);
std::vector<std::string> ActionNames();
// InvalidArgument with the nearest truth: unknown action, unknown, internal or missing parameter, a template
// that is more than one whole label.
absl::Status CheckParameters(std::string_view action, const std::map<std::string, std::string>& with);
// "$labels.app" -> "app"; "" for a literal; InvalidArgument for anything else that begins with "$".
absl::StatusOr<std::string> LabelReference(const std::string& value);
// Values as they are. InvalidArgument names the parameter.
absl::StatusOr<v1::Action> BuildAction(std::string_view action,
                                       const std::map<std::string, std::string>& parameters);
// `$labels.x` taken from the signal; FailedPrecondition when a required label is missing.
absl::StatusOr<v1::Action> BindStep(const v1::PolicyStep& step, const v1::Signal& signal);

// Of an action: the set message of its oneof; nullptr when none is set.
const google::protobuf::Message* ActionBody(const v1::Action& action);
std::string ActionName(const v1::Action& action);  // "" when none is set
v1::Risk ActionRisk(const v1::Action& action);
bool EndsProcess(const v1::Action& action);
// The values of the fields that name its target, joined by "/": "deploy/boutique-client-portal".
std::string TargetOf(const v1::Action& action);
// "pm2.restart deploy/boutique-client-portal".
std::string Describe(const v1::Action& action);
// True when the target is part of quell itself: nothing may be done to it.
bool IsOwnTarget(const v1::Action& action);
// Name of the user field, "" when it has none.
std::string UserOf(const v1::Action& action);

}  // namespace quell::policy
