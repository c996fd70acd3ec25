#include "controller/engine/readable.h"

#include <vector>

#include "common/base/utf8.h"

namespace quell::engine {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

bool IsReadable(const Message& message);

bool IsReadableField(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
  std::string scratch;
  for (int i = 0; i < count; ++i) {
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      const std::string& text = field->is_repeated()
                                    ? reflection->GetRepeatedStringReference(message, field, i, &scratch)
                                    : reflection->GetStringReference(message, field, &scratch);
      if (!IsUtf8(text)) return false;
    } else if (!IsReadable(field->is_repeated() ? reflection->GetRepeatedMessage(message, field, i)
                                                : reflection->GetMessage(message, field))) {
      return false;
    }
  }
  return true;
}

// Fields that are set and can hold text.
std::vector<const FieldDescriptor*> TextFields(const Message& message) {
  std::vector<const FieldDescriptor*> set, text;
  message.GetReflection()->ListFields(message, &set);
  for (const FieldDescriptor* field : set) {
    const bool holds = field->type() == FieldDescriptor::TYPE_STRING ||
                       field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (holds) text.push_back(field);
  }
  return text;
}

bool IsReadable(const Message& message) {
  for (const FieldDescriptor* field : TextFields(message)) {
    if (!IsReadableField(message, field)) return false;
  }
  return true;
}

void Mend(Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  const bool text = field->type() == FieldDescriptor::TYPE_STRING;
  if (!field->is_repeated()) {
    if (text) return reflection->SetString(&message, field, MakeUtf8(reflection->GetString(message, field)));
    return MakeReadable(*reflection->MutableMessage(&message, field));
  }
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (text) {
      reflection->SetRepeatedString(&message, field, i,
                                    MakeUtf8(reflection->GetRepeatedString(message, field, i)));
    } else {
      MakeReadable(*reflection->MutableRepeatedMessage(&message, field, i));
    }
  }
}

}  // namespace

void MakeReadable(Message& message) {
  for (const FieldDescriptor* field : TextFields(message)) {
    if (!IsReadableField(message, field)) Mend(message, field);
  }
}

}  // namespace quell::engine
