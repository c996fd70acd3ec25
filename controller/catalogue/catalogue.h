// Catalogue: the services that people run, what each is made of and who is asked about it, as catalogue.yaml
// has them. Values: loaded once and then shared, immutable, by all threads.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quell/v1/state.pb.h"

namespace quell::catalogue {

inline constexpr size_t kLongestName = 128;  // bytes: of a service, a component, an app, a database, a probe

using Selector = std::map<std::string, std::string>;  // labels that a host must have; empty: any host

enum class Kind { kPm2, kPostgres, kExternal };

struct Component {
  std::string name;
  Kind kind = Kind::kPm2;
  std::string user;      // of kPm2; empty: whoever runs it
  std::string app;       // of kPm2
  std::string database;  // of kPostgres
  std::string probe;     // of kExternal
  Selector hosts;
  bool core = false;
  std::string capability;
  bool operator==(const Component&) const = default;
};

// A probe that tells how the service is.
struct Check {
  std::string probe;
  bool core = false;
  std::string capability;
  Selector from;     // the hosts whose word counts
  int64_t need = 1;  // of them
  bool operator==(const Check&) const = default;
};

struct Service {
  std::string name;
  std::vector<Component> components;
  std::vector<Check> checks;
  std::map<std::string, std::vector<std::string>> depends;  // component -> those it needs; no cycles
  v1::Severity max_severity = v1::SEVERITY_UNSPECIFIED;     // no alert of it is worse; unspecified: no cap
  std::map<std::string, std::string> contacts;              // role -> person, or schedule:NAME
  std::map<std::string, std::string> channels, links;       // as people are to read them
  bool operator==(const Service&) const = default;
};

struct Person {
  std::string email, phone, zone;
  bool operator==(const Person&) const = default;
};

struct Schedule {
  std::string zone;
  std::string handover;  // "mon 09:00"
  std::vector<std::string> rota;
  bool operator==(const Schedule&) const = default;
};

struct Catalogue {
  std::vector<Service> services;
  std::map<std::string, Person> people;
  std::map<std::string, Schedule> schedules;
  bool operator==(const Catalogue&) const = default;
};

std::string_view KindName(Kind kind);  // pm2, postgres, external
// What a component is about: its app, database or probe.
const std::string& Subject(const Component& component);
// Whether it may stand as a name in a catalogue: 1 to kLongestName bytes of UTF-8 without anything that a
// terminal or a reader would obey.
bool IsName(std::string_view text);

}  // namespace quell::catalogue
