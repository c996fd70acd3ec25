// Signals that the shards and the global rules find, on their way to the engine: whose service each is of.
#include "controller/app/shards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/clock.h"
#include "controller/app/host_ports.h"
#include "controller/catalogue/loader.h"
#include "controller/signals/correlation.h"
#include "tests/controller/engine/scenario.h"
#include "tests/support/wait.h"

namespace quell::app {
namespace {

using testing::ElementsAre;

constexpr Micros kBegin = 1'795'000'000 * kSecond;
constexpr char kRules[] = R"(groups:
- name: g
  interval: 1s
  rules:
  - {alert: AppDown, expr: pm2_app_given_up == 1, labels: {severity: P1}}
  - {alert: AppOwn, expr: pm2_app_given_up == 1, labels: {severity: P1, service: shop}}
  - {alert: AppsDown, expr: sum by (app) (pm2_app_given_up) > 0, labels: {severity: P1}}
  - {alert: Fleet, expr: sum(pm2_app_given_up) > 0, labels: {severity: P1}}
)";
constexpr char kCatalogue[] = R"(services:
- {name: portal, max_severity: P2, components: [{name: web, kind: pm2, app: web, hosts: {role: web}}]}
)";

std::shared_ptr<const rules::RuleSet> Rules() {
  config::Problems problems;
  auto rules = rules::LoadRules(
      {{.path = "r.yaml", .text = kRules}}, [](std::string_view) { return std::string(); }, problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
  return rules;
}

class ShardsTest : public testing::Test {
 protected:
  ShardsTest()
      : shards_(
            1, Rules(), {}, [this] { return Now(); },
            [this](InputClass, EngineInput input) { return Post(std::move(input)); }),
        ports_(shards_, registry_, [](InputClass, EngineInput) { return true; }) {
    config::Problems problems;
    shards_.SetCatalogue(
        std::make_shared<catalogue::Catalogue>(catalogue::ParseCatalogue("c.yaml", kCatalogue, problems)));
    EXPECT_TRUE(problems.ok()) << problems.ToString();
    shards_.Start();
  }
  ~ShardsTest() override { shards_.Stop(); }

  Micros Now() const { return kBegin + skipped_ + RealClock().Monotonic() - start_; }
  // The host is there all the while.
  void Skip(Micros time) {
    ASSERT_TRUE(ports_.Heartbeat("h1", v1::Heartbeat(), Now() + time));
    ASSERT_TRUE(shards_.Of("h1").RunAndWait([](HostShard&, Micros) {}, absl::Seconds(20)));
    skipped_ += time;
  }
  bool Post(EngineInput input) {
    absl::MutexLock lock(&mutex_);
    if (input.payload.has_signal_edge()) {
      v1::SignalEdge& edge = *input.payload.mutable_signal_edge();
      edges_[edge.signal().alert()].push_back(std::move(*edge.mutable_signal()));
    }
    return true;
  }
  void Open(const std::string& role) {
    ASSERT_TRUE(ports_.Opened({.id = "h1", .name = "web-1", .labels = Labels{{"role", role}}}, 1, v1::Hello(),
                              "", Now()));
  }
  void GiveUp(bool down) {
    ingest::TimedEvent event;
    event.at = Now();
    v1::EventSample* sample = event.event.add_samples();
    sample->mutable_series()->set_name("pm2_app_given_up");
    for (const auto& [name, value] : Labels{{"user", "deploy"}, {"app", "web"}}) {
      v1::Label* label = sample->mutable_series()->add_labels();
      label->set_name(name);
      label->set_value(value);
    }
    sample->set_value(down ? 1 : 0);
    sample->set_job("pm2");
    ASSERT_TRUE(ports_.Events({.id = "h1", .name = "web-1", .labels = {}}, {event}, 0));
  }
  std::vector<v1::Signal> Of(const std::string& alert) {
    absl::MutexLock lock(&mutex_);
    return edges_[alert];
  }
  v1::Signal WaitFor(const std::string& alert, size_t nth) {
    EXPECT_TRUE(test::WaitFor([&] { return Of(alert).size() >= nth; })) << alert;
    const auto all = Of(alert);
    return all.size() < nth ? v1::Signal() : all[nth - 1];
  }
  static std::string Service(const v1::Signal& signal) {
    return std::string(signals::LabelOf(signal, "service"));
  }

  const Micros start_ = RealClock().Monotonic();
  std::atomic<Micros> skipped_{0};
  absl::Mutex mutex_;
  std::map<std::string, std::vector<v1::Signal>> edges_ ABSL_GUARDED_BY(mutex_);  // by alert
  ingest::SessionRegistry registry_;
  Shards shards_;
  HostPorts ports_;
};

TEST_F(ShardsTest, ASignalBearsItsServiceBeforeTheEngineReadsItAndTheIncidentNamesIt) {
  Open("web");
  GiveUp(true);
  const v1::Signal down = WaitFor("AppDown", 1);
  EXPECT_EQ(Service(down), "portal");
  EXPECT_EQ(down.severity(), v1::P2) << "the service's max_severity";
  EXPECT_EQ(Service(WaitFor("AppOwn", 1)), "shop") << "the rule's own";
  EXPECT_EQ(WaitFor("AppOwn", 1).severity(), v1::P1);
  EXPECT_EQ(Service(WaitFor("AppsDown", 1)), "portal") << "a global rule's";
  EXPECT_EQ(Service(WaitFor("Fleet", 1)), "");
  engine::Scenario scenario;
  scenario.Edge(down, v1::FIRING);
  ASSERT_EQ(scenario.incidents(), 1u);
  EXPECT_THAT(scenario.incident().services(), ElementsAre("portal"));
  EXPECT_EQ(scenario.incident().group(), "service:portal");
  EXPECT_EQ(scenario.incident().severity(), v1::P2);
}

TEST_F(ShardsTest, LabelsOfTheHostDecideAndTheirChangeToo) {
  Open("db");
  GiveUp(true);
  const v1::Signal other = WaitFor("AppDown", 1);
  EXPECT_EQ(Service(other), "");
  EXPECT_EQ(other.severity(), v1::P1);
  GiveUp(false);
  EXPECT_EQ(WaitFor("AppDown", 2).state(), v1::CLEARED);
  v1::Host host;
  host.set_id("h1");
  host.set_name("web-1");
  (*host.mutable_labels())["role"] = "web";
  shards_.Take(host);
  GiveUp(false);
  Skip(10 * kMinute);  // until the rules know the host by its new labels
  GiveUp(true);
  const v1::Signal again = WaitFor("AppDown", 3);
  EXPECT_EQ(Service(again), "portal");
}

TEST_F(ShardsTest, WithoutACatalogueASignalIsAsItsRuleMadeIt) {
  shards_.SetCatalogue(nullptr);
  Open("web");
  GiveUp(true);
  EXPECT_EQ(Service(WaitFor("AppDown", 1)), "");
  EXPECT_EQ(WaitFor("AppDown", 1).severity(), v1::P1);
}

}  // namespace
}  // namespace quell::app
