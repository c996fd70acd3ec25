#include <algorithm>

#include "controller/engine/outcome.h"
#include "controller/incidents/find.h"
#include "controller/policy/hold.h"
#include "tests/simulation/world.h"

namespace quell::simulation {
namespace {

using engine::State;

class Checker {
 public:
  Checker(const World& world, std::vector<std::string>& broken) : world_(world), broken_(broken) {}

  void Run(const std::vector<engine::Record>& records) {
    for (const engine::Record& record : records) {
      if (record.header.seq() != state_.seq + 1)
        Broken("a record is missing before " + std::to_string(record.header.seq()));
      Before(record);
      engine::Apply(state_, record.header, record.payload);
    }
    EffectsHaveACause();
    GiveUpsAreTold();
    NobodyWaitsUnheard();
  }

 private:
  void Broken(std::string what) {
    if (broken_.size() < 20) broken_.push_back(std::move(what));
  }

  void Before(const engine::Record& record) {
    const v1::Payload& payload = record.payload;
    if (payload.has_decision_made() && !payload.decision_made().decision().command().empty()) {
      decided_.insert(payload.decision_made().decision().command());
    }
    if (payload.has_command_issued()) {
      const v1::CommandEntry& command = payload.command_issued().command();
      const bool by_person = command.requested_by().compare(0, 7, "person:") == 0;
      const std::string& decided = command.plan().empty() ? command.id() : command.plan();
      if (!by_person && !decided_.contains(decided)) Broken("command " + command.id() + " has no decision");
      if (!command.plan().empty()) {
        OfPlan(command);
      } else {
        if (command.state() == v1::ISSUED) NoPlanRuns(command);
        if (!by_person) InOrder(command), OneAtATime(command);
      }
      if (command.state() == v1::ISSUED) Issued(command, record.header.time_us());
    }
    if (payload.has_command_changed() && payload.command_changed().set().state() == v1::ISSUED) {
      auto it = state_.commands.find(payload.command_changed().command());
      if (it == state_.commands.end()) return Broken("a command that nobody issued changes");
      if (it->second.state() == v1::AWAITING_APPROVAL &&
          payload.command_changed().set().approved_by().empty()) {
        Broken("command " + it->first + " was issued and nobody approved it");
      }
      if (it->second.state() == v1::AWAITING_APPROVAL) NoPlanRuns(it->second);  // else it is sent again
      Issued(it->second, record.header.time_us());
    }
    if (payload.has_plan_changed()) Changed(payload.plan_changed());
    if (payload.has_incident_changed() && payload.incident_changed().set().given_up()) {
      given_up_.insert(payload.incident_changed().incident());
    }
  }

  void Issued(const v1::CommandEntry& command, Micros now) {
    issued_.insert(command.id());
    const v1::Hold* hold = policy::FindHold(state_, policy::IntendedBy(state_, command), now);
    if (hold != nullptr) Broken("command " + command.id() + " was issued while on hold " + hold->id());
  }

  void OneAtATime(const v1::CommandEntry& command) {
    for (const auto& [id, other] : state_.commands) {
      if (other.group() == command.group() && incidents::InFlight(other)) {
        Broken("command " + command.id() + " was made while " + id + " of its group is under way");
      }
    }
  }

  static bool EndedWell(const v1::CommandEntry& command) {
    return command.state() == v1::SUCCEEDED && !incidents::InFlight(command) &&
           command.verification() != v1::NOT_VERIFIED;
  }

  // One first, then waves, each after the one before was verified; each host once, as listed; nothing after
  // an end, nor after a worker that died.
  void OfPlan(const v1::CommandEntry& command) {
    auto it = state_.plans.find(command.plan());
    if (it == state_.plans.end()) return Broken("command " + command.id() + " is of no plan");
    const v1::Plan& plan = it->second;
    const std::string what = "plan " + plan.id() + " issued for " + command.host();
    if (plan.state() != v1::PLAN_RUNNING) Broken(what + " and does not run");
    for (const std::string& id : plan.commands()) {
      auto before = state_.commands.find(id);
      if (before != state_.commands.end() && !EndedWell(before->second))
        Broken(what + " before " + before->second.host() + " was verified");
      if (world_.bad_ends.contains(id)) Broken(what + " after the worker of " + id + " died");
    }
    const int place = static_cast<int>(plan.begun()) + static_cast<int>(wave_[plan.id()]++);
    if (place >= plan.host_ids_size() || plan.host_ids(place) != command.host_id())
      Broken(what + " out of its list");
    const uint32_t most = plan.begun() == 0 ? 1 : std::max(1, plan.host_ids_size() / 10);
    if (wave_[plan.id()] > most) Broken(what + " in a wave of more than " + std::to_string(most));
    for (const auto& [id, other] : state_.commands) {
      const bool waits = other.state() == v1::AWAITING_APPROVAL || other.plan() == plan.id();
      if (other.group() == command.group() && !waits && incidents::InFlight(other))
        Broken(what + " while " + id + " of its group is under way");
    }
  }

  void Changed(const v1::PlanChanged& change) {
    wave_.erase(change.plan());
    auto it = state_.plans.find(change.plan());
    if (it == state_.plans.end()) return Broken("a plan that nobody made changes");
    const bool runs = change.set().state() == v1::PLAN_RUNNING;
    if (runs && change.set().approved_by().rfind("person:", 0) != 0)
      Broken("plan " + change.plan() + " runs, and no person approved it");
  }

