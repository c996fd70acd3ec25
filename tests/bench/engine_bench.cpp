// A storm: every host of a fleet fires at once, and clears at once. What one input costs the engine in CPU,
// its deadline and its projection rows included, for fleets that grow: a cost that grows with the fleet says
// that something looks at everything for each input.
//   engine_bench [HOSTS…]        default: 250 500 1000 2000
//   engine_bench --check         a small and a large fleet; ends with 1 when the large one's inputs cost much
//                                more
//   app   each host's copy of one app, under one policy: one incident, a blast-radius group of all hosts
//   host  a disk on each host: an incident and notices each
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "controller/engine/engine.h"
#include "controller/engine/log_store.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

constexpr size_t kBatch = 512;  // inputs whose rows are made together, as the engine's loop does

Micros Cpu() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * kSecond + now.tv_nsec / 1000;
}

std::string Id(int n) { return "00000000-0000-4000-8000-" + std::to_string(100000000000 + n); }

class Storm {
 public:
  Storm(int hosts, std::string alert) : hosts_(hosts), alert_(std::move(alert)), engine_(State{}) {
    v1::Payload started;
    started.mutable_controller_started()->set_epoch_number(1);
    started.mutable_controller_started()->set_epoch_start(std::string(16, 'e'));
    Input(started);
    v1::Payload config;
    *config.mutable_config_loaded()->mutable_config() = Scenario::DefaultConfig();
    Input(config);
    for (int n = 0; n < hosts_; ++n) Connect(n);
  }

  // CPU per input, µs, of all hosts firing and then of all clearing.
  double Fire() { return All(v1::FIRING); }
  double Clear() { return All(v1::CLEARED); }

 private:
  void Connect(int n) {
    v1::Payload payload;
    v1::HostEdge* edge = payload.mutable_host_edge();
    edge->set_kind(v1::HostEdge::HOST_CONNECTED);
    edge->mutable_host()->set_id(Id(n));
    edge->mutable_host()->set_name("web-" + std::to_string(n));
    edge->mutable_host()->set_executor_connected(true);
    edge->mutable_host()->add_actions("pm2.restart");
    edge->mutable_host()->add_apps("deploy/portal");
    Input(payload);
  }

  v1::Payload EdgeOf(int n, v1::SignalState to) const {
    v1::Payload payload;
    v1::Signal* signal = payload.mutable_signal_edge()->mutable_signal();
    signal->set_key(alert_ + "/web-" + std::to_string(n));
    signal->set_alert(alert_);
    signal->set_state(to);
    signal->set_severity(v1::P1);
    signal->set_host_id(Id(n));
    signal->set_active_since_us(now_);
    signal->set_fired_us(now_);
    signal->set_sample_us(now_);
    std::vector<std::pair<std::string, std::string>> labels = {{"alertname", alert_}};
    if (alert_ == "AppHung") labels.insert(labels.end(), {{"app", "portal"}, {"user", "deploy"}});
    labels.emplace_back("instance", "web-" + std::to_string(n));
    for (auto& [name, value] : labels) {
      v1::Label* label = signal->add_labels();
      label->set_name(name);
      label->set_value(value);
    }
    v1::Fact* fact = signal->add_facts();
    fact->mutable_series()->set_name("pm2_app_pid");
    fact->set_value(4711);
    fact->set_at_us(now_);
    return payload;
  }

  double All(v1::SignalState to) {
    const Micros begun = Cpu();
    for (int n = 0; n < hosts_; ++n) {
      now_ += kMillisecond;
      Input(EdgeOf(n, to));
    }
    Rows();
    return static_cast<double>(Cpu() - begun) / hosts_;
  }

  void Input(const v1::Payload& payload) {
    Handled handled = engine_.Handle(payload, "bench", now_);
    for (Record& record : handled.records) records_.push_back(std::move(record));
    if (++inputs_ % kBatch == 0) Rows();
    // Notices are delivered at once; commands are handed over and stay without an outcome.
    for (const Intent& intent : handled.intents) {
      v1::Payload answer;
      if (const auto* notice = std::get_if<SendNotice>(&intent)) {
        answer.mutable_notice_result()->set_key(notice->key);
        answer.mutable_notice_result()->set_sent(true);
      } else if (const auto* command = std::get_if<SendCommand>(&intent)) {
        answer.mutable_command_delivered()->set_command(command->command);
        answer.mutable_command_delivered()->set_handed_over(true);
      } else {
        continue;
      }
      Input(answer);
    }
    const Micros due = engine_.NextDeadline();
    if (due == 0 || due > now_ || payload.has_time_passed()) return;
    v1::Payload passed;
    passed.mutable_time_passed();
    Input(passed);
  }

  void Rows() {
    rows_ += RowsFor(records_, engine_.state()).size();
    records_.clear();
  }

  const int hosts_;
  const std::string alert_;
  Engine engine_;
  Micros now_ = 1'795'403'527 * kSecond;
  std::vector<Record> records_;
  size_t inputs_ = 0, rows_ = 0;
};

struct Cost {
  double fire = 0, clear = 0;
};

Cost Measure(int hosts, const std::string& alert) {
  Storm storm(hosts, alert);
  Cost cost;
  cost.fire = storm.Fire();
  cost.clear = storm.Clear();
  std::printf("%-8s %8d %12.1f %12.1f\n", alert == "AppHung" ? "app" : "host", hosts, cost.fire, cost.clear);
  std::fflush(stdout);
  return cost;
}

// Eight times the hosts: what looks at everything for each input costs eight times as much for each.
bool Check(const std::string& alert) {
  constexpr double kMost = 4;
  const Cost small = Measure(250, alert), large = Measure(2000, alert);
  return large.fire <= kMost * small.fire && large.clear <= kMost * small.clear;
}

int Main(int argc, char** argv) {
  std::printf("%-8s %8s %12s %12s\n", "about", "hosts", "fire us", "clear us");
  if (argc == 2 && std::string(argv[1]) == "--check") {
    const bool app = Check("AppHung"), host = Check("DiskFull");
    return app && host ? 0 : 1;
  }
  std::vector<int> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::atoi(argv[i]));
  if (sizes.empty()) sizes = {250, 500, 1000, 2000};
  for (const char* alert : {"AppHung", "DiskFull"}) {
    for (int hosts : sizes) Measure(hosts, alert);
  }
  return 0;
}

}  // namespace
}  // namespace quell::engine

int main(int argc, char** argv) { return quell::engine::Main(argc, argv); }
