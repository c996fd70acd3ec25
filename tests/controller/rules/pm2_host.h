// Pm2Host: what one host's agent tells of a PM2 user and of the probes of its apps, from the frames of a
// reader through the agent's own state to the series in a shard. The test says what happens to PM2 and when a
// second has passed. No clock, no thread of its own; the shard outlives it.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "agent/collectors/pm2/app_series.h"
#include "agent/collectors/series_table.h"
#include "controller/rules/shard.h"

namespace quell::rules {

class Pm2Host {
 public:
  using Changes = std::vector<agent::AppChange>;

  Pm2Host(std::string id, int64_t daemon = 7) : id_(std::move(id)), daemon_(daemon) {}

  // ---- what happens in PM2; what the agent makes of it is pushed at once
  void Add(const std::string& name, bool autorestart = true) {
    v1::Pm2App app;
    app.set_name(name);
    app.set_pm_id(next_pm_id_++);
    app.set_autorestart(autorestart);
    app.set_status("online");
    Started(app);
    apps_[name] = app;
    probes.emplace(name, true);
  }
  void Delete(const std::string& name) { apps_.erase(name); }
  // Without an event: nobody was on the bus.
  v1::Pm2App& app(const std::string& name) { return apps_.at(name); }

  Changes Exit(Shard& shard, const std::string& name, const std::string& status, Micros now,
               int64_t code = 1) {
    v1::Pm2App& app = apps_.at(name);
    app.set_exit_code(code);
    app.set_status(status == "stopping" ? status : app.autorestart() ? "waiting restart" : status);
    v1::Pm2Event event = Event(app, "exit");
    event.set_status(status);
    event.set_exit_code(code);
    event.set_signal("SIGINT");
    if (status == "errored" || app.status() == "stopped") app.set_pid(0);
    if (status == "errored") app.set_status(status);
    return Tell(shard, event, now);
  }
  Changes Online(Shard& shard, const std::string& name, Micros now) {
    v1::Pm2App& app = apps_.at(name);
    Started(app);
    app.set_restarts(app.restarts() + 1);
    app.set_status("online");
    v1::Pm2Event event = Event(app, "online");
    event.set_status("launching");
    return Tell(shard, event, now);
  }
  // A person's act: the exits and starts that it takes, and its own note.
  void ByHand(Shard& shard, const std::string& name, const std::string& what, Micros now) {
    v1::Pm2App& app = apps_.at(name);
    if (app.status() == "online" && what != "start") {
      Exit(shard, name, "stopping", now, 0);
      app.set_status("stopped");
      app.set_pid(0);
    }
    if (what != "stop") Online(shard, name, now);
    v1::Pm2Event event = Event(app, what);
    event.set_manually(true);
    event.set_status(app.status());
    Tell(shard, event, now);
  }
  void Killed(Shard& shard, Micros now) {
    v1::Pm2Event event;
    event.set_event("kill");
    Tell(shard, event, now);
    Silent(shard, now);
  }
  void Silent(Shard& shard, Micros now) {
    silent_ = true;
    v1::ReaderFrame frame;
    frame.set_daemon_error("the PM2 daemon does not answer");
    Take(shard, frame, now);
  }
  // The daemon answers, `another` one when it has been started anew.
  void Back(Shard& shard, Micros now, bool another = false) {
    silent_ = false;
    if (another) {
      ++daemon_;
      for (auto& [name, app] : apps_) Started(app);
    }
    List(shard, now);
  }
  void List(Shard& shard, Micros now) {
    if (silent_) return;
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    frame.set_list_valid(true);
    frame.set_daemon_pid(daemon_);
    for (const auto& [name, app] : apps_) *frame.add_apps() = app;
    Take(shard, frame, now);
  }
  // The agent is a new process, which remembers nothing.
  void AgentRestarts() { state_ = agent::Pm2State(), table_ = agent::SeriesTable(); }

