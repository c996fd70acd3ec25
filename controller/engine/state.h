// State: all that decisions read. Changed by Apply (engine.h) alone. Entities are the messages of
// state.proto, so that log, snapshot, digest and projections are made of one description. Maps are ordered:
// iteration is deterministic.
#pragma once
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "controller/engine/index.h"
#include "quell/v1/log.pb.h"
#include "quell/v1/state.pb.h"

namespace quell::engine {

struct State {
  uint64_t seq = 0;  // the last record applied
  Micros time = 0;   // its engine time
  v1::ControllerStarted started;
  v1::Config config;
  std::map<std::string, v1::Host> hosts;             // by id
  std::map<std::string, v1::Signal> signals;         // by key
  std::map<std::string, v1::Incident> incidents;     // by id
  std::map<std::string, v1::CommandEntry> commands;  // by id
  std::map<std::string, v1::Notice> notices;         // by key
  std::map<std::string, v1::Hold> holds;             // by id
  std::map<std::string, v1::Watch> watches;          // by id
  std::map<std::string, v1::Decision> decisions;     // newest, by signal key + policy + step
  std::map<std::string, v1::GuardCount> counts;      // by guard key
  std::map<std::string, v1::HostNumbers> numbers;    // by host id
  std::map<std::string, v1::Plan> plans;             // by id
  std::map<std::string, v1::Change> changes;         // by id; the newest thousand
  std::map<std::string, v1::JoinToken> tokens;       // by id
  std::map<std::string, v1::Person> people;          // by name
  uint64_t next_incident = 1;
  uint64_t next_command = 1;
  Index index;  // of the above; in no snapshot and no digest
};

v1::Snapshot ToSnapshot(const State& state);
State FromSnapshot(const v1::Snapshot& snapshot);
// SHA-256 over the snapshot's deterministic serialisation.
std::string Digest(const State& state);

}  // namespace quell::engine
