#include "controller/policy/bind.h"

#include <charconv>
#include <cmath>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/message.h"

namespace quell::policy {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

const FieldDescriptor* FindActionField(std::string_view name) {
  const Descriptor* type = v1::Action::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->message_type()->options().GetExtension(v1::action_name) == name) return field;
  }
  return nullptr;
}

bool Internal(const FieldDescriptor& field) { return field.options().GetExtension(v1::param_internal); }
bool Required(const FieldDescriptor& field) { return field.options().GetExtension(v1::param_required); }

std::string ParameterNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    if (!Internal(*type.field(i))) names.push_back(type.field(i)->name());
  }
  return absl::StrJoin(names, ", ");
}

template <typename T>
bool ParseNumber(const std::string& text, T* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

absl::Status WrongType(const FieldDescriptor& field, const std::string& value) {
  return absl::InvalidArgumentError(
      absl::StrCat("parameter ", field.name(), ": \"", value, "\" is not of type ", field.cpp_type_name()));
}

absl::Status SetEnum(Message& body, const FieldDescriptor& field, const std::string& value) {
  const auto* number = field.enum_type()->FindValueByName(value);
  if (number == nullptr) return WrongType(field, value);
  body.GetReflection()->SetEnum(&body, &field, number);
  return absl::OkStatus();
}

absl::Status SetParameter(Message& body, const FieldDescriptor& field, const std::string& value) {
  const auto* reflection = body.GetReflection();
  int64_t number = 0;
  uint64_t natural = 0;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection->SetString(&body, &field, value);
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_INT64:
      if (!ParseNumber(value, &number)) return WrongType(field, value);
      reflection->SetInt64(&body, &field, number);
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_INT32:
      if (!ParseNumber(value, &number) || number != static_cast<int32_t>(number))
        return WrongType(field, value);
      reflection->SetInt32(&body, &field, static_cast<int32_t>(number));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT64:
      if (!ParseNumber(value, &natural)) return WrongType(field, value);
      reflection->SetUInt64(&body, &field, natural);
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT32:
      if (!ParseNumber(value, &natural) || natural > UINT32_MAX) return WrongType(field, value);
      reflection->SetUInt32(&body, &field, static_cast<uint32_t>(natural));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_BOOL:
      if (value != "true" && value != "false") return WrongType(field, value);
      reflection->SetBool(&body, &field, value == "true");
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_ENUM:
      return SetEnum(body, field, value);
    default:
      return WrongType(field, value);
  }
}

absl::StatusOr<const FieldDescriptor*> FindParameter(const Descriptor& type, const std::string& name) {
  const FieldDescriptor* field = type.FindFieldByName(name);
  if (field != nullptr && !Internal(*field)) return field;
  return absl::InvalidArgumentError(absl::StrCat(type.options().GetExtension(v1::action_name),
                                                 " has no parameter \"", name,
                                                 "\" (it has: ", ParameterNames(type), ")"));
}

absl::Status CheckRequired(const Descriptor& type, const std::map<std::string, std::string>& with) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!Required(field)) continue;
    auto given = with.find(field.name());
    if (given != with.end() && !given->second.empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(type.options().GetExtension(v1::action_name),
                                                   " needs the parameter \"", field.name(), "\""));
  }
  return absl::OkStatus();
}

absl::Status UnknownAction(std::string_view name) {
  return absl::InvalidArgumentError(absl::StrCat("there is no action \"", View(name),
                                                 "\" (there are: ", absl::StrJoin(ActionNames(), ", "), ")"));
}

// The processes that the evidence speaks of: the facts that were looked up when the signal fired. One that is
// gone (pid 0) is expected too, by its start: whoever has started the app since must not have it restarted.
void FillExpected(const v1::Signal& signal, v1::Action& action) {
  if (!action.has_pm2_restart()) return;
  std::map<int64_t, v1::Pm2Process> processes;
  for (const v1::Fact& fact : signal.facts()) {
    int64_t pm_id = 0;
    for (const v1::Label& label : fact.series().labels()) {
      if (label.name() != "pm_id" || !ParseNumber(label.value(), &pm_id)) continue;
      v1::Pm2Process& process = processes[pm_id];
      process.set_pm_id(pm_id);
      if (fact.series().name() == "pm2_app_pid") process.set_pid(static_cast<int64_t>(fact.value()));
      if (fact.series().name() == "pm2_app_started_seconds")
        process.set_started_ms(std::llround(fact.value() * 1e3));
    }
  }
  for (const auto& [pm_id, process] : processes) *action.mutable_pm2_restart()->add_expect() = process;
}

std::string FieldText(const Message& body, std::string_view name) {
  const FieldDescriptor* field = body.GetDescriptor()->FindFieldByName(std::string(name));
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING || field->is_repeated())
    return "";
  return body.GetReflection()->GetString(body, field);
}

std::vector<std::string> TargetFields(const Message& body) {
  return absl::StrSplit(body.GetDescriptor()->options().GetExtension(v1::action_target), ',',
                        absl::SkipEmpty());
}

}  // namespace

