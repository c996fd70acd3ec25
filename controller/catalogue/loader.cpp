#include "controller/catalogue/loader.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/ids.h"
#include "common/base/utf8.h"
#include "common/text/encode.h"
#include "controller/catalogue/checks.h"

namespace quell::catalogue {
namespace {

using config::MapReader;
using config::Problems;
using config::YamlNode;

constexpr std::string_view kDays[] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

// "mon 09:00"
bool IsHandover(std::string_view text) {
  if (text.size() != 9 || text[3] != ' ' || text[6] != ':') return false;
  if (std::find(std::begin(kDays), std::end(kDays), text.substr(0, 3)) == std::end(kDays)) return false;
  int hour = 0, minute = 0;
  return absl::SimpleAtoi(absl::string_view(text.data() + 4, 2), &hour) &&
         absl::SimpleAtoi(absl::string_view(text.data() + 7, 2), &minute) && hour >= 0 && hour < 24 &&
         minute >= 0 && minute < 60;
}

class Loader {
 public:
  explicit Loader(Problems& problems) : problems_(problems) {}

  Catalogue Load(const YamlNode& root) {
    MapReader map(root, problems_, "catalogue.yaml");
    map.Entries("people", [this](const YamlNode& key, const YamlNode& node) { ReadPerson(key, node); });
    map.Entries("schedules", [this](const YamlNode& key, const YamlNode& node) { ReadSchedule(key, node); });
    map.Each("services", [this](const YamlNode& node) { ReadService(node); });
    map.Finish();
    CheckClaims(components_, problems_);
    return std::move(catalogue_);
  }

 private:
  void ReadPerson(const YamlNode& key, const YamlNode& node) {
    Person& person = catalogue_.people[key.scalar];
    if (!IsPersonName(key.scalar))
      problems_.Add(key.At("a person's name is of lower-case letters, digits and hyphens, at most 64"));
    MapReader map(node, problems_, "a person");
    map.String("email", &person.email);
    map.String("phone", &person.phone);
    map.String("zone", &person.zone);
    map.Finish();
  }

  void ReadSchedule(const YamlNode& key, const YamlNode& node) {
    Schedule& schedule = catalogue_.schedules[key.scalar];
    if (!IsPersonName(key.scalar))
      problems_.Add(key.At("a schedule's name is of lower-case letters, digits and hyphens, at most 64"));
    MapReader map(node, problems_, "a schedule");
    map.String("zone", &schedule.zone, config::kRequired);
    map.String("handover", &schedule.handover, config::kRequired);
    map.Strings("rota", &schedule.rota, config::kRequired);
    map.Finish();
    const YamlNode* handover = node.Find("handover");
    if (!schedule.handover.empty() && !IsHandover(schedule.handover))
      problems_.Add(handover->At("handover is a day and a time: \"mon 09:00\""));
    const YamlNode* rota = node.Find("rota");
    for (const std::string& name : schedule.rota)
      if (!IsPersonName(name))
        problems_.Add(rota->At(absl::StrCat(text::Json(name), " is no person's name")));
    if (rota != nullptr && rota->kind == YamlNode::Kind::kList && rota->items.empty())
      problems_.Add(rota->At("nobody is in this rota"));
  }

  void ReadService(const YamlNode& node) {
    Service service;
    MapReader map(node, problems_, "a service");
    ReadName(map, "name", "a service's name", &service.name);
    map.Each(
        "components", [&](const YamlNode& item) { ReadComponent(item, service); }, config::kRequired);
    map.Each("checks", [&](const YamlNode& item) { ReadCheck(item, service); });
    ReadDepends(map, service);
    ReadSeverity(map, service);
    map.StringMap("contacts", &service.contacts);
    map.StringMap("channels", &service.channels);
    map.StringMap("links", &service.links);
    map.Finish();
    if (const YamlNode* contacts = node.Find("contacts")) CheckContacts(*contacts, catalogue_, problems_);
    const YamlNode* components = node.Find("components");
    if (components != nullptr && components->kind == YamlNode::Kind::kList && components->items.empty())
      problems_.Add(components->At("a service has at least one component"));
    if (components != nullptr && components->items.size() > kMostComponents)
      problems_.Add(components->At(absl::StrCat("a service has at most ", kMostComponents, " components")));
    if (!service.name.empty() && !names_.insert(service.name).second)
      problems_.Add(node.At(absl::StrCat("there are two services named ", text::Json(service.name))));
    catalogue_.services.push_back(std::move(service));
    if (catalogue_.services.size() == kMostServices + 1)
      problems_.Add(node.At(absl::StrCat("there are more than ", kMostServices, " services")));
  }

