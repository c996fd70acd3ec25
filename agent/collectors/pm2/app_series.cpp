#include "agent/collectors/pm2/app_series.h"

namespace quell::agent {
namespace {

// pm2-prom-module's numbers: 0 unknown, 1 running, 2 pending, 3 stopped, 4 errored.
double StatusNumber(std::string_view status) {
  if (status == "online" || status == "one-launch-status") return 1;
  if (status == "launching" || status == "stopping" || status == "waiting restart") return 2;
  if (status == "stopped") return 3;
  return status == "errored" ? 4 : 0;
}

struct Reported {
  std::string_view name;  // PM2's
  std::string_view metric;
  double factor;
};
constexpr double kMiB = 1 << 20;
constexpr Reported kReported[] = {{"Event Loop Latency", "pm2_app_event_loop_lag_seconds", 1e-3},
                                  {"Event Loop Latency p95", "pm2_app_event_loop_lag_p95_seconds", 1e-3},
                                  {"Used Heap Size", "pm2_app_heap_used_bytes", kMiB},
                                  {"Heap Size", "pm2_app_heap_size_bytes", kMiB},
                                  {"Active handles", "pm2_app_active_handles", 1},
                                  {"Active requests", "pm2_app_active_requests", 1},
                                  {"HTTP", "pm2_app_http_requests_per_minute", 1},
                                  {"HTTP Mean Latency", "pm2_app_http_latency_mean_seconds", 1e-3},
                                  {"HTTP P95 Latency", "pm2_app_http_latency_p95_seconds", 1e-3}};

}  // namespace

void DaemonSeries(const Pm2State& state, const PutValue& put) {
  put("pm2_up", state.up() ? 1 : 0);
  put("pm2_daemon_stopped_by_hand", state.stopped_by_hand() ? 1 : 0);
}

void StateSeries(const AppState& s, Micros now, const PutValue& put) {
  put("pm2_app_online", s.online() ? 1 : 0);
  // Whichever process the rest is about: a command is bound to it.
  put("pm2_app_pid", static_cast<double>(s.app.pid()));
  if (s.app.started_ms() != 0) put("pm2_app_started_seconds", static_cast<double>(s.app.started_ms()) / 1e3);
  put("pm2_app_unplanned_exits_total", static_cast<double>(s.unplanned));
  put("pm2_app_unplanned_exits_5m", static_cast<double>(s.recent_exits(now)));
  put("pm2_app_given_up", s.given_up ? 1 : 0);
  put("pm2_app_stopped_by_hand", s.by_hand ? 1 : 0);
  put("pm2_app_waiting", s.down_since != 0 ? 1 : 0);
  put("pm2_app_down_seconds", s.down_since != 0 ? static_cast<double>(now - s.down_since) / 1e6 : 0);
}

void ListSeries(const v1::Pm2App& app, const PutValue& put) {
  put("pm2_app_status", StatusNumber(app.status()));
  put("pm2_app_restarts", static_cast<double>(app.restarts()));
  put("pm2_app_restart_delay_seconds", static_cast<double>(app.restart_delay_ms()) / 1e3);
  if (app.max_memory_bytes() > 0)
    put("pm2_app_max_memory_bytes", static_cast<double>(app.max_memory_bytes()));
  for (const Reported& row : kReported)
    for (const v1::Pm2Metric& metric : app.metrics())
      if (metric.name() == row.name) put(row.metric, metric.value() * row.factor);
}

}  // namespace quell::agent
