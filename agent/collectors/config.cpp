#include "agent/collectors/config.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace quell::agent {
namespace {

using config::kRequired;
using config::MapReader;
using config::Problems;
using config::YamlNode;

constexpr Micros kLeastEvery = 100 * kMillisecond;
constexpr size_t kMostPlaces = 64;  // of each kind whose changes are told
constexpr size_t kLongestPath = 1024;

void Every(MapReader& map, const YamlNode& node, Problems& problems, Micros* out) {
  map.Duration("every", out);
  const YamlNode* every = node.Find("every");
  if (*out < kLeastEvery || *out > kHour)
    problems.Add((every != nullptr ? *every : node).At("every must be between 100ms and 1h"));
}

void ReadHost(const YamlNode& node, Problems& problems, HostConfig& host) {
  MapReader map(node, problems, "collectors.host");
  Every(map, node, problems, &host.every);
  map.Finish();
}

Pm2User ReadPm2User(const YamlNode& node, Problems& problems) {
  Pm2User user;
  if (node.kind == YamlNode::Kind::kScalar) {
    user.user = node.scalar;
  } else {
    MapReader map(node, problems, "collectors.pm2.users");
    map.String("user", &user.user, kRequired);
    map.String("home", &user.home);
    map.Finish();
  }
  if (!user.home.empty() && user.home[0] != '/') problems.Add(node.At("home must be an absolute path"));
  return user;
}

void ReadPm2(const YamlNode& node, Problems& problems, Pm2Config& pm2) {
  MapReader map(node, problems, "collectors.pm2");
  Every(map, node, problems, &pm2.every);
  std::set<std::string> seen;
  map.Each("users", [&](const YamlNode& item) {
    Pm2User user = ReadPm2User(item, problems);
    if (user.user.empty()) return problems.Add(item.At("a PM2 user needs a name"));
    if (!seen.insert(user.user).second)
      return problems.Add(item.At("the PM2 user " + user.user + " is listed twice"));
    pm2.users.push_back(std::move(user));
  });
  map.Finish();
}

void ReadAbout(const YamlNode& node, Problems& problems, ProbeConfig& probe) {
  MapReader map(node, problems, "about");
  map.String("user", &probe.user, kRequired);
  map.String("app", &probe.app, kRequired);
  map.Finish();
}

void ReadExpect(const YamlNode& node, Problems& problems, ProbeConfig& probe) {
  MapReader map(node, problems, "expect");
  map.Int("status", &probe.status, 100, 599);
  map.String("body", &probe.body);
  map.Finish();
}

ProbeConfig ReadProbe(const YamlNode& node, Problems& problems) {
  ProbeConfig probe;
  MapReader map(node, problems, "collectors.probes");
  map.String("name", &probe.name, kRequired);
  map.String("url", &probe.url, kRequired);
  map.Map("about", [&](const YamlNode& about) { ReadAbout(about, problems, probe); });
  map.Map("expect", [&](const YamlNode& expect) { ReadExpect(expect, problems, probe); });
  Every(map, node, problems, &probe.every);
  map.Duration("timeout", &probe.timeout);
  map.String("ca_file", &probe.ca_file);
  map.Finish();
  if (probe.timeout < kLeastEvery || probe.timeout > kMinute)
    problems.Add(node.At("timeout must be between 100ms and 1m"));
  const bool http = absl::StartsWith(probe.url, "http://") || absl::StartsWith(probe.url, "https://");
  if (!probe.url.empty() && !http) problems.Add(node.At("url must begin with http:// or https://"));
  return probe;
}

bool IsPostgresName(const std::string& name) {
  const auto fits = [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
  };
  return !name.empty() && name.size() <= 63 && std::all_of(name.begin(), name.end(), fits);
}

PostgresConfig ReadPostgres(const YamlNode& node, Problems& problems) {
  PostgresConfig postgres;
  std::string dsn;
  MapReader map(node, problems, "collectors.postgres");
  map.String("name", &postgres.name, kRequired);
  map.String("dsn", &dsn, kRequired);
  Every(map, node, problems, &postgres.every);
  map.Duration("long_query_after", &postgres.long_query_after);
  map.String("password_file", &postgres.password_file);
  map.String("log_file", &postgres.log_file);
  const YamlNode* name = map.Node("name");
  const YamlNode* place = map.Node("dsn");
  map.Finish();
  if (postgres.long_query_after < kLeastEvery || postgres.long_query_after > kDay)
    problems.Add(node.Find("long_query_after")->At("long_query_after must be between 100ms and 24h"));
  if (name != nullptr && !IsPostgresName(postgres.name))
    problems.Add(name->At("name must be 1 to 63 letters, digits, '_', '.' or '-'"));
  for (const auto& [key, path] :
       {std::pair("password_file", &postgres.password_file), std::pair("log_file", &postgres.log_file)})
    if (!path->empty() && path->front() != '/')
      problems.Add(node.At(absl::StrCat(key, " must be an absolute path")));
  if (place == nullptr || dsn.empty()) return postgres;
  auto parsed = config::ParsePostgresDsn(dsn);
  if (!parsed.ok()) problems.Add(place->At(std::string(parsed.status().message())));
  if (parsed.ok()) postgres.dsn = *std::move(parsed);
  return postgres;
}

ChangePlace ReadPlace(const YamlNode& node, Problems& problems, const char* what, bool of_an_app) {
  ChangePlace place;
  if (node.kind == YamlNode::Kind::kScalar && !of_an_app) {
    place.path = node.scalar;
  } else {
    MapReader map(node, problems, what);
    map.String("path", &place.path, kRequired);
    map.String("user", &place.user, of_an_app);
    map.String("app", &place.app, of_an_app);
    map.String("service", &place.service);
    map.Finish();
  }
  const bool plain = place.path.size() > 1 && place.path.size() <= kLongestPath && place.path[0] == '/' &&
                     place.path.find("/../") == std::string::npos;
  if (!place.path.empty() && !plain)
    problems.Add(node.At("path must be absolute, without .., and at most 1024 bytes long"));
  return place;
}

void ReadPlaces(MapReader& map, const YamlNode& node, Problems& problems, const char* key, bool of_an_app,
                std::vector<ChangePlace>& out) {
  const std::string what = std::string("collectors.changes.") + key;
  std::set<std::string> seen;
  map.Each(key, [&](const YamlNode& item) {
    ChangePlace place = ReadPlace(item, problems, what.c_str(), of_an_app);
    if (!seen.insert(place.path).second) return problems.Add(item.At(place.path + " is listed twice"));
    out.push_back(std::move(place));
  });
  if (out.size() > kMostPlaces)
    problems.Add(node.Find(key)->At(absl::StrCat(key, " names more than ", kMostPlaces, " places")));
}

ChangesConfig ReadChanges(const YamlNode& node, Problems& problems) {
  ChangesConfig changes;
  MapReader map(node, problems, "collectors.changes");
  map.Duration("every", &changes.every);
  if (changes.every < kSecond || changes.every > kHour)
    problems.Add(node.Find("every")->At("every must be between 1s and 1h"));
  ReadPlaces(map, node, problems, "releases", true, changes.releases);
  ReadPlaces(map, node, problems, "git", false, changes.git);
  ReadPlaces(map, node, problems, "files", false, changes.files);
  map.Bool("packages", &changes.packages);
  map.Finish();
  return changes;
}

}  // namespace

CollectorsConfig ParseCollectorsConfig(const YamlNode& node, Problems& problems) {
  CollectorsConfig result;
  MapReader map(node, problems, "collectors");
  map.Map("host", [&](const YamlNode& host) { ReadHost(host, problems, result.host); });
  map.Map("pm2", [&](const YamlNode& pm2) { ReadPm2(pm2, problems, result.pm2); });
  std::set<std::string> names;
  map.Each("probes", [&](const YamlNode& item) {
    ProbeConfig probe = ReadProbe(item, problems);
    if (!names.insert(probe.name).second) problems.Add(item.At("a second probe has the name " + probe.name));
    result.probes.push_back(std::move(probe));
  });
  std::set<std::string> servers;
  map.Each("postgres", [&](const YamlNode& item) {
    PostgresConfig postgres = ReadPostgres(item, problems);
    if (!servers.insert(postgres.name).second)
      problems.Add(item.At("a second PostgreSQL server has the name " + postgres.name));
    result.postgres.push_back(std::move(postgres));
  });
  map.Map("changes", [&](const YamlNode& changes) { result.changes = ReadChanges(changes, problems); });
  map.Finish();
  return result;
}

}  // namespace quell::agent
