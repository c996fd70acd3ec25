// What the pm2 collector says of daemons and apps.
#include "common/metrics/metrics.h"

namespace quell {
namespace {

constexpr MetricKind G = MetricKind::kGauge, C = MetricKind::kCounter, E = MetricKind::kEvent;
constexpr Provenance D = Provenance::kDaemon, K = Provenance::kKernel, A = Provenance::kApp;

}  // namespace

const std::vector<MetricDescriptor>& Pm2Metrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"pm2_up", "", G, D, "1 when the user's PM2 daemon answers."},
      {"pm2_daemon_stopped_by_hand", "", G, D, "1 when the daemon was told to end before it went."},
      {"pm2_reader_events_dropped_total", "", C, K, "Events of PM2 that were too many to be passed on."},
      {"pm2_app_online", "", G, D, "1 when the app is online or launching, and has a process."},
      {"pm2_app_unplanned_exits_total", "", C, D, "Exits that nobody asked for, since the agent's start."},
      {"pm2_app_unplanned_exits_5m", "", G, D,
       "Unplanned exits of the last five minutes, since a person acted."},
      {"pm2_app_given_up", "", G, D, "1 when PM2 will not start the app again, and nobody stopped it."},
      {"pm2_app_stopped_by_hand", "", G, D, "1 when the app was stopped on purpose, or nobody knows why."},
      {"pm2_app_waiting", "", G, D, "1 from an unplanned exit until PM2 has started the app again."},
      {"pm2_app_down_seconds", "seconds", G, D, "How long the app has been waiting so; 0 when it isn't."},
      {"pm2_app_status", "", G, D, "0 unknown, 1 running, 2 pending, 3 stopped, 4 errored."},
      {"pm2_app_pid", "", G, D, "The app's process; 0 when it has none, -1 until PM2 has listed it."},
      {"pm2_app_started_seconds", "seconds", G, D, "When the app was last started, as Unix time."},
      {"pm2_app_restarts", "", G, D, "Restarts as PM2 counts them, those by hand included."},
      {"pm2_app_restart_delay_seconds", "seconds", G, D,
       "The longest that PM2 waits before it starts it again."},
      {"pm2_app_without_process", "", G, D, "1 when PM2 says online and there is no process."},
      {"pm2_app_cpu_seconds_total", "seconds", C, K, "Processor time of the app's main process."},
      {"pm2_app_resident_memory_bytes", "bytes", G, K, "Resident memory of the app's main process."},
      {"pm2_app_threads", "", G, K, "Threads of the app's main process."},
      {"pm2_app_max_memory_bytes", "bytes", G, D,
       "Memory above which PM2 restarts the app; absent without one."},
      {"pm2_app_event_loop_lag_seconds", "seconds", G, A, "Median lag of the app's event loop, as it says."},
      {"pm2_app_event_loop_lag_p95_seconds", "seconds", G, A, "95th percentile of that lag, as it says."},
      {"pm2_app_heap_used_bytes", "bytes", G, A, "JavaScript heap in use, as the app says."},
      {"pm2_app_heap_size_bytes", "bytes", G, A, "JavaScript heap in all, as the app says."},
      {"pm2_app_active_handles", "", G, A, "Open handles of the event loop, as the app says."},
      {"pm2_app_active_requests", "", G, A, "Requests in the event loop, as the app says."},
      {"pm2_app_http_requests_per_minute", "", G, A, "HTTP requests served, as the app says."},
      {"pm2_app_http_latency_mean_seconds", "seconds", G, A, "Mean time of an HTTP answer, as the app says."},
      {"pm2_app_http_latency_p95_seconds", "seconds", G, A, "95th percentile of that time, as it says."},
      {"pm2.exit", "", E, D,
       "A process has ended: unplanned, finished, or stopped by hand, as the text says."},
      {"pm2.online", "", E, D, "A process was started."},
      {"pm2.stop", "", E, D, "Somebody stopped the app."},
      {"pm2.restart", "", E, D, "Somebody started, restarted or reloaded the app."},
      {"pm2.overlimit", "", E, D, "PM2 has given up restarting the app."},
      {"pm2.daemon.gone", "", E, D, "The PM2 daemon no longer answers."},
      {"pm2.daemon.back", "", E, D, "A PM2 daemon answers again, or another one in its place."}};
  return rows;
}

}  // namespace quell
