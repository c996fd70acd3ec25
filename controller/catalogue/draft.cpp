#include "controller/catalogue/draft.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text/encode.h"
#include "controller/catalogue/loader.h"
#include "controller/catalogue/match.h"

namespace quell::catalogue {
namespace {

constexpr size_t kHostsListed = 200;  // at the head of the draft
constexpr size_t kHostsOfOne = 10;    // beside a service
constexpr size_t kLongestShown = 80;  // bytes of a name in a comment

constexpr char kHead[] =
    "# A draft for /etc/quell/catalogue.yaml, the file beside controller.yaml, from what is seen now. Each "
    "app and\n"
    "# each database is a service of its own here, as it is without this file. Make one service of what "
    "belongs\n"
    "# together, then give it depends, max_severity and contacts; SIGHUP loads the file anew.\n#\n";

// A name as a value: JSON's quoted string, which YAML reads.
std::string Quoted(const std::string& name) { return text::Json(name); }

// Any name, in a comment: one line, and nothing in it that a terminal would obey.
std::string Shown(const std::string& name) {
  return text::Json(text::Terminal(text::Cut(name, kLongestShown)));
}

std::string Names(const std::vector<const SeenHost*>& hosts) {
  std::vector<std::string> names;
  for (const SeenHost* host : hosts) {
    if (names.size() < kHostsOfOne) names.push_back(Shown(host->name));
  }
  std::string out = absl::StrJoin(names, ", ");
  if (hosts.size() > names.size()) absl::StrAppend(&out, " and ", hosts.size() - names.size(), " more");
  return out;
}

std::string Pairs(const std::map<std::string, std::string>& labels) {
  return absl::StrJoin(labels, ", ", [](std::string* out, const auto& label) {
    absl::StrAppend(out, Shown(label.first), ": ", Shown(label.second));
  });
}

std::string HostLines(const std::vector<SeenHost>& hosts) {
  std::string out;
  for (size_t i = 0; i < std::min(hosts.size(), kHostsListed); ++i)
    absl::StrAppend(&out, "# host ", Shown(hosts[i].name), ", labels {", Pairs(hosts[i].labels), "}\n");
  if (hosts.size() > kHostsListed)
    absl::StrAppend(&out, "# and ", hosts.size() - kHostsListed, " more hosts\n");
  return out;
}

// The labels that these hosts and no others have in common; empty when there are none.
Selector JustThese(const std::vector<const SeenHost*>& these, const std::vector<SeenHost>& all) {
  if (these.empty()) return {};
  Selector common = these.front()->labels;
  for (const SeenHost* host : these) {
    std::erase_if(common, [&](const auto& label) { return !Selects({label}, host->labels); });
  }
  const auto selected = static_cast<size_t>(std::count_if(
      all.begin(), all.end(), [&](const SeenHost& host) { return Selects(common, host.labels); }));
  return selected == these.size() ? common : Selector();
}

bool MayBeHeld(const Service& service) {
  const Component& component = service.components.front();
  return IsName(service.name) && IsName(Subject(component)) &&
         (component.kind != Kind::kPm2 || IsName(component.user));
}

std::string LeftOut(const Component& component, const std::vector<SeenHost>& hosts) {
  const std::string of = component.kind == Kind::kPm2 ? absl::StrCat(" of ", Shown(component.user)) : "";
  return absl::StrCat("# left out, for its name: the ", component.name, " ", Shown(Subject(component)), of,
                      " on ", Names(HostsOf(component, hosts)), "\n");
}

std::string ChecksLine(const Service& service) {
  std::vector<std::string> checks;
  std::string odd;
  for (const Check& check : service.checks) {
    if (IsName(check.probe))
      checks.push_back(absl::StrCat("{probe: ", Quoted(check.probe), "}"));
    else
      absl::StrAppend(&odd, "  # left out, for its name: the probe ", Shown(check.probe), "\n");
  }
  if (checks.empty()) return odd;
  return absl::StrCat(odd, "  checks: [", absl::StrJoin(checks, ", "), "]\n");
}

std::string ServiceText(const Service& service, const std::vector<SeenHost>& hosts) {
  const Component& component = service.components.front();
  const std::vector<const SeenHost*> on = HostsOf(component, hosts);
  const std::string what = component.kind == Kind::kPm2
                               ? absl::StrCat("kind: pm2, user: ", Quoted(component.user), ", app: ")
                               : "kind: postgres, database: ";
  std::string out = absl::StrCat("# on ", Names(on), "\n- name: ", Quoted(service.name), "\n  components:\n");
  if (const Selector labels = JustThese(on, hosts); !labels.empty())
    absl::StrAppend(&out, "  # to name just these hosts: hosts: {", Pairs(labels), "}\n");
  absl::StrAppend(&out, "  - {name: ", component.name, ", ", what, Quoted(Subject(component)), "}\n",
                  ChecksLine(service));
  return out;
}

// Of nobody's app: what it tells only people know.
std::string OtherProbes(const std::vector<SeenHost>& hosts) {
  std::set<std::string> names;
  for (const SeenHost& host : hosts) {
    for (const SeenProbe& probe : host.probes)
      if (probe.app.empty()) names.insert(probe.name);
  }
  std::string out;
  for (const std::string& name : names) {
    if (out.size() > kLongestDraft / 8) return out + "# and more\n";
    absl::StrAppend(&out, "# a probe about no app: ", Shown(name),
                    ", for a check or a component {kind: external, probe: ", Shown(name), "}\n");
  }
  return out;
}

}  // namespace

std::string Draft(const std::vector<SeenHost>& hosts) {
  const Catalogue own = OwnServices(hosts);
  std::string services, left_out;
  size_t held = 0, no_room = 0;
  for (const Service& service : own.services) {
    const bool fits = MayBeHeld(service);
    std::string text = fits ? ServiceText(service, hosts) : LeftOut(service.components.front(), hosts);
    std::string& part = fits ? services : left_out;
    if (services.size() + left_out.size() + text.size() > kLongestDraft || (fits && held == kMostServices)) {
      ++no_room;
      continue;
    }
    held += fits ? 1 : 0;
    part += text;
  }
  if (no_room > 0) absl::StrAppend(&left_out, "# left out, for want of room: ", no_room, " more\n");
  return absl::StrCat(kHead, HostLines(hosts), OtherProbes(hosts), left_out,
                      services.empty() ? "services: []\n" : "services:\n", services);
}

}  // namespace quell::catalogue
