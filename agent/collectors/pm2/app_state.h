// What is known of a PM2 daemon's apps, made of a reader's frames: the list says what is, the events say why.
// A daemon that doesn't answer takes nothing of it back: what its list can't tell, why an app is stopped and
// how often it crashed, is still there when the same daemon answers again. Pure: no I/O, no clock; one
// thread. Bound: as many apps as a list may hold.
//
// Series (labels user, app, pm_id), and how rules decide on them what must never be taken for an incident,
// and what must never be undone:
//
//   a crash that PM2 heals by itself    none of the alerts below; pm2_app_unplanned_exits_total counts it
//   not online again in time            pm2_app_down_seconds > pm2_app_restart_delay_seconds + 10
//   three unplanned exits in 5 min      pm2_app_unplanned_exits_5m >= 3
//   online without a process            pm2_app_without_process == 1
//   PM2 has given up                    pm2_app_given_up == 1
//   stopped by hand                     pm2_app_stopped_by_hand == 1; the four above are 0 then
//   the daemon is gone                  pm2_up{user} == 0; by hand: pm2_daemon_stopped_by_hand{user} == 1
//   should be serving                   pm2_app_online == 1 (to be joined with a probe about the app)
//
// By hand means: status `stopping` came before the exit (stop, restart, reload, scale, deploy, PM2's own
// restarts for memory, cron or a changed file), or a manual event on the bus. Of unknown origin (stopped when
// we first looked, or while the bus was not read) counts as by hand. Given up is: `errored`, "restart
// overlimit", or an exit with autorestart off whose code is not 0 and not among stop_exit_codes, or for which
// PM2's log names a fatal signal; SIGINT (what the log names when there was none), SIGTERM and SIGHUP ask
// for an end and are not fatal.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/time.h"
#include "quell/v1/reader.pb.h"

namespace quell::agent {

inline constexpr Micros kExitWindow = 5 * kMinute;
// Instead of a process id: there is a process, and the next list will tell its id (an event doesn't).
inline constexpr int64_t kPidToCome = -1;

struct AppState {
  v1::Pm2App app;         // as last listed; status, start and exit code as the newest of list and events say
  bool stopping = false;  // an exit with `stopping` came, its second one has not
  bool by_hand = false;
  bool given_up = false;
  Micros down_since = 0;       // monotonic; unplanned exit, and not online since; 0: not so
  int64_t exited_pid = 0;      // of the process known to be gone: a list that still shows it is older
  int64_t exited_start = 0;    // likewise, in ms: one that came and went between two lists has no known id
  int64_t exit_restarts = -1;  // PM2's count of restarts at the last exit
  int64_t unplanned = 0;
  std::deque<Micros> recent;  // monotonic; unplanned exits of the window, at most 64

  bool online() const;           // status online or launching, and a process
  bool without_process() const;  // online without pid
  int64_t recent_exits(Micros now) const;
};

// Something to be told at once.
struct AppChange {
  std::string kind;    // "pm2.exit", "pm2.online", "pm2.stop", "pm2.restart", "pm2.overlimit",
                       // "pm2.daemon.gone", "pm2.daemon.back"
  int64_t pm_id = -1;  // -1: the daemon itself
  std::string app;
  std::string text;
};

// An app without autorestart that PM2 gave up. Its list says "stopped" then, as after a stop by hand: whoever
// starts anew has to be told.
struct GivenUpApp {
  int64_t daemon_pid = 0;
  int64_t started_ms = 0;  // its last start
  std::string name;
};

class Pm2State {
 public:
  // As a process before this one knew it; before the first frame. What the first list doesn't confirm is
  // forgotten.
  void Recall(int64_t pm_id, GivenUpApp app) { recalled_[pm_id] = std::move(app); }
  // By pm_id: what a process after this one can't see.
  std::map<int64_t, GivenUpApp> given_up() const;

  // Takes a frame that came at `now` (monotonic).
  std::vector<AppChange> Take(const v1::ReaderFrame& frame, Micros now);

  bool known() const { return known_; }  // a frame that said whether it is up has come
  bool up() const { return up_; }
  bool stopped_by_hand() const { return stopped_by_hand_; }
  const std::string& version() const { return version_; }
  // As last heard; while the daemon is not up, that is not known to be so any more.
  const std::map<int64_t, AppState>& apps() const { return apps_; }

 private:
  void TakeList(const v1::ReaderFrame& frame, Micros now, std::vector<AppChange>& changes);
  bool Recalls(const v1::Pm2App& app) const;
  void TakeDown(const v1::ReaderFrame& frame, std::vector<AppChange>& changes);
  void TakeEvent(const v1::Pm2Event& event, Micros now, std::vector<AppChange>& changes);

  bool known_ = false;
  bool up_ = false;
  bool stopped_by_hand_ = false;
  int64_t daemon_pid_ = 0;
  std::string version_;
  std::map<int64_t, GivenUpApp> recalled_;
  std::map<int64_t, AppState> apps_;
};

bool IsFatalSignal(std::string_view name);

}  // namespace quell::agent
