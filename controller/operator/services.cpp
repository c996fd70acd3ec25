#include "controller/operator/services.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/base/status.h"
#include "controller/catalogue/draft.h"
#include "controller/catalogue/own.h"
#include "controller/operator/references.h"

namespace quell::operators {
namespace {

constexpr size_t kMostIncidents = 1'000;

using SeenByName = std::map<std::string, catalogue::SeenHost, std::less<>>;

absl::Status SeeHosts(OperatorBackend& backend, SeenByName& hosts) {
  return EachHost(backend, [&](const v1::Host& host) {
    if (host.revoked()) return;
    catalogue::SeenHost& seen = hosts[host.name()];
    seen.name = host.name();
    seen.labels = {host.labels().begin(), host.labels().end()};
    for (const std::string& app : host.apps()) {
      if (const size_t slash = app.find('/'); slash != std::string::npos)
        seen.apps.emplace(app.substr(0, slash), app.substr(slash + 1));
    }
  });
}

// Calls `see` with the host and the labels of each element of a query over all series.
template <typename See>
absl::Status SeeSeries(OperatorBackend& backend, const char* expr, SeenByName& hosts, const See& see) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<QuerySeries> series, backend.Query(expr, 0, 0));
  for (const QuerySeries& one : series) {
    if (auto host = hosts.find(one.labels.Get("instance")); host != hosts.end())
      see(host->second, one.labels);
  }
  return absl::OkStatus();
}

std::string Get(const Labels& labels, std::string_view name) { return std::string(labels.Get(name)); }

absl::StatusOr<std::vector<catalogue::SeenHost>> See(OperatorBackend& backend) {
  SeenByName hosts;
  QUELL_RETURN_IF_ERROR(SeeHosts(backend, hosts));
  QUELL_RETURN_IF_ERROR(
      SeeSeries(backend,
                "count by (instance, datname) "
                R"(({__name__=~"pg_stat_database_numbackends|pg_database_size_bytes", datname!=""}))",
                hosts, [](catalogue::SeenHost& host, const Labels& labels) {
                  host.databases.insert(Get(labels, "datname"));
                }));
  QUELL_RETURN_IF_ERROR(
      SeeSeries(backend, R"(count by (instance, probe, user, app) (probe_success{probe!=""}))", hosts,
                [](catalogue::SeenHost& host, const Labels& labels) {
                  host.probes.insert({Get(labels, "probe"), Get(labels, "user"), Get(labels, "app")});
                }));
  std::vector<catalogue::SeenHost> seen;
  for (auto& [name, host] : hosts) seen.push_back(std::move(host));
  return seen;
}

Json TextOrNull(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json ComponentJson(const catalogue::Component& component,
                   const std::vector<const catalogue::SeenHost*>& hosts) {
  Json names = Json::array();
  for (const catalogue::SeenHost* host : hosts) names.push_back(host->name);
  return {{"name", component.name},
          {"kind", std::string(catalogue::KindName(component.kind))},
          {"user", TextOrNull(component.user)},
          {"app", TextOrNull(component.app)},
          {"database", TextOrNull(component.database)},
          {"probe", TextOrNull(component.probe)},
          {"core", component.core},
          {"capability", TextOrNull(component.capability)},
          {"selector", Json(component.hosts)},
          {"hosts", std::move(names)}};
}

Json IncidentRef(const v1::Incident& incident) {
  return {{"id", incident.id()},
          {"number", incident.number()},
          {"severity", SeverityName(incident.severity())},
          {"status", StatusName(incident.status())},
          {"title", incident.title()}};
}

class List {
 public:
  List(const catalogue::Catalogue& catalogue, bool configured, const std::vector<catalogue::SeenHost>& hosts,
       const std::vector<v1::Incident>& incidents)
      : catalogue_(catalogue), configured_(configured), hosts_(hosts), incidents_(incidents) {
    for (const catalogue::Service& service : catalogue.services) names_.insert(service.name);
  }

  Json Make() const {
    Json out = Json::array();
    for (const catalogue::Service& service : catalogue_.services) out.push_back(Of(service));
    return out;
  }

 private:
  Json Of(const catalogue::Service& service) const {
    Json components = Json::array(), incidents = Json::array();
    std::set<std::string> hosts;
    for (const catalogue::Component& component : service.components) {
      const auto on = catalogue::HostsOf(component, hosts_);
      for (const catalogue::SeenHost* host : on) hosts.insert(host->name);
      components.push_back(ComponentJson(component, on));
    }
    for (const v1::Incident& incident : incidents_) {
      if (IsAbout(incident, service, hosts)) incidents.push_back(IncidentRef(incident));
    }
    return {{"name", service.name},
            {"from", configured_ ? "catalogue" : "hosts"},
            {"max_severity", service.max_severity == v1::SEVERITY_UNSPECIFIED
                                 ? Json(nullptr)
                                 : Json(SeverityName(service.max_severity))},
            {"components", std::move(components)},
            {"hosts", Json(hosts)},
            {"incidents", std::move(incidents)},
            {"depends", Json(service.depends)},
            {"contacts", Json(service.contacts)},
            {"channels", Json(service.channels)},
            {"links", Json(service.links)}};
  }

  // By its name; or, of an incident from before it had one, by its app's or database's on one of its hosts.
  bool IsAbout(const v1::Incident& incident, const catalogue::Service& service,
               const std::set<std::string>& hosts) const {
    for (const std::string& name : incident.services()) {
      if (name == service.name) return true;
      if (names_.contains(name)) continue;
      const bool ours = std::any_of(service.components.begin(), service.components.end(),
                                    [&](const auto& component) { return Subject(component) == name; });
      const bool here = std::any_of(incident.hosts().begin(), incident.hosts().end(),
                                    [&](const std::string& host) { return hosts.contains(host); });
      if (ours && here) return true;
    }
    return false;
  }

  const catalogue::Catalogue& catalogue_;
  const bool configured_;
  const std::vector<catalogue::SeenHost>& hosts_;
  const std::vector<v1::Incident>& incidents_;
  std::set<std::string> names_;
};

}  // namespace

absl::StatusOr<Json> Services(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<catalogue::SeenHost> hosts, See(backend));
  QUELL_ASSIGN_OR_RETURN(const RowPage page, backend.List("incident", RowFilter{}, kMostIncidents, ""));
  std::vector<v1::Incident> incidents;
  for (const auto& row : page.rows) {
    QUELL_ASSIGN_OR_RETURN(v1::Incident incident, ParseIncident(row));
    incidents.push_back(std::move(incident));
  }
  if (const auto configured = backend.Catalogue()) return List(*configured, true, hosts, incidents).Make();
  const catalogue::Catalogue own = catalogue::OwnServices(hosts);
  return List(own, false, hosts, incidents).Make();
}

absl::StatusOr<Json> DraftDocument(OperatorBackend& backend) {
  QUELL_ASSIGN_OR_RETURN(const std::vector<catalogue::SeenHost> hosts, See(backend));
  return Json{{"catalogue", catalogue::Draft(hosts)}};
}

}  // namespace quell::operators
