// Index: look-ups into a State that would otherwise walk all of it for every input. Derived: Apply keeps it
// entity by entity (reindex.h), a state that comes from a snapshot gets it anew, and it is in no snapshot and
// no digest. Rooms read it; nothing but Apply and FromSnapshot writes it. As large as what it points at.
#pragma once
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/time.h"

namespace quell::engine {

// When each id is due; an id has one time at most.
class Deadlines {
 public:
  void Set(const std::string& id, Micros at) {  // 0: none
    auto found = at_.find(id);
    if (found != at_.end()) {
      if (found->second == at) return;
      order_.erase({found->second, id});
      at_.erase(found);
    }
    if (at == 0) return;
    at_.emplace(id, at);
    order_.emplace(at, id);
  }
  Micros next() const { return order_.empty() ? 0 : order_.begin()->first; }  // 0: none
  // Those due at `now` or before, in the order of their ids.
  std::vector<std::string> Until(Micros now) const {
    std::vector<std::string> due;
    for (auto it = order_.begin(); it != order_.end() && it->first <= now; ++it) due.push_back(it->second);
    std::sort(due.begin(), due.end());
    return due;
  }
  bool operator==(const Deadlines&) const = default;

 private:
  std::map<std::string, Micros> at_;
  std::set<std::pair<Micros, std::string>> order_;
};

// Items by a key; an item lies under one key at most.
template <typename Item = std::string>
class Grouped {
 public:
  void Put(const Item& item, const std::string& key) {  // "": nowhere
    auto found = key_of_.find(item);
    if (found != key_of_.end()) {
      if (found->second == key) return;
      auto group = items_.find(found->second);
      group->second.erase(item);
      if (group->second.empty()) items_.erase(group);
      key_of_.erase(found);
    }
    if (key.empty()) return;
    key_of_.emplace(item, key);
    items_[key].insert(item);
  }
  const std::set<Item>& Of(std::string_view key) const {
    static const std::set<Item>& none = *new std::set<Item>;
    auto found = items_.find(key);
    return found == items_.end() ? none : found->second;
  }
  bool operator==(const Grouped&) const = default;

 private:
  std::map<Item, std::string> key_of_;
  std::map<std::string, std::set<Item>, std::less<>> items_;
};

// How many different members a group has, where each id stands for one member of one group.
class Distinct {
 public:
  void Put(const std::string& id, const std::string& group, const std::string& member) {  // group "": none
    auto found = of_.find(id);
    if (found != of_.end()) {
      if (found->second == std::pair(group, member)) return;
      auto counts = counts_.find(found->second.first);
      auto count = counts->second.find(found->second.second);
      if (--count->second == 0) counts->second.erase(count);
      if (counts->second.empty()) counts_.erase(counts);
      of_.erase(found);
    }
    if (group.empty()) return;
    of_.emplace(id, std::pair(group, member));
    ++counts_[group][member];
  }
  size_t Count(std::string_view group) const {
    auto found = counts_.find(group);
    return found == counts_.end() ? 0 : found->second.size();
  }
  bool operator==(const Distinct&) const = default;

 private:
  std::map<std::string, std::pair<std::string, std::string>> of_;
  std::map<std::string, std::map<std::string, size_t>, std::less<>> counts_;
};

// The hosts that have an app: those connected, and the others by when they were last seen.
class AppHosts {
 public:
  void Put(const std::string& host, bool connected, Micros seen, std::vector<std::string> apps) {
    Filed filed{connected, connected ? 0 : seen, std::move(apps)};
    auto found = of_.find(host);
    if (found != of_.end() && found->second == filed) return;
    if (found != of_.end()) Remove(host, found->second);
    for (const std::string& app : filed.apps) {
      Hosts& hosts = apps_[app];
      filed.connected ? (void)hosts.connected.insert(host) : (void)hosts.away.emplace(filed.seen, host);
    }
    of_[host] = std::move(filed);
  }
  // Connected, or seen at `since` or later.
  size_t Count(std::string_view app, Micros since) const {
    auto found = apps_.find(app);
    if (found == apps_.end()) return 0;
    const auto& away = found->second.away;
    size_t count = found->second.connected.size() + away.size();
    for (auto it = away.begin(); it != away.end() && it->first < since; ++it) --count;
    return count;
  }
  bool operator==(const AppHosts&) const = default;

 private:
  struct Filed {
    bool connected = false;
    Micros seen = 0;
    std::vector<std::string> apps;
    bool operator==(const Filed&) const = default;
  };
  struct Hosts {
    std::set<std::string> connected;
    std::set<std::pair<Micros, std::string>> away;
    bool operator==(const Hosts&) const = default;
  };
  void Remove(const std::string& host, const Filed& filed) {
    for (const std::string& app : filed.apps) {
      auto hosts = apps_.find(app);
      if (hosts == apps_.end()) continue;  // an app that was named twice
      hosts->second.connected.erase(host);
      hosts->second.away.erase({filed.seen, host});
      if (hosts->second.connected.empty() && hosts->second.away.empty()) apps_.erase(hosts);
    }
  }
  std::map<std::string, Filed> of_;
  std::map<std::string, Hosts, std::less<>> apps_;
};

struct Index {
  // When something is due, by room; ids are those of the entities.
  Deadlines commands, verifications, monitoring, pages, retries;
  Deadlines questions;  // watches of policies: for a newer sample, or a step's only_if
  Deadlines notices;    // the first of each "INCIDENT/RECEIVER/" that is not over
  // Since when something may leave the state.
  Deadlines ended_incidents, ended_commands, ended_notices, counts;

  Grouped<std::pair<Micros, std::string>> commands_of_group;  // by when they were proposed
  Grouped<> commands_of_signal;
  Grouped<> in_flight_of_group;
  Grouped<> in_flight_of_host;
  Grouped<> called_back_of_host;  // cancelled after they were issued
  Grouped<> confirms_of_group;    // watches that ask for a newer sample
  Grouped<> waiting_for_turn;     // keys of decisions, by the group that another one of is in the way
  Grouped<> waiting_for_fleet;    // by policy and group, where too many are ill
  Grouped<> open_incidents;       // by what joins signals into them
  Grouped<> incidents_of_host;    // open, and about that host (by its name) alone
  Grouped<> signals_of_host;      // by its id
  Grouped<> hosts_of_name;
  Distinct ill_hosts;  // instances whose signal of that app fires
  AppHosts app_hosts;

  bool operator==(const Index&) const = default;
};

}  // namespace quell::engine
