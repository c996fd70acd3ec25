#include "controller/signals/correlation.h"

#include <algorithm>

#include "common/base/utf8.h"

namespace quell::signals {
namespace {

constexpr size_t kLongestTitle = 300;

std::string_view Find(const google::protobuf::RepeatedPtrField<v1::Label>& labels, std::string_view name) {
  for (const v1::Label& label : labels) {
    if (label.name() == name) return label.value();
  }
  return "";
}

}  // namespace

std::string_view LabelOf(const v1::Signal& signal, std::string_view name) {
  return Find(signal.labels(), name);
}

std::string_view AnnotationOf(const v1::Signal& signal, std::string_view name) {
  return Find(signal.annotations(), name);
}

std::string ServiceOf(const v1::Signal& signal) {
  for (std::string_view name : {"service", "app", "datname"}) {
    if (std::string_view value = LabelOf(signal, name); !value.empty()) return std::string(value);
  }
  return "";
}

std::string AppOf(const v1::Signal& signal) {
  const std::string_view user = LabelOf(signal, "user"), app = LabelOf(signal, "app");
  if (user.empty() || app.empty()) return "";
  return std::string(user) + "/" + std::string(app);
}

bool IsSecurity(const v1::Signal& signal) { return LabelOf(signal, "category") == "security"; }

std::string GroupOf(const v1::Signal& signal) {
  if (IsSecurity(signal)) return "security:" + signal.key();
  if (std::string_view service = LabelOf(signal, "service"); !service.empty()) {
    return "service:" + std::string(service);
  }
  if (std::string app = AppOf(signal); !app.empty()) return "app:" + app;
  if (std::string_view host = LabelOf(signal, "instance"); !host.empty()) return "host:" + std::string(host);
  return "alert:" + signal.alert();
}

v1::Severity SeverityOf(const v1::Signal& signal) {
  const v1::Severity severity = signal.severity() == v1::SEVERITY_UNSPECIFIED ? v1::P3 : signal.severity();
  return ServiceOf(signal).empty() ? std::max(severity, v1::P2) : severity;
}

std::string_view NameOf(v1::Severity severity) {
  switch (severity) {
    case v1::P0:
      return "P0";
    case v1::P1:
      return "P1";
    case v1::P2:
      return "P2";
    default:
      return "P3";
  }
}

std::string TitleOf(const v1::Signal& signal) {
  if (std::string_view summary = AnnotationOf(signal, "summary"); !summary.empty()) {
    return std::string(CutUtf8(summary, kLongestTitle));
  }
  std::string title = signal.alert();
  if (std::string app = AppOf(signal); !app.empty()) title += ": " + app;
  if (std::string_view host = LabelOf(signal, "instance"); !host.empty()) title += " on " + std::string(host);
  return title;
}

}  // namespace quell::signals