  void ReadComponent(const YamlNode& node, Service& service) {
    if (service.components.size() >= kMostComponents) return;
    Component component;
    MapReader map(node, problems_, "a component");
    ReadName(map, "name", "a component's name", &component.name);
    int kind = -1;
    map.Choice("kind", {KindName(Kind::kPm2), KindName(Kind::kPostgres), KindName(Kind::kExternal)}, &kind,
               config::kRequired);
    ReadSubject(map, node, kind, component);
    map.StringMap("hosts", &component.hosts);
    map.Bool("core", &component.core);
    map.String("capability", &component.capability);
    map.Finish();
    const bool twice = std::any_of(service.components.begin(), service.components.end(),
                                   [&](const Component& other) { return other.name == component.name; });
    if (twice && !component.name.empty())
      problems_.Add(
          node.At(absl::StrCat("the service has two components named ", text::Json(component.name))));
    if (kind >= 0) components_.push_back({component, service.name, &node});
    service.components.push_back(std::move(component));
  }

  // Which of app, database and probe it has follows from its kind (-1: a mistake that was told).
  void ReadSubject(MapReader& map, const YamlNode& node, int kind, Component& component) {
    if (kind >= 0) component.kind = static_cast<Kind>(kind);
    const std::pair<const char*, std::string*> keys[] = {
        {"app", &component.app}, {"database", &component.database}, {"probe", &component.probe}};
    for (int i = 0; i < 3; ++i) {
      ReadName(map, keys[i].first, "it", keys[i].second, kind == i);
      if (kind >= 0 && kind != i) Refuse(node, keys[i].first, component.kind);
    }
    ReadName(map, "user", "it", &component.user, false);
    if (kind > 0) Refuse(node, "user", component.kind);
  }

  void Refuse(const YamlNode& node, const char* key, Kind kind) {
    const YamlNode* value = node.Find(key);
    if (value == nullptr || value->kind == YamlNode::Kind::kNull) return;
    const std::string_view name = KindName(kind);
    problems_.Add(value->At(absl::StrCat("a component of the kind ",
                                         absl::string_view(name.data(), name.size()), " has no ", key)));
  }

  void ReadCheck(const YamlNode& node, Service& service) {
    Check check;
    MapReader map(node, problems_, "a check");
    ReadName(map, "probe", "it", &check.probe);
    map.Bool("core", &check.core);
    map.String("capability", &check.capability);
    map.StringMap("from", &check.from);
    map.Int("need", &check.need, 1, 1'000);
    map.Finish();
    service.checks.push_back(std::move(check));
  }

  void ReadDepends(MapReader& map, Service& service) {
    map.Map("depends", [&](const YamlNode& node) {
      MapReader depends(node, problems_, "depends");
      for (const auto& [key, value] : node.entries)
        depends.Strings(key.scalar, &service.depends[key.scalar], config::kRequired);
      CheckDepends(service, node, problems_);
    });
  }

  void ReadSeverity(MapReader& map, Service& service) {
    int severity = -1;
    map.Choice("max_severity", {"P0", "P1", "P2", "P3"}, &severity);
    if (severity >= 0) service.max_severity = static_cast<v1::Severity>(v1::P0 + severity);
  }

  void ReadName(MapReader& map, const char* key, const char* what, std::string* out,
                bool required = config::kRequired) {
    map.String(key, out, required);
    const YamlNode* value = map.node().Find(key);
    if (value == nullptr || value->kind != YamlNode::Kind::kScalar || IsName(value->scalar)) return;
    problems_.Add(value->At(
        absl::StrCat(what, " is of 1 to ", kLongestName, " bytes, without control or invisible characters")));
    out->clear();
  }

  Problems& problems_;
  Catalogue catalogue_;
  std::set<std::string> names_;
  std::vector<Placed> components_;
};

}  // namespace

std::string_view KindName(Kind kind) {
  static constexpr std::string_view kNames[] = {"pm2", "postgres", "external"};
  return kNames[static_cast<size_t>(kind)];
}

const std::string& Subject(const Component& component) {
  switch (component.kind) {
    case Kind::kPm2:
      return component.app;
    case Kind::kPostgres:
      return component.database;
    case Kind::kExternal:
      break;
  }
  return component.probe;
}

bool IsName(std::string_view text) {
  if (text.empty() || text.size() > kLongestName) return false;
  while (!text.empty()) {
    const CodePoint c = DecodeUtf8(text);
    if (!c.valid || IsHazardous(c.value)) return false;
    text.remove_prefix(c.size);
  }
  return true;
}

Catalogue ReadCatalogue(const YamlNode& root, Problems& problems) { return Loader(problems).Load(root); }

Catalogue ParseCatalogue(std::string_view file, std::string_view text, Problems& problems) {
  return ReadCatalogue(config::ParseYaml(file, text, problems), problems);
}

}  // namespace quell::catalogue
