#include "agent/collectors/pm2/app_state.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kMostRecent = 64;
constexpr size_t kMostApps = 2000;
constexpr size_t kMostName = 256;  // a longer one doesn't come from our reader
constexpr size_t kMostText = 512;

bool Runs(std::string_view status) { return status == "online" || status == "launching"; }

bool IsStopCode(const v1::Pm2Event& event) {
  const auto& codes = event.stop_exit_codes();
  return std::find(codes.begin(), codes.end(), event.exit_code()) != codes.end();
}

void EndWait(AppState& state) { state.down_since = 0; }

void CountUnplanned(AppState& state, Micros now) {
  ++state.unplanned;
  state.recent.push_back(now);
  if (state.recent.size() > kMostRecent) state.recent.pop_front();
}

// A person acted: what happened before is no crash loop any more.
void ActedByHand(AppState& state) {
  state.recent.clear();
  state.given_up = false;
  EndWait(state);
}

std::string ExitText(const v1::Pm2Event& event, std::string_view how) {
  std::string text =
      absl::StrCat(absl::string_view(how.data(), how.size()), " with code ", event.exit_code());
  // PM2 names SIGINT where it knows of no signal.
  if (!event.signal().empty() && event.signal() != "SIGINT") absl::StrAppend(&text, " by ", event.signal());
  return text;
}

// An exit that nobody asked for; returns how to tell of it.
std::string UnplannedExit(AppState& state, const v1::Pm2Event& event, Micros now) {
  const bool fatal = IsFatalSignal(event.signal());
  if (event.status() == "errored") {
    CountUnplanned(state, now);
    state.given_up = true;
    EndWait(state);
    return ExitText(event, "exited once too often, and PM2 has given up,");
  }
  if (IsStopCode(event) && !fatal) return ExitText(event, "ended, as its stop_exit_codes allow,");
  if (event.autorestart()) {
    CountUnplanned(state, now);
    if (state.down_since == 0) state.down_since = now;
    return ExitText(event, "exited");
  }
  if (event.exit_code() == 0 && !fatal) return ExitText(event, "finished");
  CountUnplanned(state, now);
  state.given_up = true;
  return ExitText(event, "exited, without autorestart,");
}

// Returns what to tell; empty: nothing (the second exit event of a stop).
std::string TakeExit(AppState& state, const v1::Pm2Event& event, Micros now) {
  if (state.app.pid() > 0) state.exited_pid = state.app.pid();
  if (state.app.started_ms() != 0) state.exited_start = state.app.started_ms();
  state.app.set_pid(0);
  state.app.set_exit_code(event.exit_code());
  // A stop while PM2 waits to start it again ends with an exit of what was gone already: no start between.
  const bool gone_before = state.down_since != 0 && state.exit_restarts == event.restarts();
  state.exit_restarts = event.restarts();
  if (event.status() == "stopping" || gone_before) {
    ActedByHand(state);
    state.by_hand = true;
    state.stopping = !gone_before;
    return ExitText(event, "stopped by hand,");
  }
  if (std::exchange(state.stopping, false) || event.manually()) return "";
  return UnplannedExit(state, event, now);
}

void TakeOnline(AppState& state) {
  state.by_hand = false;
  state.given_up = false;
  state.stopping = false;
  state.app.set_pid(kPidToCome);
  state.app.set_status("launching");
  EndWait(state);
}

// An app seen for the first time: why it is as it is, nobody knows.
void FirstSight(AppState& state, Micros now) {
  const std::string& status = state.app.status();
  if (status == "errored") state.given_up = true;
  if (status == "stopped" || status == "stopping") state.by_hand = true;
  if (status == "waiting restart") state.down_since = now;
}

bool HasExited(const AppState& state, const v1::Pm2App& listed) {
  if (listed.pid() != 0 && listed.pid() == state.exited_pid) return true;
  return listed.started_ms() != 0 && listed.started_ms() == state.exited_start;
}

void Relist(AppState& state, v1::Pm2App listed, Micros now) {
  const std::string& status = listed.status();
  if (Runs(status) && HasExited(state, listed)) return;  // an older list
  if (Runs(status)) {
    state.by_hand = false;
    state.given_up = false;
    state.stopping = false;
    EndWait(state);
  } else if (status == "errored") {
    // A stop that could not be done ends here too: that was by hand.
    if (!state.by_hand) state.given_up = true;
    EndWait(state);
  } else if (status == "waiting restart") {
    if (state.down_since == 0 && !state.by_hand) state.down_since = now;
  } else if (status == "stopped" && listed.pid() == 0 && !state.given_up) {
    // Settled, and no event told of a crash that PM2 will not heal: by hand, finished, or of unknown origin.
    const bool finished = !state.by_hand && state.down_since == 0 && state.app.status() == "stopped";
    if (!finished) state.by_hand = true;
    EndWait(state);
  }
  state.app = std::move(listed);
  if (!Runs(state.app.status())) state.app.set_pid(0);  // a stale one, if any
}

}  // namespace

bool IsFatalSignal(std::string_view name) {
  return name.starts_with("SIG") && name != "SIGINT" && name != "SIGTERM" && name != "SIGHUP";
}

// After `online` on the bus the process is there; its pid comes with the next list.
bool AppState::online() const { return Runs(app.status()) && !without_process(); }

