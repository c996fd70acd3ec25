// The documents that users read, with the keys of their contract: every entity becomes JSON here and nowhere
// else. Times are RFC 3339 in UTC, null when there is none; durations are seconds. Pure.
#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "common/base/time.h"
#include "controller/operator/backend.h"

namespace quell::operators {

using Json = nlohmann::ordered_json;

// Text of a document: invalid UTF-8 is replaced, never thrown about.
std::string Dump(const Json& json);

Json TimeJson(Micros t);
std::string_view SeverityName(v1::Severity severity);
std::string StatusName(v1::IncidentStatus status);
std::string StateName(v1::CommandState state);

// "417.2", or "C-58" for a command outside an incident; `incident_number` 0 when there is none.
std::string CommandName(const v1::CommandEntry& command, uint64_t incident_number);

// Lists hold no timelines; `commands` and `signals` hold objects with at least `id` and `key`.
Json IncidentJson(const v1::Incident& incident, bool timeline);
Json CommandJson(const v1::CommandEntry& command, uint64_t incident_number);
// With a command's keys, as far as a plan has them; `host` counts its hosts.
Json PlanJson(const v1::Plan& plan, uint64_t incident_number);
Json SignalJson(const v1::Signal& signal);
// Never its hash, key or certificate.
Json TokenJson(const v1::JoinToken& token);
Json PersonJson(const v1::Person& person);
Json HostJson(const v1::Host& host);
// `now` tells whether it is under way: running, finished, failed, expired; done for a moment's.
Json ChangeJson(const v1::Change& change, Micros now);
Json HoldJson(const v1::Hold& hold);
Json NoticeJson(const v1::Notice& notice);
Json DecisionJson(const v1::Decision& decision);
Json EventJson(const v1::AppEvent& event);
Json RuleJson(const v1::AlertRule& rule);
Json PolicyJson(const v1::Policy& policy);
Json ReceiverJson(const v1::Receiver& receiver);
// The actions of this build, from their descriptors.
Json ActionsJson();
// As Prometheus' HTTP API puts it: resultType and result.
Json QueryJson(const std::vector<QuerySeries>& series, bool range);

}  // namespace quell::operators
