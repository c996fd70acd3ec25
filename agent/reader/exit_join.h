// ExitJoin: gives an exit event the signal that only the daemon's own log names. The line mostly comes right
// before the event; an event waits at most kWait for it, and those behind it wait along, so that order stays.
// Bounded: at most kMost events are held (the oldest leaves unjoined) and kMost lines kept. Pure, one thread.
#pragma once
#include <deque>
#include <map>
#include <vector>

#include "agent/pm2/messages.h"
#include "common/base/time.h"
#include "quell/v1/reader.pb.h"

namespace quell::reader {

class ExitJoin {
 public:
  static constexpr Micros kWait = 50 * kMillisecond;
  static constexpr size_t kMost = 1024;

  void Add(v1::Pm2Event event, Micros now);
  void Add(const pm2::ExitLine& line, Micros now);
  // Events that need not wait any more, in order.
  std::vector<v1::Pm2Event> Take(Micros now);
  // When Take will have something at the latest; 0: nothing is held.
  Micros next() const { return held_.empty() ? 0 : held_.front().until; }
  void Clear();

 private:
  struct Held {
    v1::Pm2Event event;
    Micros until = 0;
    bool ready = false;
  };
  struct Line {
    pm2::ExitLine line;
    Micros at = 0;
  };
  bool Join(v1::Pm2Event& event, Micros now);

  std::deque<Held> held_;
  std::map<int64_t, Line> lines_;         // by pm_id: the newest, not yet used
  std::map<int64_t, bool> was_stopping_;  // the last exit of this pm_id came with `stopping`
};

}  // namespace quell::reader
