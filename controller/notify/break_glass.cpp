#include "controller/notify/break_glass.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/fleet/people.h"

namespace quell::notify {

bool TellsManagement(const v1::Config& config) {
  const auto& all = config.receivers();
  return std::any_of(all.begin(), all.end(), [](const v1::Receiver& r) { return r.name() == kManagement; });
}

std::string NameOf(const v1::PersonAct& act) {
  const auto* field = v1::PersonAct::descriptor()->FindFieldByNumber(act.act_case());
  return field == nullptr ? "nothing" : field->name();
}

engine::Outcome OnBreakGlass(const engine::State& state, const v1::PersonAct& act, Micros now) {
  if (!act.break_glass() || !fleet::AnybodyHasARole(state) || !TellsManagement(state.config)) return {};
  const std::string transition = absl::StrCat(act.person(), "-", now / kHour);
  const std::string queue = "break-glass";
  const std::string key = absl::StrCat(queue, "/", kManagement, "/", transition);
  if (state.notices.contains(key)) return {};
  v1::Payload payload;
  v1::Notice* notice = payload.mutable_notice_queued()->mutable_notice();
  notice->set_key(key);
  notice->set_incident(queue);
  notice->set_receiver(kManagement);
  notice->set_transition(transition);
  notice->set_subject(absl::StrCat("[break-glass] ", act.person(), " acts on the controller's own host"));
  notice->set_text(absl::StrCat(
      "At ", FormatRfc3339(now), " ", act.person(),
      " used the controller's own socket, past people's certificates and roles: ", NameOf(act),
      ".\nWhat else ", act.person(), " does there within this hour is recorded and not told one by one.\n"));
  notice->set_state(v1::QUEUED);
  notice->set_queued_us(now);
  notice->set_next_us(now);
  notice->set_severity(v1::P3);
  engine::Outcome out;
  out.Add(std::move(payload));
  return out;
}

}  // namespace quell::notify
