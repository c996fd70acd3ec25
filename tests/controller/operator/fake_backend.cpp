#include "tests/controller/operator/fake_backend.h"

namespace quell::operators {
namespace {

v1::Incident MakeIncident(uint64_t number, const std::string& id, v1::Severity severity,
                          const std::string& title, Micros since) {
  v1::Incident incident;
  incident.set_id(id);
  incident.set_number(number);
  incident.set_title(title);
  incident.set_severity(severity);
  incident.set_status(v1::INVESTIGATING);
  incident.set_started_us(since);
  incident.set_detected_us(since + 2 * kSecond);
  incident.set_declared_us(since + 2 * kSecond);
  incident.set_declared_by("quell");
  return incident;
}

v1::CommandEntry MakeCommand(const std::string& id, uint64_t number, const std::string& incident,
                             v1::CommandState state, Micros at) {
  v1::CommandEntry command;
  command.set_id(id);
  command.set_number(number);
  command.set_incident(incident);
  command.set_action("pm2.restart");
  command.mutable_typed()->mutable_pm2_restart()->set_user("deploy");
  command.mutable_typed()->mutable_pm2_restart()->set_app("portal");
  command.set_host("web-1");
  command.set_host_id("11111111-1111-4111-8111-111111111111");
  command.set_user("deploy");
  command.set_requested_by("policy:restart-hung-app");
  command.set_policy("restart-hung-app");
  command.set_state(state);
  command.set_proposed_us(at);
  return command;
}

v1::Host MakeHost(const std::string& id, const std::string& name, v1::Liveness liveness, Micros since) {
  v1::Host host;
  host.set_id(id);
  host.set_name(name);
  host.set_liveness(liveness);
  host.set_liveness_since_us(since);
  host.set_agent_version("0.1.0");
  host.set_executor_connected(liveness == v1::CONNECTED);
  (*host.mutable_labels())["role"] = name.substr(0, name.find('-'));
  return host;
}

void FillIncidents(MapBackend& backend, Micros now) {
  v1::Incident lag = MakeIncident(416, "INC-20261123-021207", v1::P2, "replication lag db-2", now - kHour);
  lag.set_acknowledged_us(now - 50 * kMinute);
  lag.set_acknowledged_by("person:bob");
  backend.PutIncident(lag);
  v1::Incident down =
      MakeIncident(417, "INC-20261123-031207", v1::P0, "client-portal down", now - 6 * kMinute);
  down.set_acknowledge_by_us(now + 2 * kMinute);
  down.set_impact("seen from 2 hosts");
  down.add_hosts("web-1");
  down.add_signals("AppHung/0123456789abcdef");
  down.add_commands(std::string(32, 'a'));
  auto* entry = down.add_timeline();
  entry->set_at_us(now - 6 * kMinute);
  entry->set_who("quell");
  entry->set_kind("declared");
  entry->set_text("P0: client-portal down");
  backend.PutIncident(down);
  v1::Incident old = MakeIncident(400, "INC-20261120-101010", v1::P3, "certificate", now - 3 * kDay);
  old.set_status(v1::CLOSED);
  backend.PutIncident(old);
}

void FillCommands(MapBackend& backend, Micros now) {
  const std::string incident = "INC-20261123-031207";
  v1::CommandEntry first = MakeCommand(std::string(32, 'a'), 1, incident, v1::SUCCEEDED, now - 5 * kMinute);
  first.set_verification(v1::NOT_VERIFIED);
  first.set_started_us(now - 5 * kMinute);
  first.set_finished_us(now - 4 * kMinute);
  first.set_evidence_ms(250);
  first.add_sessions()->set_pid(4711);
  v1::CommandReported reported;
  const auto take = [&](const std::string& name, const std::string& content) {
    const std::string sha256 = backend.PutEvidence(first.id(), name, content, now + 30 * kDay);
    first.add_evidence(sha256);
    reported.add_evidence_names(name);
    reported.add_evidence_sha256(sha256);
  };
  take("log.out", "ready\n\x1b[2Jlast words\n");
  take("proc.wchan", std::string("do_exit\0\xff", 9));
  reported.add_evidence_missing("kernel.stack: opening /proc/7/stack: Permission denied");
  backend.PutCommand(first);
  backend.Put("evidence", first.id(), reported, now - 4 * kMinute, true, incident);
  // Another host's word about this command: filed, and none of its evidence.
  backend.PutEvidence(first.id(), "log.out", "a lie", now + 30 * kDay);
  v1::CommandEntry waits =
      MakeCommand("aabb" + std::string(28, '0'), 2, incident, v1::AWAITING_APPROVAL, now - 3 * kMinute);
  v1::Intent intent;
  *intent.mutable_action() = waits.typed();
  intent.add_host_ids("11111111-1111-4111-8111-111111111111");
  intent.set_cause(incident);
  intent.set_requested_by(waits.requested_by());
  intent.set_id("\xaa\xbb" + std::string(14, '\0'));
  waits.set_intent(intent.SerializeAsString());
  backend.PutCommand(waits);
  v1::CommandEntry alone = MakeCommand("cc" + std::string(30, '1'), 58, "", v1::REFUSED, now - 2 * kMinute);
  alone.set_requested_by("person:alice");
  alone.set_policy("");
  alone.set_reason("sanctions.yaml names no such app");
  alone.set_refusal(v1::REFUSAL_SANCTION);
  backend.PutCommand(alone);
}

}  // namespace

void FillExample(MapBackend& backend, Micros now) {
  backend.now = now;
  FillIncidents(backend, now);
  FillCommands(backend, now);
  v1::Host web = MakeHost("11111111-1111-4111-8111-111111111111", "web-1", v1::CONNECTED, now - kDay);
  web.add_apps("deploy/portal");
  backend.Put("host", web.id(), web, now - kDay);
  const v1::Host other = MakeHost("22222222-2222-4222-8222-222222222222", "web-2", v1::CONNECTED, now - kDay);
  backend.Put("host", other.id(), other, now - kDay);
  const v1::Host db = MakeHost("33333333-3333-4333-8333-333333333333", "db-1", v1::LOST, now - kMinute);
  backend.Put("host", db.id(), db, now - kMinute);
  v1::Decision decision;
  decision.set_at_us(now - 3 * kMinute);
  decision.set_incident("INC-20261123-031207");
  decision.set_policy("restart-hung-app");
  decision.set_verdict("ask");
  decision.set_guard("attempts");
  decision.set_reason("2 attempts within 1h are used up");
  decision.set_command("aabb" + std::string(28, '0'));
  backend.Put("decision", "d1", decision, decision.at_us(), true, decision.incident());
  auto* policy = backend.config.add_policies();
  policy->set_name("restart-hung-app");
  policy->set_mode(v1::AUTOMATIC);
  policy->add_alerts("AppHung");
  backend.config.add_policies()->set_mode(v1::ASK);
  backend.info = {
      "0.1.0",    "44444444-4444-4444-8444-444444444444", std::string(64, 'a'), "sqlite", 7, now - 41 * kDay,
      2 * kSecond};
}

void FillPlan(MapBackend& backend, v1::PlanState state) {
  v1::Plan plan;
  plan.set_id(std::string(32, 'd'));
  plan.set_number(3);
  plan.set_incident("INC-20261123-031207");
  plan.mutable_action()->mutable_release_rollback()->set_user("deploy");
  plan.mutable_action()->mutable_release_rollback()->set_deployment("portal");
  for (const char* host : {"web-1", "web-2"}) plan.add_hosts(host);
  plan.set_requested_by("policy:bad-release");
  plan.set_policy("bad-release");
  plan.set_step(1);
  plan.set_state(state);
  if (state == v1::PLAN_RUNNING) plan.add_commands(std::string(32, 'a')), plan.set_begun(1);
  plan.set_proposed_us(backend.now - kMinute);
  backend.Put("plan", plan.id(), plan, plan.proposed_us(), true, plan.incident());
}

}  // namespace quell::operators
