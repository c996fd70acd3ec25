// LinkSession: the agent's side of one stream, without gRPC, clock or thread: what to send next, and what to
// do with what comes. Made anew for each connection; owned and called by the link's thread (link.h) or the
// simulator.
//
// Frames are pulled: the transport asks for the next one when it can take it, so nothing piles up behind a
// slow controller but in the spool. In one frame go, in this order and as far as there is room: reports, a
// heartbeat that is due, events, samples. Samples wait up to kGather for others, events for nobody.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/link/executor_port.h"
#include "agent/link/head_memory.h"
#include "agent/link/identity_port.h"
#include "agent/link/layouts.h"
#include "agent/link/spool.h"
#include "common/base/time.h"
#include "quell/v1/link.pb.h"

namespace quell::agent {

struct AgentFacts {
  std::string version;
  std::string host_id;  // of its certificate
  std::string host_name;
  std::string boot_id;
  std::string start;  // 16 random bytes of this start of the agent
  uint64_t trust_serial = 0;
};

class LinkSession {
 public:
  static constexpr Micros kGather = 50 * kMillisecond;
  struct Times {
    Micros monotonic = 0;
    Micros wall = 0;
  };

  // identity: null where nothing renews (the simulator).
  LinkSession(const AgentFacts& facts, Spool& spool, ExecutorPort& executor, HeadMemory& head,
              IdentityPort* identity = nullptr);

  // Fills *out with what is to be sent now; false when there is nothing. A frame that was handed out counts
  // as sent.
  bool NextFrame(Times now, v1::AgentFrame* out);
  // A non-OK answer ends the session; it says why.
  absl::Status OnFrame(const v1::ControllerFrame& frame, Times now);
  // When NextFrame has something to say at the latest, without anything new happening (monotonic time).
  Micros NextDue() const;
  // The executor's status changed: tell it with a heartbeat soon.
  void StatusChanged() { heartbeat_at_ = 0; }
  // Says goodbye with the next frame; `why`: "restart", "reboot". Afterwards said_goodbye() is true.
  void Goodbye(std::string why) { goodbye_ = std::move(why); }
  bool said_goodbye() const { return said_goodbye_; }

  bool welcomed() const { return welcomed_; }
  const std::string& host_name() const { return host_name_; }
  uint64_t commands_not_taken() const { return commands_not_taken_; }

 private:
  void FillHello(Times now, v1::Hello* hello);
  void FillHeartbeat(Times now, v1::Heartbeat* heartbeat);
  void OnWelcome(const v1::Welcome& welcome, Times now);
  void TakeCommand(const v1::SignedCommand& command);
  void TakeIdentity(const v1::ControllerFrame& frame, Times now);
  void CheckIdentity(Times now, v1::AgentFrame* out);
  void AddReports(v1::AgentFrame* out);
  void AddEvents(v1::AgentFrame* out);
  void AddSamples(Times now, v1::AgentFrame* out);
  bool AddPart(const Collection& collection, LayoutPart& part, v1::AgentFrame* out);

  const AgentFacts& facts_;
  Spool& spool_;
  ExecutorPort& executor_;
  HeadMemory& head_;
  IdentityPort* const identity_;
  LayoutBook layouts_;
  bool hello_sent_ = false;
  bool welcomed_ = false;
  bool said_goodbye_ = false;
  std::string goodbye_;
  std::string host_name_;
  Micros begun_ = 0;  // monotonic time of the hello: the batches' zero
  Micros heartbeat_every_ = 5 * kSecond;
  Micros heartbeat_at_ = 0;
  Micros samples_at_ = 0;  // when gathered samples go; 0: none wait
  uint64_t sample_ = 0;    // index of the next sample to send
  size_t part_ = 0;        // and of its next part
  uint64_t batch_number_ = 0;
  uint64_t event_sent_ = 0;
  uint64_t report_sent_ = 0;
  uint64_t commands_not_taken_ = 0;
  size_t frame_bytes_ = 0;  // of the frame in work, estimated
  std::vector<double> values_;
};

}  // namespace quell::agent