  // ---- what is measured
  std::map<std::string, bool> probes;  // app -> answers
  bool reader = true;                  // there is one

  // A collection of all that the agent measures.
  void Collect(Shard& shard, Micros now) {
    table_.Begin();
    if (reader && state_.known()) {
      agent::DaemonSeries(state_, [&](std::string_view metric, double value) {
        table_.Put(metric, {{"user", "deploy"}}, value);
      });
      for (const auto& [pm_id, state] : state_.apps()) {
        if (!state_.up()) break;
        const std::string id = std::to_string(pm_id);
        const agent::PutValue put = [&, &app = state.app](std::string_view metric, double value) {
          table_.Put(metric, {{"app", app.name()}, {"pm_id", id}, {"user", "deploy"}}, value);
        };
        agent::StateSeries(state, now, put);
        agent::ListSeries(state.app, put);
        put("pm2_app_without_process", state.without_process() ? 1 : 0);
      }
    }
    Append(shard, table_.Finish("pm2", now), now);
    Put(shard, "quell_collector_up", {{"collector", "pm2"}}, "agent", reader ? 1 : 0, now);
    for (const auto& [app, answers] : probes) {
      Put(shard, "probe_success", {{"app", app}, {"probe", app}, {"user", "deploy"}}, "probe", answers, now);
      Put(shard, "quell_collector_up", {{"collector", "probe/" + app}}, "agent", 1, now);
    }
  }

 private:
  void Started(v1::Pm2App& app) {
    app.set_pid(++next_pid_);
    app.set_started_ms(1000 * next_pid_);
  }
  static v1::Pm2Event Event(const v1::Pm2App& app, const std::string& kind) {
    v1::Pm2Event event;
    event.set_event(kind);
    event.set_app(app.name());
    event.set_pm_id(app.pm_id());
    event.set_restarts(app.restarts());
    event.set_autorestart(app.autorestart());
    event.set_started_ms(app.started_ms());
    return event;
  }
  Changes Tell(Shard& shard, const v1::Pm2Event& event, Micros now) {
    v1::ReaderFrame frame;
    frame.set_daemon_up(true);
    *frame.add_events() = event;
    return Take(shard, frame, now);
  }
  Changes Take(Shard& shard, const v1::ReaderFrame& frame, Micros now) {
    if (!reader) return {};
    const Changes changes = state_.Take(frame, now);
    for (const agent::AppChange& change : changes) {
      Labels labels = {{"user", "deploy"}};
      const auto found = state_.apps().find(change.pm_id);
      if (change.pm_id >= 0) labels.Set("app", change.app), labels.Set("pm_id", std::to_string(change.pm_id));
      const agent::PutValue push = [&](std::string_view metric, double value) {
        shard.Push(id_, shard.SeriesFor(id_, std::string(metric), labels, "pm2"), {now, value});
      };
      if (change.pm_id < 0) agent::DaemonSeries(state_, push);
      if (found != state_.apps().end()) agent::StateSeries(found->second, now, push);
    }
    shard.EvaluatePushed(id_, now);
    return changes;
  }
  void Append(Shard& shard, const agent::Collection& collection, Micros now) {
    for (size_t i = 0; i < collection.values.size(); ++i) {
      const agent::Series& series = (*collection.series)[i];
      Put(shard, series.name, series.labels, collection.collector, collection.values[i], now);
    }
  }
  void Put(Shard& shard, const std::string& name, const Labels& labels, const std::string& job, double value,
           Micros now) {
    shard.Append(id_, shard.SeriesFor(id_, name, labels, job), {now, value});
  }

  const std::string id_;
  int64_t daemon_;
  bool silent_ = false;
  int64_t next_pm_id_ = 0, next_pid_ = 100;
  std::map<std::string, v1::Pm2App> apps_;
  agent::Pm2State state_;
  agent::SeriesTable table_;
};

}  // namespace quell::rules
