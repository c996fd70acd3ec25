// The engine: every decision of a controller, deterministic. No clock, socket, database, thread or random
// source inside.
//
// Handle() takes one input at one engine time, writes it down as a record, applies it, asks the rooms
// (signals, incidents, policy, commands, verify, notify) what follows, applies each record they return, and
// goes on until nothing follows. Apply() alone changes State: recovery and standby run it over stored records
// and never decide again. The caller commits the records, and carries out the intents after that commit
// alone. Owned by the engine thread; not thread-safe.
#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/base/time.h"
#include "controller/engine/state.h"
#include "quell/v1/log.pb.h"

namespace quell::engine {

struct Record {
  v1::RecordHeader
      header;  // seq, time, epoch, source, kind, kind_version, cause, subject; the store adds the hash
  v1::Payload payload;
};

// What the rim is to do once the records are committed.
struct SendCommand {
  std::string command;
};  // id; the rim adds nonce and signature, answers with CommandDelivered
struct CancelCommand {
  std::string command, host_id;
};
struct SendNotice {
  std::string key;
};  // answered with NoticeResult
struct StartWatch {
  v1::Watch watch;
};  // answered with WatchEdges
struct StopWatch {
  std::string watch;
};
struct TellHost {
  v1::Host host;
};               // who may speak, or with which labels, has changed: to whoever admits streams
struct Answer {  // to a waiting person, or to a host that enrols
  std::string request;
  uint32_t exit = 0;  // 0 done, 1 failed, 3 no such thing, 4 not allowed, 5 withheld
  std::string message;
  std::string kind, id;  // the entity to show: "incident", "command", "hold", "notice", "token", "host",
                         // "person"
};
// The `request` of the answer to a HostEnrolled.
inline std::string EnrolRequest(const std::string& host_id) { return "enrol/" + host_id; }
using Intent = std::variant<SendCommand, CancelCommand, SendNotice, StartWatch, StopWatch, TellHost, Answer>;

struct Handled {
  std::vector<Record> records;
  std::vector<Intent> intents;
};

class Engine {
 public:
  explicit Engine(State state) : state_(std::move(state)) {}
  // `source` names who brought the input. Inputs that change nothing (TimePassed with nothing due) leave no
  // record.
  Handled Handle(const v1::Payload& input, std::string_view source, Micros now);
  // After a start: what was on its way when the last process ended (commands to deliver, notices to send,
  // watches to set).
  std::vector<Intent> Outstanding(Micros now) const;
  // When the next deadline falls due; 0: none runs. The caller then hands in TimePassed.
  Micros NextDeadline() const;
  const State& state() const { return state_; }

 private:
  State state_;
};

// The only function that changes a State.
void Apply(State& state, const v1::RecordHeader& header, const v1::Payload& payload);

}  // namespace quell::engine
