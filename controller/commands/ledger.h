// The ledger of commands: from issued to an outcome. A command is handed over only while it is fresh, may be
// sent again under its own id (the host starts an id once at most), and is never repeated once nobody can say
// how it ended. Pure.
#pragma once
#include "controller/engine/outcome.h"

namespace quell::commands {

inline constexpr uint32_t kMostDeliveries = 3;
inline constexpr Micros kRetryDelivery = 2 * kSecond;  // after the rim had no session or no nonce
inline constexpr Micros kReportWithin = 2 * kMinute;   // from delivery; no word by then is `unknown`

engine::Outcome OnDelivered(const engine::State& state, const v1::CommandDelivered& input, Micros now);
engine::Outcome OnReported(const engine::State& state, const v1::CommandReported& input, Micros now);
// A session began: what was handed to the old one and not heard of is handed over again.
engine::Outcome OnHostConnected(const engine::State& state, const std::string& host_id, Micros now);
engine::Outcome OnControllerStarted(const engine::State& state, Micros now);
// Cancelled after it was issued: a host may have it.
bool IsCalledBack(const v1::CommandEntry& command);
// Those of this host that it may still begin with: the word that they are cancelled may have been lost with
// its stream, or with its agent's connection to the executor.
std::vector<std::string> ToCallBack(const engine::State& state, const std::string& host_id, Micros now);
// What the hold covers and has not started is cancelled.
engine::Outcome OnHoldSet(const engine::State& state, const v1::Hold& hold, Micros now);
// Proposals about a signal that cleared are withdrawn, and so is what policies ordered and no host has yet;
// what was done about it has helped.
engine::Outcome OnSignalCleared(const engine::State& state, const v1::Signal& signal, Micros now);
engine::Outcome Due(const engine::State& state, Micros now);
Micros NextDue(const engine::State& state);     // 0: none
Micros DueAt(const v1::CommandEntry& command);  // when Due has something to say about it; 0: never

// True when the change means that the command is to be handed over (again).
bool WantsSending(const v1::CommandEntry& command);
// False for a repetition, and for what a host says about a command that is not its own.
bool IsNews(const engine::State& state, const v1::CommandReported& input);

}  // namespace quell::commands
