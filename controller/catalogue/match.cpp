#include "controller/catalogue/match.h"

#include <algorithm>

namespace quell::catalogue {
namespace {

constexpr char kService[] = "service";

std::string_view LabelOf(const v1::Signal& signal, std::string_view name) {
  for (const v1::Label& label : signal.labels()) {
    if (label.name() == name) return label.value();
  }
  return "";
}

bool IsAbout(const v1::Signal& signal, const Component& component) {
  static constexpr std::string_view kLabels[] = {"app", "datname", "probe"};
  if (LabelOf(signal, kLabels[static_cast<size_t>(component.kind)]) != Subject(component)) return false;
  return component.user.empty() || LabelOf(signal, "user") == component.user;
}

const Service* ServiceOfKind(const Catalogue& catalogue, const v1::Signal& signal, Kind kind,
                             const std::map<std::string, std::string>* labels) {
  const Service* found = nullptr;
  for (const Service& service : catalogue.services) {
    for (const Component& component : service.components) {
      if (component.kind != kind || !IsAbout(signal, component)) continue;
      if (labels != nullptr && Selects(component.hosts, *labels)) return &service;
      if (labels != nullptr) continue;
      if (found != nullptr && found != &service) return nullptr;
      found = &service;
    }
  }
  return found;
}

// Labels are sorted by name.
void PutService(const std::string& name, v1::Signal& signal) {
  v1::Label* label = signal.add_labels();
  label->set_name(kService);
  label->set_value(name);
  std::stable_sort(signal.mutable_labels()->begin(), signal.mutable_labels()->end(),
                   [](const v1::Label& a, const v1::Label& b) { return a.name() < b.name(); });
}

const Service* Find(const Catalogue& catalogue, std::string_view name) {
  const auto found = std::find_if(catalogue.services.begin(), catalogue.services.end(),
                                  [&](const Service& service) { return service.name == name; });
  return found == catalogue.services.end() ? nullptr : &*found;
}

}  // namespace

bool Selects(const Selector& selector, const std::map<std::string, std::string>& labels) {
  return std::all_of(selector.begin(), selector.end(), [&](const auto& wanted) {
    const auto found = labels.find(wanted.first);
    return found != labels.end() && found->second == wanted.second;
  });
}

const Service* ServiceOf(const Catalogue& catalogue, const v1::Signal& signal,
                         const std::map<std::string, std::string>* labels) {
  for (const Kind kind : {Kind::kPm2, Kind::kPostgres, Kind::kExternal}) {
    if (const Service* service = ServiceOfKind(catalogue, signal, kind, labels)) return service;
  }
  return nullptr;
}

void Name(const Catalogue& catalogue, const std::map<std::string, std::string>* labels, v1::Signal& signal) {
  const Service* service = nullptr;
  if (const std::string_view own = LabelOf(signal, kService); !own.empty()) {
    service = Find(catalogue, own);
  } else if ((service = ServiceOf(catalogue, signal, labels)) != nullptr) {
    PutService(service->name, signal);
  }
  if (service == nullptr || service->max_severity == v1::SEVERITY_UNSPECIFIED) return;
  if (signal.severity() != v1::SEVERITY_UNSPECIFIED)
    signal.set_severity(std::max(signal.severity(), service->max_severity));
}

}  // namespace quell::catalogue