  void NoPlanRuns(const v1::CommandEntry& command) {
    for (const auto& [id, plan] : state_.plans) {
      if (plan.state() != v1::PLAN_RUNNING || plan.commands().empty()) continue;
      auto of = state_.commands.find(plan.commands(0));
      if (of != state_.commands.end() && of->second.group() == command.group())
        Broken("command " + command.id() + " was issued while plan " + id + " of its group runs");
    }
  }

  // A step after the first follows one of this firing that is over, or that did not apply.
  void InOrder(const v1::CommandEntry& command) {
    auto signal = state_.signals.find(command.signal());
    if (command.step() == 0 || signal == state_.signals.end()) return;
    bool tried = false;
    for (const auto& [id, other] : state_.commands) {
      const bool same = other.signal() == command.signal() && other.policy() == command.policy();
      // What a remedy under verification makes fire again is the same firing.
      const bool unproven = other.verification() == v1::NOT_VERIFIED || incidents::InFlight(other);
      const Micros until =
          unproven ? std::max(other.proposed_us(), other.verify_by_us()) : other.proposed_us();
      if (!same || other.step() + 1 != command.step() || until < signal->second.edge_us()) continue;
      tried = true;
      if (incidents::InFlight(other))
        Broken("step " + std::to_string(command.step()) + " began before " + id + " ended");
    }
    if (!tried) Broken("step " + std::to_string(command.step()) + " began without the one before it");
  }

  void EffectsHaveACause() {
    for (const auto& [id, times] : world_.effects) {
      if (!issued_.contains(id))
        Broken("command " + id + " had an effect, and the log doesn't know that it was issued");
    }
  }

  bool Arrived(const std::string& incident, const std::string& transition) const {
    const std::string prefix = incident + "/";
    for (auto it = world_.delivered.lower_bound(prefix); it != world_.delivered.end(); ++it) {
      if (it->first.compare(0, prefix.size(), prefix) != 0) break;
      const std::string rest = it->first.substr(it->first.find('/', prefix.size()) + 1);
      if (transition.empty() || rest == transition) return true;
    }
    return false;
  }

  void GiveUpsAreTold() {
    for (const std::string& id : given_up_) {
      if (!Arrived(id, "given_up")) Broken("automation gave up on " + id + " and nobody was told");
    }
  }

  // At the end of a long quiet time nothing is open that nobody heard of.
  void NobodyWaitsUnheard() {
    for (const auto& [id, incident] : state_.incidents) {
      if (!incidents::IsOpen(incident) || incident.status() == v1::MONITORING) continue;
      if (!Arrived(id, "")) Broken("incident " + id + " is open and nobody heard of it");
      if (!incident.paged() && incident.acknowledged_us() == 0)
        Broken("incident " + id + " is open and woke nobody");
    }
    for (const auto& [id, command] : state_.commands) {
      if (incidents::InFlight(command)) Broken("command " + id + " never came to an end");
    }
    for (const auto& [id, plan] : state_.plans) {
      if (incidents::IsOpen(plan)) Broken("plan " + id + " never came to an end");
    }
    for (const auto& [key, notice] : state_.notices) {
      if (notice.state() == v1::QUEUED || notice.state() == v1::SENDING)
        Broken("notice " + key + " was never delivered");
    }
  }

  const World& world_;
  std::vector<std::string>& broken_;
  State state_;
  std::set<std::string> decided_, issued_, given_up_;
  std::map<std::string, uint32_t> wave_;  // of a plan: commands since it changed last
};

bool Names(const google::protobuf::RepeatedField<uint32_t>& fields, int field) {
  return std::find(fields.begin(), fields.end(), static_cast<uint32_t>(field)) != fields.end();
}

}  // namespace

std::vector<engine::Record> Planted(std::vector<engine::Record> records, const Bugs& bugs) {
  std::map<std::string, v1::CommandEntry> commands;
  std::set<std::string> went_on;  // signals about which a second step was taken
  for (const engine::Record& record : records) {
    const v1::CommandEntry& command = record.payload.command_issued().command();
    if (command.step() == 1 && command.plan().empty()) went_on.insert(command.signal());
  }
  for (engine::Record& record : records) {
    if (record.payload.has_command_issued()) {
      const v1::CommandEntry& command = record.payload.command_issued().command();
      commands[command.id()] = command;
    }
    if (record.payload.has_plan_changed() && bugs.goes_on_after_stop &&
        record.payload.plan_changed().set().begun() == 1) {
      engine::PlanEdit edit(record.payload.plan_changed().plan());
      edit.State(v1::PLAN_STOPPED, "simulated");
      record.payload.mutable_plan_changed()->MergeFrom(edit.changed());
    }
    if (!record.payload.has_command_changed()) continue;
    v1::CommandChanged& change = *record.payload.mutable_command_changed();
    const v1::CommandEntry& command = commands[change.command()];
    const bool verified = change.set().verification() == v1::VERIFIED;
    if (bugs.wave_before_verified && !command.plan().empty() && verified)
      change.mutable_set()->set_verification(v1::HOLDING);
    if (bugs.wave_before_verified && !command.plan().empty() && change.set().state() == v1::SUCCEEDED)
      change.mutable_set()->set_state(v1::RUNNING);
    const bool ended = change.set().verification() == v1::NOT_VERIFIED;
    if (bugs.step_before_end && command.step() == 0 && ended && went_on.contains(command.signal()) &&
        Names(change.fields(), v1::CommandEntry::kVerificationFieldNumber))
      change.mutable_set()->set_verification(v1::VERIFYING);
  }
  return records;
}

void CheckLog(const World& world, const std::vector<engine::Record>& records,
              std::vector<std::string>& broken) {
  Checker(world, broken).Run(records);
}

}  // namespace quell::simulation
