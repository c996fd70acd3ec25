#include "controller/catalogue/checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/ids.h"
#include "common/text/encode.h"

namespace quell::catalogue {
namespace {

using config::Problems;
using config::YamlNode;

// Follows `depends` from component to component; each cycle is told once, where its first member is a key.
class Cycles {
 public:
  Cycles(const Service& service, const YamlNode& node, Problems& problems)
      : service_(service), node_(node), problems_(problems) {}
  void Find() {
    for (const auto& [key, value] : node_.entries) Visit(key.scalar);
  }

 private:
  void Visit(const std::string& name) {
    if (done_.contains(name)) return;
    if (auto begin = std::find(path_.begin(), path_.end(), name); begin != path_.end()) return Tell(begin);
    path_.push_back(name);
    if (auto needs = service_.depends.find(name); needs != service_.depends.end()) {
      for (const std::string& next : needs->second) Visit(next);
    }
    path_.pop_back();
    done_.insert(name);
  }
  void Tell(std::vector<std::string>::const_iterator begin) {
    std::vector<std::string> cycle(begin, path_.cend());
    cycle.push_back(*begin);
    for (const auto& [key, value] : node_.entries) {
      if (key.scalar != *begin) continue;
      problems_.Add(key.At(absl::StrCat("depends goes round in a circle: ", absl::StrJoin(cycle, " -> "))));
    }
  }

  const Service& service_;
  const YamlNode& node_;
  Problems& problems_;
  std::vector<std::string> path_;  // at most as long as the service has components
  std::set<std::string> done_;
};

bool HasComponent(const Service& service, const std::string& name) {
  return std::any_of(service.components.begin(), service.components.end(),
                     [&](const Component& c) { return c.name == name; });
}

void CheckName(const Service& service, const YamlNode& name, Problems& problems) {
  if (name.kind != YamlNode::Kind::kScalar || HasComponent(service, name.scalar)) return;
  problems.Add(name.At(absl::StrCat("the service has no component ", text::Json(name.scalar))));
}

}  // namespace

void CheckDepends(const Service& service, const YamlNode& node, Problems& problems) {
  const size_t before = problems.mistakes().size();
  for (const auto& [key, value] : node.entries) {
    CheckName(service, key, problems);
    CheckName(service, value, problems);
    for (const YamlNode& item : value.items) CheckName(service, item, problems);
  }
  if (problems.mistakes().size() == before) Cycles(service, node, problems).Find();
}

void CheckClaims(const std::vector<Placed>& components, Problems& problems) {
  using Claim = std::tuple<Kind, std::string, Selector>;
  std::map<Claim, std::vector<const Placed*>> claims;
  for (const Placed& placed : components) {
    const Component& c = placed.component;
    if (Subject(c).empty()) continue;
    auto& known = claims[{c.kind, Subject(c), c.hosts}];
    const auto same = std::find_if(known.begin(), known.end(), [&](const Placed* other) {
      const std::string& user = other->component.user;
      return user == c.user || user.empty() || c.user.empty();
    });
    if (same != known.end()) {
      problems.Add(placed.node->At(
          absl::StrCat("component ", text::Json(c.name), " of ", text::Json(placed.service),
                       " is on the same hosts the same as ", text::Json((*same)->component.name), " of ",
                       text::Json((*same)->service), " in line ", (*same)->node->line)));
    }
    known.push_back(&placed);
  }
}

void CheckContacts(const YamlNode& contacts, const Catalogue& catalogue, Problems& problems) {
  constexpr std::string_view kSchedule = "schedule:";
  for (const auto& [role, who] : contacts.entries) {
    if (who.kind != YamlNode::Kind::kScalar) continue;
    const bool scheduled = who.scalar.compare(0, kSchedule.size(), kSchedule) == 0;
    const std::string name = scheduled ? who.scalar.substr(kSchedule.size()) : who.scalar;
    if (scheduled && !catalogue.schedules.contains(name))
      problems.Add(who.At(absl::StrCat("there is no schedule ", text::Json(name))));
    if (!scheduled && !IsPersonName(name))
      problems.Add(who.At("a contact is a person's name, or schedule:NAME"));
  }
}

}  // namespace quell::catalogue
