// The states of notices: queued, being sent, sent, given up. One key is one notice for ever; per incident and
// receiver they go out in order. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::notify {

inline constexpr Micros kLongestBackOff = 5 * kMinute;
inline constexpr Micros kLongestRetryAfter = kHour;
inline constexpr Micros kGiveUpAfter = 24 * kHour;

// A notice was queued or is over: the next one of its incident and receiver is begun.
engine::Outcome Begin(const engine::State& state, const std::string& incident, const std::string& receiver,
                      Micros now);
engine::Outcome OnResult(const engine::State& state, const v1::NoticeResult& input, Micros now);
// Nobody knows whether what was being sent arrived: it is sent again under its key, marked.
engine::Outcome OnControllerStarted(const engine::State& state, Micros now);
engine::Outcome DueNotices(const engine::State& state, Micros now);
Micros NextNotice(const engine::State& state);  // 0: none

bool IsOver(const v1::Notice& notice);
// When the first notice of `queue` ("INCIDENT/RECEIVER/") that is not over is to be begun; 0: never, or it is
// being sent.
Micros DueAt(const engine::State& state, const std::string& queue);

}  // namespace quell::notify
