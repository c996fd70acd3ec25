#include "agent/reader/exit_join.h"

#include <utility>

namespace quell::reader {
namespace {

constexpr Micros kLineAge = kSecond;  // an older line belongs to another exit

}  // namespace

bool ExitJoin::Join(v1::Pm2Event& event, Micros now) {
  const auto found = lines_.find(event.pm_id());
  if (found == lines_.end() || now - found->second.at > kLineAge) return false;
  event.set_signal(found->second.line.signal);
  event.set_exit_code(found->second.line.exit_code);
  lines_.erase(found);
  return true;
}

void ExitJoin::Add(v1::Pm2Event event, Micros now) {
  Held held{std::move(event), now, true};
  if (held.event.event() == "exit") {
    // A stop tells its end a second time, with status `stopped` and no line of its own.
    bool& stopping = was_stopping_[held.event.pm_id()];
    const bool second = stopping && held.event.status() != "stopping";
    stopping = held.event.status() == "stopping";
    if (!second && !Join(held.event, now)) {
      held.ready = false;
      held.until = now + kWait;
    }
  }
  held_.push_back(std::move(held));
  if (held_.size() > kMost) held_.front().ready = true;
  if (was_stopping_.size() > kMost) was_stopping_.clear();
}

void ExitJoin::Add(const pm2::ExitLine& line, Micros now) {
  for (Held& held : held_) {
    if (held.ready || held.event.pm_id() != line.pm_id) continue;
    held.event.set_signal(line.signal);
    held.event.set_exit_code(line.exit_code);
    held.ready = true;
    return;
  }
  if (lines_.size() >= kMost) lines_.clear();
  lines_[line.pm_id] = {line, now};
}

std::vector<v1::Pm2Event> ExitJoin::Take(Micros now) {
  std::vector<v1::Pm2Event> events;
  while (!held_.empty() && (held_.front().ready || now >= held_.front().until || held_.size() > kMost)) {
    events.push_back(std::move(held_.front().event));
    held_.pop_front();
  }
  return events;
}

void ExitJoin::Clear() {
  held_.clear();
  lines_.clear();
  was_stopping_.clear();
}

}  // namespace quell::reader
