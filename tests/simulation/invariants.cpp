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
      if (!by_person && !decided_.contains(command.id()))
        Broken("command " + command.id() + " has no decision");
      if (!by_person) OneAtATime(command);
      if (command.state() == v1::ISSUED) Issued(command, record.header.time_us());
    }
    if (payload.has_command_changed() && payload.command_changed().set().state() == v1::ISSUED) {
      auto it = state_.commands.find(payload.command_changed().command());
      if (it == state_.commands.end()) return Broken("a command that nobody issued changes");
      if (it->second.state() == v1::AWAITING_APPROVAL &&
          payload.command_changed().set().approved_by().empty()) {
        Broken("command " + it->first + " was issued and nobody approved it");
      }
      Issued(it->second, record.header.time_us());
    }
    if (payload.has_incident_changed() && payload.incident_changed().set().given_up()) {
      given_up_.insert(payload.incident_changed().incident());
    }
  }

  void Issued(const v1::CommandEntry& command, Micros now) {
    issued_.insert(command.id());
    auto incident = state_.incidents.find(command.incident());
    auto host = state_.hosts.find(command.host_id());
    const v1::Hold* hold =
        policy::FindHold(state_, command.policy(), host == state_.hosts.end() ? nullptr : &host->second,
                         incident == state_.incidents.end() ? nullptr : &incident->second, now);
    if (hold != nullptr) Broken("command " + command.id() + " was issued while on hold " + hold->id());
  }

  void OneAtATime(const v1::CommandEntry& command) {
    for (const auto& [id, other] : state_.commands) {
      if (other.group() == command.group() && incidents::InFlight(other)) {
        Broken("command " + command.id() + " was made while " + id + " of its group is under way");
      }
    }
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
    for (const auto& [key, notice] : state_.notices) {
      if (notice.state() == v1::QUEUED || notice.state() == v1::SENDING)
        Broken("notice " + key + " was never delivered");
    }
  }

  const World& world_;
  std::vector<std::string>& broken_;
  State state_;
  std::set<std::string> decided_, issued_, given_up_;
};

}  // namespace

void CheckLog(const World& world, const std::vector<engine::Record>& records,
              std::vector<std::string>& broken) {
  Checker(world, broken).Run(records);
}

}  // namespace quell::simulation
