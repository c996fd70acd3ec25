#include "controller/notify/outbox.h"

#include <algorithm>

namespace quell::notify {
namespace {

using engine::NoticeEdit;
using engine::Outcome;
using engine::State;
using v1::Notice;

bool Over(const Notice& notice) {
  return notice.state() == v1::SENT || notice.state() == v1::GIVEN_UP || notice.state() == v1::SUPERSEDED;
}

bool Earlier(const Notice& a, const Notice& b) {
  if (a.queued_us() != b.queued_us()) return a.queued_us() < b.queued_us();
  return a.key() < b.key();
}

// The oldest notice of this incident and receiver that is not over.
const Notice* First(const State& state, const std::string& incident, const std::string& receiver) {
  const Notice* first = nullptr;
  const std::string prefix = incident + "/" + receiver + "/";
  for (auto it = state.notices.lower_bound(prefix); it != state.notices.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    if (Over(it->second)) continue;
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

}  // namespace

Outcome Begin(const State& state, const std::string& incident, const std::string& receiver, Micros now) {
  const Notice* first = First(state, incident, receiver);
  if (first == nullptr || first->state() != v1::QUEUED || first->next_us() > now) return {};
  NoticeEdit edit(first->key());
  edit.With(Notice::kStateFieldNumber).set_state(v1::SENDING);
  edit.With(Notice::kAttemptsFieldNumber).set_attempts(first->attempts() + 1);
  Outcome out;
  out.Add(edit.Take());
  return out;
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
  for (const auto& [key, notice] : state.notices) {
    if (notice.state() != v1::QUEUED || notice.next_us() > now) continue;
    if (First(state, notice.incident(), notice.receiver()) == &notice) {
      out.Add(Begin(state, notice.incident(), notice.receiver(), now));
    }
  }
  return out;
}

Micros NextNotice(const State& state) {
  Micros next = 0;
  for (const auto& [key, notice] : state.notices) {
    if (notice.state() != v1::QUEUED) continue;
    if (First(state, notice.incident(), notice.receiver()) == &notice)
      next = engine::Earlier(next, std::max<Micros>(notice.next_us(), 1));
  }
  return next;
}

}  // namespace quell::notify
