// Services where nobody has said what they are: each PM2 app (its name and user, over all hosts) and each
// database is one of its own. Pure over what is seen.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/catalogue/catalogue.h"

namespace quell::catalogue {

struct SeenProbe {
  std::string name;
  std::string user, app;  // what it is about; empty: nothing of ours
  auto operator<=>(const SeenProbe&) const = default;
};

// A host, as the controller sees it now.
struct SeenHost {
  std::string name;
  std::map<std::string, std::string> labels;
  std::set<std::pair<std::string, std::string>> apps;  // user, app
  std::set<std::string> databases;
  std::set<SeenProbe> probes;
};

// The hosts that a component is on: its selector takes them and they have it.
std::vector<const SeenHost*> HostsOf(const Component& component, const std::vector<SeenHost>& hosts);

// Apps by user and name, then databases. Each bears its app's or database's name, an app's with the user in
// front where several users have one of that name. An app's probes are its checks. Databases that every
// server has as templates are left out. Names are taken as they come, also those that no catalogue may hold.
Catalogue OwnServices(const std::vector<SeenHost>& hosts);

}  // namespace quell::catalogue
