// What must hold between the parts of a catalogue, beyond the shape of each. Pure.
#pragma once
#include <string>
#include <vector>

#include "common/config/yaml.h"
#include "controller/catalogue/catalogue.h"

namespace quell::catalogue {

// A component as it was read, with its place.
struct Placed {
  Component component;
  std::string service;
  const config::YamlNode* node = nullptr;
};

// Of a service's `depends`, read from `node`: names of components, none of which needs itself in the end.
void CheckDepends(const Service& service, const config::YamlNode& node, config::Problems& problems);
// Of all services: no two components that are the same app, database or probe on the same hosts.
void CheckClaims(const std::vector<Placed>& components, config::Problems& problems);
// contacts of `schedule:NAME` name a schedule.
void CheckContacts(const config::YamlNode& contacts, const Catalogue& catalogue, config::Problems& problems);

}  // namespace quell::catalogue
