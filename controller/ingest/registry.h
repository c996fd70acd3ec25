// SessionRegistry: the streams that are open now, and what is remembered of a host between its streams. Owned
// by main, outlives the service. Thread-safe: gRPC's threads, shards, the engine's and the store's thread
// call it.
//
// Frames to one agent wait in its stream's outbox (stream.h: at most 1,000 frames or 8 MiB; when that is full
// the stream is ended, and what matters is sent again on the next one).
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/base/time.h"
#include "quell/v1/link.pb.h"

namespace quell::ingest {

// The sending side of one stream. Thread-safe; no call waits.
class SessionOutput {
 public:
  virtual ~SessionOutput() = default;
  virtual bool Send(v1::ControllerFrame frame) = 0;  // false: over, or the outbox is full (which ends it)
  virtual void End(absl::Status why) = 0;
};

class SessionRegistry {
 public:
  // ---- for the rest of the controller
  // ------------------------------------------------------------------------- NotFound without a stream;
  // FailedPrecondition when the agent takes no command now (no nonce, results full).
  absl::Status SendCommand(const std::string& host_id, const v1::SignedCommand& command);
  absl::Status SendCancel(const std::string& host_id, const std::string& command_id);
  // The newest nonce of the host's executor; nullopt without a stream or an executor.
  std::optional<std::string> Nonce(const std::string& host_id) const;
  // Everything up to seq is committed.
  void AckEvents(const std::string& host_id, uint64_t seq);
  void AckReports(const std::string& host_id, uint64_t seq);
  // What was taken from this host could not be kept: ends its stream, so that all unacknowledged comes again.
  void AskAgain(const std::string& host_id, const std::string& why);
  // From the log, at start: sequences up to here are committed.
  void Restore(const std::string& host_id, uint64_t events, uint64_t reports);
  // Told to each agent with its next acknowledgement or heartbeat's answer.
  void SetLogHead(uint64_t seq, const std::string& head);
  void SendTrustBundle(const std::string& signed_bundle);
  void End(const std::string& host_id, const absl::Status& why);  // of one host, if there is one
  void EndAll(const absl::Status& why);
  size_t open() const;
  bool IsOpen(const std::string& host_id) const;

  // ---- for sessions
  // -------------------------------------------------------------------------------------------
  struct Resume {
    uint64_t session = 0;
    Micros samples_from = 0;  // agent's monotonic time; 0: everything it has
  };
  // Ends an earlier stream of the same host. The output is kept until Close.
  Resume Open(const std::string& host_id, const std::string& boot_id, std::shared_ptr<SessionOutput> output);
  void Close(const std::string& host_id, uint64_t session);
  void OnHeartbeat(const std::string& host_id, uint64_t session, const v1::Heartbeat& heartbeat);
  void NoteSamples(const std::string& host_id, uint64_t session, Micros newest_monotonic);
  // Whether this event (report) is new: not handed to the shard before. Notes it as handed over.
  bool TakeEvent(const std::string& host_id, uint64_t seq);
  bool TakeReport(const std::string& host_id, uint64_t seq);
  // The shard had no room for events (reports) from this number on: they are new again.
  void GiveBackEvents(const std::string& host_id, uint64_t first);
  void GiveBackReports(const std::string& host_id, uint64_t first);
  // What came is here already: tells the agent again what is committed. What is not yet is acknowledged when
  // it is.
  void RepeatAcks(const std::string& host_id);

 private:
  struct Sequence {
    uint64_t taken = 0;
    uint64_t committed = 0;
  };
  // At most kHosts are remembered; of those without a stream the one unused for longest goes.
  struct Host {
    std::shared_ptr<SessionOutput> output;  // shared with the call that gRPC owns
    uint64_t session = 0;
    std::string boot_id;
    Micros newest_sample = 0;
    Sequence events, reports;
    std::string nonce;
    bool executor = false;
    bool results_full = false;
    uint64_t head_told = 0;
    uint64_t used = 0;
  };
  static constexpr size_t kHosts = 20'000;

  Host* FindOpen(const std::string& host_id, uint64_t session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddHead(Host& host, v1::ControllerFrame* frame) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Ack(const std::string& host_id, uint64_t seq, bool events);
  void Forget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, Host> hosts_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_session_ ABSL_GUARDED_BY(mutex_) = 1;
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t log_seq_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string log_head_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::ingest
