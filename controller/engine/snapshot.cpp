#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/base/ids.h"
#include "controller/engine/reindex.h"

namespace quell::engine {
namespace {

template <typename Map, typename List>
void ToList(const Map& map, List* list) {
  list->Reserve(static_cast<int>(map.size()));
  for (const auto& [key, value] : map) *list->Add() = value;
}

}  // namespace

v1::Snapshot ToSnapshot(const State& state) {
  v1::Snapshot snapshot;
  snapshot.set_seq(state.seq);
  snapshot.set_time_us(state.time);
  *snapshot.mutable_started() = state.started;
  *snapshot.mutable_config() = state.config;
  ToList(state.hosts, snapshot.mutable_hosts());
  ToList(state.signals, snapshot.mutable_signals());
  ToList(state.incidents, snapshot.mutable_incidents());
  ToList(state.commands, snapshot.mutable_commands());
  ToList(state.notices, snapshot.mutable_notices());
  ToList(state.holds, snapshot.mutable_holds());
  ToList(state.watches, snapshot.mutable_watches());
  ToList(state.decisions, snapshot.mutable_decisions());
  ToList(state.counts, snapshot.mutable_counts());
  ToList(state.numbers, snapshot.mutable_numbers());
  ToList(state.plans, snapshot.mutable_plans());
  ToList(state.changes, snapshot.mutable_changes());
  ToList(state.tokens, snapshot.mutable_tokens());
  ToList(state.people, snapshot.mutable_people());
  snapshot.set_next_incident(state.next_incident);
  snapshot.set_next_command(state.next_command);
  return snapshot;
}

State FromSnapshot(const v1::Snapshot& snapshot) {
  State state;
  state.seq = snapshot.seq();
  state.time = snapshot.time_us();
  state.started = snapshot.started();
  state.config = snapshot.config();
  for (const auto& host : snapshot.hosts()) state.hosts[host.id()] = host;
  for (const auto& signal : snapshot.signals()) state.signals[signal.key()] = signal;
  for (const auto& incident : snapshot.incidents()) state.incidents[incident.id()] = incident;
  for (const auto& command : snapshot.commands()) state.commands[command.id()] = command;
  for (const auto& notice : snapshot.notices()) state.notices[notice.key()] = notice;
  for (const auto& hold : snapshot.holds()) state.holds[hold.id()] = hold;
  for (const auto& watch : snapshot.watches()) state.watches[watch.id()] = watch;
  for (const auto& decision : snapshot.decisions()) {
    const std::string key =
        decision.signal() + "|" + decision.policy() + "|" + std::to_string(decision.step());
    state.decisions[key] = decision;
  }
  for (const auto& count : snapshot.counts()) state.counts[count.key()] = count;
  for (const auto& numbers : snapshot.numbers()) state.numbers[numbers.host_id()] = numbers;
  for (const auto& plan : snapshot.plans()) state.plans[plan.id()] = plan;
  for (const auto& change : snapshot.changes()) state.changes[change.id()] = change;
  for (const auto& token : snapshot.tokens()) state.tokens[token.id()] = token;
  for (const auto& person : snapshot.people()) state.people[person.name()] = person;
  state.next_incident = std::max<uint64_t>(1, snapshot.next_incident());
  state.next_command = std::max<uint64_t>(1, snapshot.next_command());
  ReindexAll(state);
  return state;
}

std::string Digest(const State& state) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    ToSnapshot(state).SerializeToCodedStream(&coded);
  }
  return Sha256(bytes);
}

}  // namespace quell::engine