bool AppState::without_process() const { return app.status() == "online" && app.pid() == 0; }

int64_t AppState::recent_exits(Micros now) const {
  return std::count_if(recent.begin(), recent.end(), [now](Micros at) { return now - at < kExitWindow; });
}

std::vector<AppChange> Pm2State::Take(const v1::ReaderFrame& frame, Micros now) {
  std::vector<AppChange> changes;
  for (const v1::Pm2Event& event : frame.events()) TakeEvent(event, now, changes);
  if (frame.list_valid()) TakeList(frame, now, changes);
  if (!frame.daemon_up()) TakeDown(frame, changes);
  return changes;
}

void Pm2State::TakeDown(const v1::ReaderFrame& frame, std::vector<AppChange>& changes) {
  if (std::exchange(known_, true) && !up_) return;
  up_ = false;
  const char* how = stopped_by_hand_ ? "the daemon was told to end" : "the daemon doesn't answer";
  changes.push_back({"pm2.daemon.gone", -1, "",
                     absl::StrCat(how, ": ", std::string(CutUtf8(frame.daemon_error(), kMostText)))});
}

void Pm2State::TakeList(const v1::ReaderFrame& frame, Micros now, std::vector<AppChange>& changes) {
  const bool another = daemon_pid_ != 0 && frame.daemon_pid() != daemon_pid_;
  if (known_ && (!up_ || another))
    changes.push_back({"pm2.daemon.back", -1, "",
                       absl::StrCat("PM2 ", frame.daemon_version(), " answers, pid ", frame.daemon_pid())});
  // Another daemon numbers its processes anew. One that was silent knows them all.
  if (another) apps_.clear();
  known_ = up_ = true;
  stopped_by_hand_ = false;
  daemon_pid_ = frame.daemon_pid();
  version_ = frame.daemon_version();
  std::map<int64_t, AppState> before;
  before.swap(apps_);
  for (const v1::Pm2App& app : frame.apps()) {
    if (apps_.size() >= kMostApps) break;
    if (app.name().size() > kMostName) continue;
    const auto found = before.find(app.pm_id());
    AppState& state = apps_[app.pm_id()];
    if (found != before.end() && found->second.app.name() == app.name()) {
      state = std::move(found->second);
      Relist(state, app, now);
    } else {
      state.app = app;
      FirstSight(state, now);
      if (Recalls(app)) state.given_up = true, state.by_hand = false;
    }
  }
  recalled_.clear();
}

bool Pm2State::Recalls(const v1::Pm2App& app) const {
  const auto found = recalled_.find(app.pm_id());
  if (found == recalled_.end() || app.status() != "stopped" || app.pid() != 0) return false;
  const GivenUpApp& then = found->second;
  return then.daemon_pid == daemon_pid_ && then.started_ms == app.started_ms() && then.name == app.name();
}

std::map<int64_t, GivenUpApp> Pm2State::given_up() const {
  std::map<int64_t, GivenUpApp> out;
  for (const auto& [pm_id, state] : apps_) {
    if (state.given_up && state.app.status() == "stopped")
      out[pm_id] = {daemon_pid_, state.app.started_ms(), state.app.name()};
  }
  return out;
}

void Pm2State::TakeEvent(const v1::Pm2Event& event, Micros now, std::vector<AppChange>& changes) {
  if (event.event() == "kill") {
    stopped_by_hand_ = true;
    return;
  }
  if (event.app().size() > kMostName || event.signal().size() > kMostName) return;
  const auto found = apps_.find(event.pm_id());
  if (found == apps_.end() || found->second.app.name() != event.app()) {
    if (apps_.size() >= kMostApps) return;
    apps_[event.pm_id()] = AppState();  // the list follows
    apps_[event.pm_id()].app.set_name(event.app());
    apps_[event.pm_id()].app.set_pm_id(event.pm_id());
  }
  AppState& state = apps_[event.pm_id()];
  state.app.set_restarts(event.restarts());
  state.app.set_autorestart(event.autorestart());
  // A manual event's notes may be older than what it follows.
  if (event.started_ms() != 0 && !event.manually()) state.app.set_started_ms(event.started_ms());
  const auto tell = [&](std::string kind, std::string text) {
    changes.push_back({std::move(kind), event.pm_id(), event.app(), std::move(text)});
  };
  if (event.event() == "exit") {
    std::string text = TakeExit(state, event, now);
    if (!text.empty()) tell("pm2.exit", std::move(text));
  } else if (event.event() == "online") {
    TakeOnline(state);
    tell("pm2.online", "started");
  } else if (event.event() == "restart overlimit") {
    state.given_up = true;
    tell("pm2.overlimit", "PM2 has given up restarting it");
  } else if (event.event() == "stop" && event.manually()) {
    ActedByHand(state);
    state.by_hand = true;
    tell("pm2.stop", "stopped by hand");
  } else if (event.manually()) {  // restart, reload, start
    state.recent.clear();
    tell("pm2.restart", absl::StrCat(event.event(), " by hand"));
  }
  // A manual event only says that somebody acted; its status is what it was when the note was taken.
  if (!event.status().empty() && !event.manually() && event.event() != "online")
    state.app.set_status(event.status());
}

}  // namespace quell::agent
