// What a room hands back: records to be, in order, and an answer when a person waits. Rooms are pure
// functions over a const State; the engine gives the records their headers and applies them. Values; any
// thread.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/time.h"
#include "controller/engine/state.h"
#include "quell/v1/log.pb.h"

namespace quell::engine {

struct Reply {
  uint32_t exit = 0;  // 0 done, 1 failed, 3 no such thing, 4 not allowed, 5 withheld
  std::string message;
  std::string kind, id;  // the entity to show; several ids are separated by commas
};

struct Outcome {
  std::vector<v1::Payload> records;
  std::optional<Reply> reply;

  void Add(v1::Payload payload) { records.push_back(std::move(payload)); }
  void Add(Outcome other) {
    for (auto& record : other.records) records.push_back(std::move(record));
    if (other.reply) reply = std::move(other.reply);
  }
};

inline Outcome Refuse(uint32_t exit, std::string message) {
  Outcome out;
  out.reply = Reply{exit, std::move(message), "", ""};
  return out;
}

// Builds one IncidentChanged: With(field number) marks a field and gives the message to set it in.
class IncidentEdit {
 public:
  explicit IncidentEdit(const std::string& id) { changed().set_incident(id); }
  v1::Incident& With(int field) {
    changed().add_fields(static_cast<uint32_t>(field));
    return *changed().mutable_set();
  }
  IncidentEdit& Entry(std::string who, std::string kind, std::string text) {
    v1::TimelineEntry* entry = changed().add_entries();
    entry->set_who(std::move(who));
    entry->set_kind(std::move(kind));
    entry->set_text(std::move(text));
    return *this;
  }
  v1::IncidentChanged& changed() { return *payload_.mutable_incident_changed(); }
  bool empty() {
    const auto& c = changed();
    return c.fields().empty() && c.entries().empty() && c.add_signals().empty();
  }
  v1::Payload Take() { return std::move(payload_); }

 private:
  v1::Payload payload_;
};

// Builds one CommandChanged in the same way.
class CommandEdit {
 public:
  explicit CommandEdit(const std::string& id) { changed().set_command(id); }
  v1::CommandEntry& With(int field) {
    changed().add_fields(static_cast<uint32_t>(field));
    return *changed().mutable_set();
  }
  CommandEdit& State(v1::CommandState state, std::string reason = "") {
    With(v1::CommandEntry::kStateFieldNumber).set_state(state);
    if (!reason.empty()) With(v1::CommandEntry::kReasonFieldNumber).set_reason(std::move(reason));
    return *this;
  }
  v1::CommandChanged& changed() { return *payload_.mutable_command_changed(); }
  v1::Payload Take() { return std::move(payload_); }

 private:
  v1::Payload payload_;
};

// Builds one PlanChanged in the same way.
class PlanEdit {
 public:
  explicit PlanEdit(const std::string& id) { changed().set_plan(id); }
  v1::Plan& With(int field) {
    changed().add_fields(static_cast<uint32_t>(field));
    return *changed().mutable_set();
  }
  PlanEdit& State(v1::PlanState state, std::string reason = "") {
    With(v1::Plan::kStateFieldNumber).set_state(state);
    if (!reason.empty()) With(v1::Plan::kReasonFieldNumber).set_reason(std::move(reason));
    return *this;
  }
  v1::PlanChanged& changed() { return *payload_.mutable_plan_changed(); }
  v1::Payload Take() { return std::move(payload_); }

 private:
  v1::Payload payload_;
};

class NoticeEdit {
 public:
  explicit NoticeEdit(const std::string& key) { changed().set_key(key); }
  v1::Notice& With(int field) {
    changed().add_fields(static_cast<uint32_t>(field));
    return *changed().mutable_set();
  }
  v1::NoticeChanged& changed() { return *payload_.mutable_notice_changed(); }
  v1::Payload Take() { return std::move(payload_); }

 private:
  v1::Payload payload_;
};

template <typename Map>
auto* FindOrNull(Map& map, const typename Map::key_type& key) {
  auto it = map.find(key);
  return it == map.end() ? nullptr : &it->second;
}

// The earlier of two deadlines, where 0 means none.
inline Micros Earlier(Micros a, Micros b) {
  if (a == 0) return b;
  return b == 0 || a < b ? a : b;
}

}  // namespace quell::engine
