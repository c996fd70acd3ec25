// A fleet, an engine and a clock in a few words. Time moves by the engine's own deadlines; every record is
// also folded a second time, and the two states must agree at the end. Outbox and host are played by default:
// a notice is delivered, a command is handed over and succeeds; tests that want otherwise say so.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "controller/engine/engine.h"
#include "controller/engine/log_store.h"

namespace quell::engine {

class Scenario {
 public:
  explicit Scenario(int hosts = 1, v1::Config config = DefaultConfig());
  ~Scenario();  // the folds agree

  static v1::Config DefaultConfig();
  static v1::Policy RestartPolicy();
  // For AppDown: a restart, then a rollback when something was changed within two hours. Automatic.
  static v1::Policy ReleasePolicy();

  // ---- what happens outside
  void Host(int n, v1::HostEdge::Kind kind);
  void ConnectHost(int n, const std::function<void(v1::Host&)>& change = {});
  void Fire(int host, const std::string& alert = "AppHung", v1::Severity severity = v1::P1);
  void Clear(int host, const std::string& alert = "AppHung");
  void Edge(v1::Signal signal, v1::SignalState state);
  v1::Signal SignalOf(int host, const std::string& alert, v1::Severity severity) const;
  // A change is on record, as at `at` (0: now), of a host (0: of none).
  void Changed(int host, const std::function<void(v1::Change&)>& change = {}, Micros at = 0);
  void Watch(const std::string& id, v1::WatchEdge::Value value);
  void Report(const v1::CommandEntry& command, v1::Outcome outcome,
              v1::RefusalKind refusal = v1::REFUSAL_UNSPECIFIED, const std::string& reason = "");
  Answer Decide(const std::string& who, bool approve, const std::string& name);  // approve or deny "1.2"
  Answer Person(const std::string& name, const std::function<void(v1::PersonAct&)>& act);
  void Load(const v1::Config& config);
  Handled Input(const v1::Payload& payload, const std::string& source = "test");
  // Moves time, stopping at each deadline.
  void Pass(Micros duration);
  // The process ends and a new one folds the log: from a snapshot and its tail when `snapshot`.
  void Restart(bool snapshot = false);

  // ---- how the world answers
  bool deliver = true;                                        // the rim hands commands over
  bool notices_arrive = true;                                 // else their results never come
  std::function<v1::NoticeResult(const v1::Notice&)> outbox;  // instead of "sent"
  bool remedy_succeeds = true;                                // STARTED and SUCCEEDED follow a delivery
  bool remedy_helps = true;                            // and then the signal clears and its watch comes true
  std::function<bool(const v1::CommandEntry&)> helps;  // instead of remedy_helps
  std::function<v1::WatchEdge::Value(const v1::Watch&)> only_if;  // answers the watches of only_if
  bool watches_confirm = true;  // a confirm watch says: still firing, on a sample of now
  bool holds_stay = true;  // what came true is so on a sample of now when it is asked for at its hold's end
  Micros remedy_takes = kSecond;

  // ---- what came of it
  const State& state() const { return engine_->state(); }
  const v1::Incident& incident(size_t n = 0) const;  // in the order of their numbers
  size_t incidents() const { return state().incidents.size(); }
  std::vector<v1::CommandEntry> Commands() const;  // in the order of their making
  v1::CommandEntry Command(size_t n = 0) const;
  std::vector<v1::Plan> Plans() const;  // in the order of their making
  v1::Plan Plan(size_t n = 0) const;
  std::vector<std::string> Pages() const;  // "receiver/transition" of every page queued, in order
  std::vector<std::string> Copies() const;
  std::vector<std::string> Decisions() const;  // "verdict/guard" of every decision record, in order
  std::string LastDecision() const;
  bool Told(const std::string& text) const;  // some timeline entry of any incident contains it
  const std::vector<Record>& log() const { return log_; }
  std::map<std::string, int> sent;     // SendNotice intents by key
  std::map<std::string, int> starts;   // SendCommand intents by command id
  std::map<std::string, int> cancels;  // CancelCommand intents by command id
  Micros now() const { return now_; }

 private:
  struct Later {
    Micros at = 0;
    std::function<void()> what;
  };
  void Take(Handled handled);
  void Carry(const Intent& intent);
  void Send(const std::string& command);
  void Finish(const std::string& command);
  void After(Micros delay, std::function<void()> what);
  bool RunLater(Micros until);

  Micros now_;
  uint64_t epoch_ = 0;
  std::unique_ptr<Engine> engine_;
  std::vector<Record> log_;
  State folded_;
  v1::Snapshot snapshot_;
  size_t snapshot_at_ = 0;
  std::vector<Later> later_;
  std::map<std::string, v1::WatchEdge::Value> told_;  // by watch, since this start
  std::vector<Answer> answers_;
  v1::Config config_;
};

}  // namespace quell::engine
