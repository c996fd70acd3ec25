// catalogue.yaml to Catalogue. Every mistake is gathered with its place; one anywhere means that the answer
// is not to be used. Pure.
//
//   services:
//   - name: client-portal
//     components:
//     - {name: web, kind: pm2, app: portal, user: deploy, hosts: {role: web}, core: true}
//     - {name: database, kind: postgres, database: boutique, hosts: {role: db}, capability: authentication}
//     - {name: payments, kind: external, probe: payments-api}
//     checks: [{probe: health, core: true, from: {role: probe}, need: 2}]
//     depends: {web: [database, payments]}
//     max_severity: P1
//     contacts: {primary: "schedule:portal", secondary: bob}
//     channels: {email: incidents@example.com}
//     links: {dashboard: "https://…"}
//   people: {alice: {email: …, phone: …, zone: Europe/Berlin}}
//   schedules: {portal: {zone: Europe/Berlin, handover: "mon 09:00", rota: [alice, bob]}}
#pragma once
#include <string_view>

#include "common/config/yaml.h"
#include "controller/catalogue/catalogue.h"

namespace quell::catalogue {

inline constexpr size_t kMostServices = 1'000;
inline constexpr size_t kMostComponents = 200;  // of one service

// From a file's parsed text. An empty file is a catalogue without services.
Catalogue ReadCatalogue(const config::YamlNode& root, config::Problems& problems);
Catalogue ParseCatalogue(std::string_view file, std::string_view text, config::Problems& problems);

}  // namespace quell::catalogue
