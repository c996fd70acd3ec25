// Makes commands: the ledger's entry from a typed action on a host. Pure: ids come from the record's place in
// the log and the epoch's start, not from chance.
#pragma once
#include <string>
#include <vector>

#include "controller/engine/outcome.h"

namespace quell::policy {

inline constexpr Micros kDeliverWithin = 30 * kSecond;  // nothing queued survives a partition
inline constexpr uint32_t kEvidenceMs = 2000;
inline constexpr uint32_t kEvidenceBytes = 1 << 20;
inline constexpr uint32_t kDeadlineMs = 30'000;

// SHA-256(epoch start || seq || index), the first 16 bytes, hex. `index` tells commands of one input apart.
std::string CommandId(const engine::State& state, uint64_t index);

struct CommandSpec {
  v1::Action action;
  const v1::Host* host = nullptr;
  std::string incident;  // "" outside one
  std::string policy;
  uint32_t step = 0;
  std::string requested_by;  // "policy:NAME" or "person:NAME"
  std::string signal;        // the cause, "" when a person asked
  std::string group;         // of the blast radius; "": the action's own target
  const v1::Verify* verify = nullptr;
  bool dry_run = false;
  Micros approval_expires = 0;  // not 0: it waits for approval until then
};
v1::CommandEntry MakeCommand(const engine::State& state, const CommandSpec& spec, uint64_t index, Micros now);

struct PlanSpec {
  v1::Action action;
  std::vector<const v1::Host*> hosts;  // in the order they are acted on; never added to later
  std::string incident;                // "" outside one
  std::string policy;
  uint32_t step = 0;
  std::string requested_by;
  std::string signal;  // the cause, "" when a person asked
  v1::Verify verify;
  bool dry_run = false;
  Micros approval_expires = 0;  // not 0: it waits for approval until then; else who asked for it has approved
};
v1::Plan MakePlan(const engine::State& state, const PlanSpec& spec, Micros now);

// Keys of what guards count.
std::string TargetCountKey(const std::string& host_id, const std::string& target);
std::string GroupCountKey(const std::string& group);

}  // namespace quell::policy
