#include "controller/notify/outbox.h"

#include <algorithm>

namespace quell::notify {
namespace {

using engine::NoticeEdit;
using engine::Outcome;
using engine::State;
using v1::Notice;

bool Earlier(const Notice& a, const Notice& b) {
  if (a.queued_us() != b.queued_us()) return a.queued_us() < b.queued_us();
  return a.key() < b.key();
}

// The oldest notice of an incident and receiver ("INCIDENT/RECEIVER/") that is not over.
const Notice* First(const State& state, const std::string& queue) {
  const Notice* first = nullptr;
  for (auto it = state.notices.lower_bound(queue); it != state.notices.end(); ++it) {
    if (it->first.compare(0, queue.size(), queue) != 0) break;
    if (IsOver(it->second)) continue;
    if (first == nullptr || Earlier(it->second, *first)) first = &it->second;
  }
  return first;
}

Micros BackOff(uint32_t attempts) {
  Micros wait = kSecond;
  for (uint32_t i = 1; i < attempts && wait < kLongestBackOff; ++i) wait *= 2;
  return std::min(wait, kLongestBackOff);
}

void Entry(const State& state, const Notice& notice, const std::string& text, Outcome& out) {
  if (!state.incidents.contains(notice.incident())) return;
  engine::IncidentEdit edit(notice.incident());
  edit.Entry("quell", "told", text);
  out.Add(edit.Take());
}

// A page that can't be delivered doesn't wait for an acknowledgement that can't come.
void WalkOn(const State& state, const Notice& notice, Micros now, Outcome& out) {
  const v1::Incident* incident = engine::FindOrNull(state.incidents, notice.incident());
  if (!notice.page() || incident == nullptr || incident->acknowledge_by_us() <= now) return;
  engine::IncidentEdit edit(incident->id());
  edit.With(v1::Incident::kAcknowledgeByUsFieldNumber).set_acknowledge_by_us(now);
  out.Add(edit.Take());
}

Outcome GiveUp(const State& state, const Notice& notice, const std::string& error, Micros now) {
  Outcome out;
  NoticeEdit edit(notice.key());
  edit.With(Notice::kStateFieldNumber).set_state(v1::GIVEN_UP);
  edit.With(Notice::kErrorFieldNumber).set_error(error);
  edit.With(Notice::kNextUsFieldNumber).set_next_us(0);
  out.Add(edit.Take());
  Entry(state, notice, "could not tell " + notice.receiver() + " (" + notice.transition() + "): " + error,
        out);
  WalkOn(state, notice, now, out);
  return out;
}

Outcome Again(const Notice& notice, const v1::NoticeResult& input, Micros now) {
  const Micros wish = std::clamp<Micros>(input.retry_after_us(), 0, kLongestRetryAfter);
  NoticeEdit edit(notice.key());
  edit.With(Notice::kStateFieldNumber).set_state(v1::QUEUED);
  edit.With(Notice::kErrorFieldNumber).set_error(input.error());
  edit.With(Notice::kNextUsFieldNumber).set_next_us(now + std::max(BackOff(notice.attempts()), wish));
  if (input.ambiguous()) edit.With(Notice::kMayRepeatFieldNumber).set_may_repeat(true);
  Outcome out;
  out.Add(edit.Take());
  return out;
}

Outcome Begin(const State& state, const std::string& queue, Micros now) {
  const Notice* first = First(state, queue);
  if (first == nullptr || first->state() != v1::QUEUED || first->next_us() > now) return {};
  NoticeEdit edit(first->key());
  edit.With(Notice::kStateFieldNumber).set_state(v1::SENDING);
  edit.With(Notice::kAttemptsFieldNumber).set_attempts(first->attempts() + 1);
  Outcome out;
  out.Add(edit.Take());
  return out;
}

}  // namespace

bool IsOver(const Notice& notice) {
  return notice.state() == v1::SENT || notice.state() == v1::GIVEN_UP || notice.state() == v1::SUPERSEDED;
}

Micros DueAt(const State& state, const std::string& queue) {
  const Notice* first = First(state, queue);
  if (first == nullptr || first->state() != v1::QUEUED) return 0;
  return std::max<Micros>(first->next_us(), 1);
}

Outcome Begin(const State& state, const std::string& incident, const std::string& receiver, Micros now) {
  return Begin(state, incident + "/" + receiver + "/", now);
}

Outcome OnResult(const State& state, const v1::NoticeResult& input, Micros now) {
  const Notice* notice = engine::FindOrNull(state.notices, input.key());
  if (notice == nullptr || notice->state() != v1::SENDING) return {};
  if (input.sent()) {
    Outcome out;
    NoticeEdit edit(notice->key());
    edit.With(Notice::kStateFieldNumber).set_state(v1::SENT);
    edit.With(Notice::kSentUsFieldNumber).set_sent_us(now);
    edit.With(Notice::kErrorFieldNumber).clear_error();
    out.Add(edit.Take());
    Entry(state, *notice, "told " + notice->receiver() + ": " + notice->transition(), out);
    return out;
  }
  if (input.permanent()) return GiveUp(state, *notice, input.error(), now);
  if (now - notice->queued_us() >= kGiveUpAfter)
    return GiveUp(state, *notice, "24 h of trying: " + input.error(), now);
  return Again(*notice, input, now);
}

Outcome OnControllerStarted(const State& state, Micros now) {
  Outcome out;
  for (const auto& [key, notice] : state.notices) {
    if (notice.state() != v1::SENDING) continue;
    NoticeEdit edit(key);
    edit.With(Notice::kStateFieldNumber).set_state(v1::QUEUED);
    edit.With(Notice::kMayRepeatFieldNumber).set_may_repeat(true);
    edit.With(Notice::kNextUsFieldNumber).set_next_us(now);
    out.Add(edit.Take());
  }
  return out;
}

Outcome DueNotices(const State& state, Micros now) {
  Outcome out;
  for (const std::string& queue : state.index.notices.Until(now)) out.Add(Begin(state, queue, now));
  return out;
}

Micros NextNotice(const State& state) { return state.index.notices.next(); }

}  // namespace quell::notify
