// N11 by the whole chain: what PM2's readers and probes tell, through the agents' state, the series, the
// default rules and the liveness of hosts, to the engine. And that the chain tells of what is not healthy:
// the same time with one fault in it is not silent.
#include <gmock/gmock.h>

#include <fstream>
#include <functional>
#include <sstream>

#include "controller/fleet/liveness.h"
#include "tests/controller/engine/scenario.h"
#include "tests/controller/rules/fixture.h"
#include "tests/controller/rules/pm2_host.h"

namespace quell::engine {
namespace {

using rules::Pm2Host;

constexpr int kHosts = 2;
constexpr Micros kStep = 5 * kSecond;  // collections; what happens in between is pushed
constexpr Micros kShift = 2 * kHour;

class HealthyDay : public testing::Test {
 protected:
  struct Machine {
    explicit Machine(v1::Host identity) : host(std::move(identity)), pm2(host.id()) {}
    v1::Host host;
    Pm2Host pm2;
    int boot = 1;
    bool connected = true;
  };

  void SetUp() override {
    std::ostringstream text;
    text << std::ifstream(QUELL_SOURCE_DIR "/deploy/rules/default.yml").rdbuf();
    rules_ = rules::MustLoad(text.str());
    shard_ = std::make_unique<rules::Shard>(rules_, rules::ShardOptions{});
    shard_->Tick(scenario.now());
    for (const auto& [id, host] : scenario.state().hosts) {
      Machine& machine = machines.emplace_back(host);
      machine.pm2.Add("portal");
      machine.pm2.Add("job", false);
      Connect(machine);
    }
    Pass(kMinute);
  }

  // ---- the world
  void Connect(Machine& machine) {
    v1::Hello hello;
    hello.set_boot_id("boot-" + std::to_string(machine.boot));
    hello.set_executor_connected(true);
    *hello.mutable_actions() = machine.host.actions();
    Tell(liveness_.OnConnect(machine.host, hello, "", scenario.now()));
    const bool before = std::exchange(machine.connected, true);
    shard_->HostUp({machine.host.id(), machine.host.name(), Labels()}, !before, scenario.now());
    shard_->HostReplayed(machine.host.id());
    machine.pm2.List(*shard_, scenario.now());
  }
  void Goodbye(Machine& machine) {
    Tell(liveness_.OnGoodbye(machine.host.id(), "the host shuts down", scenario.now()));
    machine.connected = false;
  }
  void Tell(const fleet::Liveness::Edges& edges) {
    for (const v1::HostEdge& edge : edges) {
      v1::Payload payload;
      *payload.mutable_host_edge() = edge;
      if (edge.kind() == v1::HostEdge::HOST_LOST) shard_->HostDown(edge.host().id(), scenario.now());
      *payload.mutable_host_edge()->mutable_host()->mutable_apps() = machines[0].host.apps();
      scenario.Input(payload);
    }
  }
  void Tell(const Machine& machine, const Pm2Host::Changes& changes) {
    for (const agent::AppChange& change : changes) {
      v1::Payload payload;
      v1::AppEvent* event = payload.mutable_app_event();
      event->set_host_id(machine.host.id());
      event->set_host(machine.host.name());
      event->set_kind(change.kind);
      event->set_text(change.text);
      event->set_at_us(scenario.now());
      scenario.Input(payload, "agent:" + machine.host.name());
    }
    TellSignals();
  }
  void TellSignals() {
    for (const v1::Payload& payload : shard_->TakeEdges()) {
      ++signals;
      scenario.Input(payload, "shard");
    }
    shard_->TakeRuleStates();
  }
  void Pass(Micros d) {
    for (Micros t = 0; t < d; t += kStep) {
      for (Machine& machine : machines) {
        if (!machine.connected) continue;
        v1::Heartbeat heartbeat;
        heartbeat.set_executor_connected(true);
        Tell(liveness_.OnHeartbeat(machine.host.id(), heartbeat, scenario.now()));
        if (scenario.now() / kSecond % 15 < kStep / kSecond) machine.pm2.List(*shard_, scenario.now());
        machine.pm2.Collect(*shard_, scenario.now());
      }
      shard_->Tick(scenario.now());
      Tell(liveness_.Check(scenario.now()));
      TellSignals();
      scenario.Pass(kStep);
    }
  }
  // The portal does not answer for so long.
  void Unanswered(Machine& machine, Micros d) {
    machine.pm2.probes["portal"] = false;
    Pass(d);
    machine.pm2.probes["portal"] = true;
  }
  void Crash(Machine& machine, bool comes_back = true) {
    Tell(machine, machine.pm2.Exit(*shard_, "portal", "stopped", scenario.now()));
    if (comes_back) Tell(machine, machine.pm2.Online(*shard_, "portal", scenario.now()));
  }
  void ByHand(Machine& machine, const std::string& app, const std::string& what) {
    machine.pm2.ByHand(*shard_, app, what, scenario.now());
  }

