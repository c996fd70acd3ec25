// Waiting on an absl::Mutex with a time limit, by the monotonic clock.
//
// Debian 12's Abseil (20220623) turns a limit into a point of wall time and lets the kernel wait for that:
// when the wall clock is set back by an hour, each such wait lasts an hour longer, and with it heartbeats,
// sweeps and deadlines stop. Later releases wait by the monotonic clock; until one of them is what we link,
// its Waiter is ours: the limit becomes a time from now at the moment the wait begins.
#pragma once

namespace quell {

// Does nothing but be there: whoever calls it links our Waiter in place of Abseil's.
void WaitByMonotonicClock();

}  // namespace quell
