#include "controller/catalogue/own.h"

#include <utility>

#include "controller/catalogue/match.h"

namespace quell::catalogue {
namespace {

using App = std::pair<std::string, std::string>;  // user, app

bool Has(const SeenHost& host, const Component& component) {
  switch (component.kind) {
    case Kind::kPm2:
      if (!component.user.empty()) return host.apps.contains({component.user, component.app});
      for (const auto& [user, app] : host.apps) {
        if (app == component.app) return true;
      }
      return false;
    case Kind::kPostgres:
      return host.databases.contains(component.database);
    case Kind::kExternal:
      break;
  }
  for (const SeenProbe& probe : host.probes) {
    if (probe.name == component.probe) return true;
  }
  return false;
}

bool IsTemplate(const std::string& database) { return database == "template0" || database == "template1"; }

class Names {
 public:
  // The first of the two that is free, else the second with a number.
  std::string Take(const std::string& name, const std::string& longer) {
    for (const std::string& wanted : {name, longer}) {
      if (taken_.insert(wanted).second) return wanted;
    }
    for (int n = 2;; ++n) {
      std::string numbered = longer + "-" + std::to_string(n);
      if (taken_.insert(numbered).second) return numbered;
    }
  }

 private:
  std::set<std::string> taken_;
};

Service Of(std::string name, Component component) {
  Service service;
  service.name = std::move(name);
  service.components.push_back(std::move(component));
  return service;
}

}  // namespace

std::vector<const SeenHost*> HostsOf(const Component& component, const std::vector<SeenHost>& hosts) {
  std::vector<const SeenHost*> found;
  for (const SeenHost& host : hosts) {
    if (Selects(component.hosts, host.labels) && Has(host, component)) found.push_back(&host);
  }
  return found;
}

Catalogue OwnServices(const std::vector<SeenHost>& hosts) {
  std::map<App, std::set<std::string>> apps;  // with their probes
  std::map<std::string, int> users_of;        // by app
  std::set<std::string> databases;
  for (const SeenHost& host : hosts) {
    for (const App& app : host.apps) users_of[app.second] += apps.try_emplace(app).second ? 1 : 0;
    for (const std::string& database : host.databases)
      if (!IsTemplate(database)) databases.insert(database);
  }
  for (const SeenHost& host : hosts) {
    for (const SeenProbe& probe : host.probes) {
      if (auto app = apps.find({probe.user, probe.app}); app != apps.end()) app->second.insert(probe.name);
    }
  }
  Names names;
  Catalogue own;
  for (const auto& [app, probes] : apps) {
    const std::string longer = app.first + "/" + app.second;
    Service service = Of(names.Take(users_of[app.second] > 1 ? longer : app.second, longer),
                         {.name = "app", .kind = Kind::kPm2, .user = app.first, .app = app.second});
    for (const std::string& probe : probes) service.checks.push_back({.probe = probe});
    own.services.push_back(std::move(service));
  }
  for (const std::string& database : databases) {
    own.services.push_back(Of(names.Take(database, "database/" + database),
                              {.name = "database", .kind = Kind::kPostgres, .database = database}));
  }
  return own;
}

}  // namespace quell::catalogue
