// What a shard keeps of one host. Internal to the shard; its thread alone.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "controller/rules/shard.h"

namespace quell::rules {

struct Shard::Host {
  explicit Host(const series::StoreLimits& limits) : store(limits), source(store) {}

  struct Job {
    std::string name;
    series::SeriesId up = series::kNoSeries;
    Micros newest = 0;  // its newest sample
  };

  HostInfo info;
  series::SeriesStore store;
  promql::StoreSource source;
  bool up = false;
  bool seen = false;      // since this start
  bool expected = false;  // its windows were there before, and may not be yet
  bool replayed = false;
  Micros since = 0;  // of up or down
  Micros first = 0;  // oldest sample since it came
  std::vector<Job> jobs;
  std::vector<uint8_t> job_of;                                   // by place of the series
  std::map<std::string, AlertState> states;                      // by rule identity
  std::map<std::string, std::vector<series::SeriesId>> outputs;  // what rules wrote last, by identity
  std::set<std::string, std::less<>> pushed;                     // metrics pushed and not evaluated yet
  Micros pushed_at = 0;                                          // latest pushed evaluation
  Micros fire_due = 0;  // when a `for` that a pushed event started runs out; 0: none
};

}  // namespace quell::rules