  // ---- what happens on a healthy day, one after the other, each on another host
  using Happening = std::function<void(Machine&)>;
  std::vector<Happening> Happenings() {
    return {
        [this](Machine& m) { Crash(m), Unanswered(m, 5 * kSecond); },
        [this](Machine& m) { ByHand(m, "portal", "restart"), Unanswered(m, 10 * kSecond); },
        [this](Machine& m) { ByHand(m, "portal", "reload"); },
        [this](Machine& m) {
          ByHand(m, "portal", "stop"), Unanswered(m, 5 * kMinute);
          ByHand(m, "portal", "start"), Unanswered(m, 10 * kSecond);
        },
        [this](Machine& m) { Unanswered(m, 10 * kSecond); },  // below its `for`
        [this](Machine& m) { Silence(m, 10 * kSecond, false); },
        [this](Machine& m) { Unanswered(m, 5 * kSecond), Silence(m, 30 * kSecond, true); },
        [this](Machine& m) { Update(m); },
        [this](Machine& m) {
          m.pm2.Delete("job"), Pass(kMinute);
          m.pm2.Add("job", false);
        },
        [this](Machine& m) {
          m.pm2.reader = false, Pass(kMinute);
          m.pm2.reader = true;
        },
        [this](Machine& m) { Reboot(m, 100 * kSecond); },
        [this](Machine& m) {  // a partition that nobody notices
          m.connected = false, Pass(10 * kSecond);
          m.connected = true;
        },
        [this](Machine&) { scenario.Load(Scenario::DefaultConfig()), shard_->Load(rules_, scenario.now()); },
        [this](Machine&) {
          v1::Payload jump;
          jump.mutable_clock_jump()->set_by_us(-3 * kSecond);
          scenario.Input(jump);
        }};
  }
  void Silence(Machine& m, Micros d, bool another) {
    m.pm2.Silent(*shard_, scenario.now()), Pass(d);
    m.pm2.Back(*shard_, scenario.now(), another);
  }
  void Update(Machine& m) {
    m.pm2.Killed(*shard_, scenario.now()), Unanswered(m, 10 * kSecond);
    m.pm2.Back(*shard_, scenario.now(), true);
  }
  void Reboot(Machine& m, Micros d) {
    Goodbye(m), Pass(d);
    ++m.boot;
    m.pm2.AgentRestarts();
    Connect(m);
  }
  // `fault` happens in the middle of it.
  void LiveThroughIt(const Happening& fault = nullptr) {
    const std::vector<Happening> all = Happenings();
    const Micros began = scenario.now();
    for (size_t i = 0; scenario.now() < began + kShift; ++i) {
      all[i % all.size()](machines[i % machines.size()]);
      Pass(2 * kMinute);
      if (i == all.size() && fault != nullptr) return fault(machines[i % machines.size()]), Pass(5 * kMinute);
    }
  }

  Scenario scenario{kHosts};
  std::vector<Machine> machines;
  int signals = 0;

 private:
  std::shared_ptr<const rules::RuleSet> rules_;
  std::unique_ptr<rules::Shard> shard_;
  fleet::Liveness liveness_{fleet::Liveness::Options{}};
};

TEST_F(HealthyDay, N11_IsSilent) {
  LiveThroughIt();
  EXPECT_EQ(signals, 0);
  EXPECT_EQ(scenario.incidents(), 0u);
  EXPECT_THAT(scenario.Pages(), testing::IsEmpty());
  EXPECT_THAT(scenario.Copies(), testing::IsEmpty());
  EXPECT_THAT(scenario.Commands(), testing::IsEmpty());
}

TEST_F(HealthyDay, N11_AHangIsToldOf) {
  LiveThroughIt([this](Machine& m) { Unanswered(m, 40 * kSecond); });
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_TRUE(scenario.Told("AppHung"));
}

TEST_F(HealthyDay, N11_ACrashLoopIsToldOf) {
  LiveThroughIt([this](Machine& m) {
    for (int i = 0; i < 3; ++i) Crash(m), Pass(kMinute);
  });
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_TRUE(scenario.Told("AppCrashLoop"));
}

TEST_F(HealthyDay, N11_AnAppThatDoesNotComeBackIsToldOf) {
  LiveThroughIt([this](Machine& m) { Crash(m, false); });
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_TRUE(scenario.Told("AppNotRunning"));
}

TEST_F(HealthyDay, N11_ADaemonThatStaysAwayIsToldOf) {
  LiveThroughIt([this](Machine& m) { Silence(m, 3 * kMinute, false); });
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_TRUE(scenario.Told("Pm2DaemonGone"));
}

TEST_F(HealthyDay, N11_AHostThatDoesNotComeBackFromItsRebootIsToldOf) {
  LiveThroughIt([this](Machine& m) { Reboot(m, 3 * kMinute); });
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_TRUE(scenario.Told("HostLost"));
}

// The page goes out when a page is due, whatever the daemon's lists do: a blip takes nothing back.
TEST_F(HealthyDay, ABlipEachMinutePostponesNoPage) {
  scenario.remedy_helps = false;
  Machine& m = machines[0];
  m.pm2.probes["portal"] = false;
  for (int i = 0; i < 10; ++i) {
    Pass(50 * kSecond);
    Silence(m, 10 * kSecond, false);
  }
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_EQ(scenario.incident().relapses(), 0u);
  EXPECT_FALSE(scenario.Told("cleared"));
  EXPECT_THAT(scenario.Pages(), testing::Not(testing::IsEmpty()));
}

}  // namespace
}  // namespace quell::engine
