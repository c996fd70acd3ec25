#include "agent/executor/action_info.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/ids.h"
#include "quell/v1/options.pb.h"

namespace quell::agent {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kLongestParameter = 512;  // bytes; PM2 itself sets no limit

const Message* Chosen(const v1::Action& action) {
  const auto* oneof = v1::Action::descriptor()->FindOneofByName("kind");
  const FieldDescriptor* field = action.GetReflection()->GetOneofFieldDescriptor(action, oneof);
  return field == nullptr ? nullptr : &action.GetReflection()->GetMessage(action, field);
}

std::vector<const Descriptor*> AllActions() {
  std::vector<const Descriptor*> all;
  const auto* oneof = v1::Action::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < oneof->field_count(); ++i) all.push_back(oneof->field(i)->message_type());
  return all;
}

std::string TextField(const Message& message, const std::string& name) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
  if (field == nullptr || field->is_repeated() || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING)
    return "";
  return message.GetReflection()->GetString(message, field);
}

// useradd's own form (shadow-utils NAME_REGEX of Debian), so that no path, option or number passes for a
// name.
bool IsUserName(std::string_view name) {
  if (name.empty() || name.size() > 32) return false;
  if (!(name[0] == '_' || (name[0] >= 'a' && name[0] <= 'z'))) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return c == '_' || c == '-' || c == '.' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
  });
}

absl::Status CheckText(const std::string& name, const std::string& value, bool required) {
  if (required && value.empty())
    return absl::InvalidArgumentError(absl::StrCat("parameter ", name, " is missing"));
  if (value.size() > kLongestParameter) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", name, " has ", value.size(),
                                                   " bytes; at most ", kLongestParameter, " are taken"));
  }
  if (value.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(absl::StrCat("parameter ", name, " holds a NUL byte"));
  }
  if (name == "user" && !IsUserName(value)) {
    return absl::InvalidArgumentError("parameter user has not the form of a user's name");
  }
  return absl::OkStatus();
}

}  // namespace

ActionInfo DescribeAction(const v1::Action& action) {
  ActionInfo info;
  const Message* message = Chosen(action);
  if (message == nullptr) return info;
  const auto& options = message->GetDescriptor()->options();
  info.name = options.GetExtension(v1::action_name);
  info.ends_process = options.GetExtension(v1::action_ends_process);
  for (absl::string_view field :
       absl::StrSplit(options.GetExtension(v1::action_target), ',', absl::SkipEmpty())) {
    info.target.push_back(TextField(*message, std::string(field)));
  }
  info.user = TextField(*message, "user");
  info.looks_as = options.GetExtension(v1::action_looks_as);
  info.acts_as = options.GetExtension(v1::action_acts_as);
  return info;
}

std::vector<std::string> ActionNames() {
  std::vector<std::string> names;
  for (const Descriptor* d : AllActions()) names.push_back(d->options().GetExtension(v1::action_name));
  std::sort(names.begin(), names.end());
  return names;
}

std::string ActionsDigest() {
  std::vector<std::string> texts;
  for (const Descriptor* d : AllActions()) texts.push_back(d->DebugString());
  std::sort(texts.begin(), texts.end());
  std::string all;
  for (const std::string& text : texts) absl::StrAppend(&all, text.size(), "\n", text);
  return Sha256(all);
}

absl::Status CheckParameters(const v1::Action& action) {
  const Message* message = Chosen(action);
  if (message == nullptr)
    return absl::InvalidArgumentError("the command names no action that this host knows");
  const Descriptor* type = message->GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_repeated()) {
      if (message->GetReflection()->FieldSize(*message, field) > 1000) {
        return absl::InvalidArgumentError(
            absl::StrCat("parameter ", field->name(), " has more than 1000 values"));
      }
      continue;
    }
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) continue;
    const absl::Status status = CheckText(field->name(), message->GetReflection()->GetString(*message, field),
                                          field->options().GetExtension(v1::param_required));
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace quell::agent
