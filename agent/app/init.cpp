#include "agent/app/init.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/text/encode.h"

namespace quell::agent {
namespace {

// Of a name that somebody on this host chose: quoted, as JSON, which YAML reads.
std::string Quoted(const std::string& name) { return text::Json(name); }

std::string ServerName(const FoundPostgres& server, size_t servers) {
  return servers == 1 ? "main" : absl::StrCat("port-", server.port);
}

// A user's PM2 is one daemon: of several the one in the home.
std::vector<FoundPm2> OnePerUser(const std::vector<FoundPm2>& pm2) {
  std::vector<FoundPm2> out;
  for (const FoundPm2& one : pm2) {
    const auto same =
        std::find_if(out.begin(), out.end(), [&](const FoundPm2& o) { return o.user == one.user; });
    if (same == out.end())
      out.push_back(one);
    else if (one.home.empty())
      *same = one;
  }
  return out;
}

std::string Pm2Part(const std::vector<FoundPm2>& pm2) {
  std::vector<std::string> users;
  for (const FoundPm2& one : OnePerUser(pm2)) {
    users.push_back(one.home.empty()
                        ? Quoted(one.user)
                        : absl::StrCat("{user: ", Quoted(one.user), ", home: ", Quoted(one.home), "}"));
  }
  if (users.empty()) return "  # No PM2 daemon runs here now: pm2: {users: [deploy]}\n";
  const std::string others =
      users.size() == pm2.size() ? "" : "  # A user here has several PM2 daemons; one of each is read.\n";
  return absl::StrCat(others, "  pm2: {users: [", absl::StrJoin(users, ", "), "]}\n");
}

// Which path tells that an app is well only its makers know.
std::string ProbesPart(const std::vector<FoundPm2>& pm2) {
  std::string out;
  int number = 0;
  for (const FoundPm2& one : OnePerUser(pm2)) {
    for (const auto& [app, port] : one.ports) {
      absl::StrAppend(&out, "  - {name: probe-", ++number, ", about: {user: ", Quoted(one.user),
                      ", app: ", Quoted(app), "}, url: \"http://127.0.0.1:", port,
                      "/\", every: 5s, timeout: 2s}\n");
    }
  }
  if (out.empty()) return "";
  return absl::StrCat("  # A path that tells that the app is well is better than \"/\".\n  probes:\n", out);
}

std::string PostgresPart(const std::vector<FoundPostgres>& postgres) {
  if (postgres.empty()) return "";
  std::string out =
      "  # /usr/share/quell/postgres/quell.sql makes the role; dbname: where what you watch lies.\n  "
      "postgres:\n";
  for (const FoundPostgres& server : postgres) {
    absl::StrAppend(&out, "  - {name: ", ServerName(server, postgres.size()), ", dsn: ",
                    Quoted(absl::StrCat("host=", server.directory, " port=", server.port,
                                        " user=quell_monitor dbname=postgres")),
                    "}\n");
  }
  return out;
}

}  // namespace

std::string AgentDraft(const std::vector<FoundPm2>& pm2, const std::vector<FoundPostgres>& postgres) {
  return absl::StrCat(
      "# A draft for /etc/quell/agent.yaml, from what runs here now.\n"
      "controller: {addresses: [\"quell.example:7400\"]}   # yours\n\ncollectors:\n  host: {every: 1s}\n",
      Pm2Part(pm2), ProbesPart(pm2), PostgresPart(postgres), "  changes: {every: 15s, packages: true}\n");
}

std::string SanctionsDraft(const std::vector<FoundPm2>& pm2, const std::vector<FoundPostgres>& postgres) {
  std::string out =
      "# A draft for /etc/quell/sanctions.yaml: what quell may do here. As it stands, nothing: take the # "
      "away from what you\n"
      "# want, and the [] at the end.\n";
  for (const FoundPm2& one : OnePerUser(pm2)) {
    std::vector<std::string> apps;
    for (const std::string& app : one.apps) apps.push_back(Quoted(app));
    if (apps.empty()) continue;
    absl::StrAppend(&out, "# - {action: pm2.restart, user: ", Quoted(one.user), ", allow: {apps: [",
                    absl::StrJoin(apps, ", "), "]}, limits: {per_hour: 6}}\n");
  }
  for (const FoundPostgres& server : postgres) {
    absl::StrAppend(
        &out, "# - {action: postgres.terminate, connection: ", ServerName(server, postgres.size()),
        ", allow: {databases: [postgres]}, limits: {min_age: 60s, max_targets: 1, per_hour: 6}}\n");
  }
  return out + "[]\n";
}

}  // namespace quell::agent