const Descriptor* FindActionType(std::string_view name) {
  const FieldDescriptor* field = FindActionField(name);
  return field == nullptr ? nullptr : field->message_type();
}

std::vector<std::string> ActionNames() {
  std::vector<std::string> names;
  const Descriptor* type = v1::Action::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    names.push_back(type->field(i)->message_type()->options().GetExtension(v1::action_name));
  }
  return names;
}

absl::StatusOr<std::string> LabelReference(const std::string& value) {
  constexpr std::string_view kPrefix = "$labels.";
  if (value.empty() || value[0] != '$') return std::string();
  const auto refuse = [&] {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", value,
        "\" is not one whole label: write $labels.NAME alone, or a literal that does not begin with $"));
  };
  if (value.compare(0, kPrefix.size(), kPrefix) != 0) return refuse();
  std::string name = value.substr(kPrefix.size());
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return refuse();
  for (char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    if (!good) return refuse();
  }
  return name;
}

absl::Status CheckParameters(std::string_view action, const std::map<std::string, std::string>& with) {
  const Descriptor* type = FindActionType(action);
  if (type == nullptr) return UnknownAction(action);
  std::map<std::string, std::string> literals;
  for (const auto& [name, value] : with) {
    auto field = FindParameter(*type, name);
    if (!field.ok()) return field.status();
    auto label = LabelReference(value);
    if (!label.ok()) return label.status();
    if (!label->empty()) continue;
    v1::Action scratch;
    Message* body = scratch.GetReflection()->MutableMessage(&scratch, FindActionField(action));
    if (absl::Status set = SetParameter(*body, **field, value); !set.ok()) return set;
  }
  return CheckRequired(*type, with);
}

absl::StatusOr<v1::Action> BuildAction(std::string_view action,
                                       const std::map<std::string, std::string>& parameters) {
  const FieldDescriptor* kind = FindActionField(action);
  if (kind == nullptr) return UnknownAction(action);
  if (absl::Status s = CheckRequired(*kind->message_type(), parameters); !s.ok()) return s;
  v1::Action built;
  Message* body = built.GetReflection()->MutableMessage(&built, kind);
  for (const auto& [name, value] : parameters) {
    auto field = FindParameter(*kind->message_type(), name);
    if (!field.ok()) return field.status();
    if (absl::Status set = SetParameter(*body, **field, value); !set.ok()) return set;
  }
  return built;
}

absl::StatusOr<v1::Action> BindStep(const v1::PolicyStep& step, const v1::Signal& signal) {
  std::map<std::string, std::string> values;
  for (const auto& [name, value] : step.with()) {
    auto label = LabelReference(value);
    if (!label.ok()) return label.status();
    if (label->empty()) {
      values[name] = value;
      continue;
    }
    for (const v1::Label& l : signal.labels()) {
      if (l.name() == *label) values[name] = l.value();
    }
    if (values[name].empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the signal has no label \"", *label, "\" for ", name));
    }
  }
  auto action = BuildAction(step.action(), values);
  if (action.ok()) FillExpected(signal, *action);
  return action;
}

const Message* ActionBody(const v1::Action& action) {
  const auto* field = action.GetReflection()->GetOneofFieldDescriptor(
      action, v1::Action::descriptor()->FindOneofByName("kind"));
  return field == nullptr ? nullptr : &action.GetReflection()->GetMessage(action, field);
}

std::string ActionName(const v1::Action& action) {
  const Message* body = ActionBody(action);
  return body == nullptr ? "" : body->GetDescriptor()->options().GetExtension(v1::action_name);
}

v1::Risk ActionRisk(const v1::Action& action) {
  const Message* body = ActionBody(action);
  return body == nullptr ? v1::RISK_HIGH : body->GetDescriptor()->options().GetExtension(v1::action_risk);
}

bool EndsProcess(const v1::Action& action) {
  const Message* body = ActionBody(action);
  return body != nullptr && body->GetDescriptor()->options().GetExtension(v1::action_ends_process);
}

std::string TargetOf(const v1::Action& action) {
  const Message* body = ActionBody(action);
  if (body == nullptr) return "";
  std::vector<std::string> values;
  for (const std::string& name : TargetFields(*body)) values.push_back(FieldText(*body, name));
  return absl::StrJoin(values, "/");
}

std::string Describe(const v1::Action& action) {
  const std::string target = TargetOf(action);
  return target.empty() ? ActionName(action) : ActionName(action) + " " + target;
}

bool IsOwnTarget(const v1::Action& action) {
  const Message* body = ActionBody(action);
  if (body == nullptr) return false;
  for (const std::string& name : TargetFields(*body)) {
    if (FieldText(*body, name).compare(0, 5, "quell") == 0) return true;
  }
  return false;
}

std::string UserOf(const v1::Action& action) {
  const Message* body = ActionBody(action);
  return body == nullptr ? "" : FieldText(*body, "user");
}

}  // namespace quell::policy
