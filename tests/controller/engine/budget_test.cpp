// A host's budget of incidents: what a hostile agent, or a host that is very ill, comes up with makes no more
// noise than so many incidents, and is told once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/incidents/correlate.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using incidents::kMostOpenOfHost;
using incidents::kMostOverBudget;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// The n-th app that nobody else has, on this host; each would be an incident of its own.
v1::Signal MadeUp(const Scenario& s, int host, size_t n, const std::string& alert = "AppDown") {
  v1::Signal signal = s.SignalOf(host, alert, v1::P2);
  signal.set_key(signal.key() + "#" + std::to_string(n));
  for (v1::Label& label : *signal.mutable_labels()) {
    if (label.name() == "app") label.set_value("made-up-" + std::to_string(n));
  }
  return signal;
}

void FireMany(Scenario& s, int host, size_t many) {
  for (size_t n = 0; n < many; ++n) s.Edge(MadeUp(s, host, n), v1::FIRING);
}

std::vector<const v1::Incident*> OverBudget(const Scenario& s) {
  std::vector<const v1::Incident*> found;
  for (const auto& [id, incident] : s.state().incidents) {
    if (incidents::IsOverBudget(incident)) found.push_back(&incident);
  }
  return found;
}

TEST(Budget, X07_OneHostOpensNoMoreThanItsBudgetOfIncidents) {
  Scenario s(2);
  FireMany(s, 1, 1000);
  EXPECT_EQ(s.incidents(), kMostOpenOfHost + 1);
  ASSERT_THAT(OverBudget(s), SizeIs(1));
  const v1::Incident& over = *OverBudget(s)[0];
  EXPECT_EQ(over.title(), "web-1 is over its budget of incidents");
  EXPECT_THAT(over.hosts(), ElementsAre("web-1"));
  EXPECT_EQ(over.signals_size(), kMostOverBudget) << "listed only so far";
  EXPECT_TRUE(s.Told("20 incidents about web-1 alone are open"));
  EXPECT_TRUE(s.Told("512 signals of its are known now")) << "and counted";
  s.Edge(MadeUp(s, 2, 5000), v1::FIRING);
  EXPECT_EQ(s.incidents(), kMostOpenOfHost + 2) << "another host's is its own";
}

TEST(Budget, X07_OneHostOverItsBudgetWakesSomebodyOnceMore) {
  Scenario s;
  FireMany(s, 1, kMostOpenOfHost);
  s.Pass(10 * kMinute);
  const size_t before = s.Pages().size();
  FireMany(s, 1, 300);
  s.Pass(kHour);
  ASSERT_THAT(OverBudget(s), SizeIs(1));
  const std::string over = OverBudget(s)[0]->id();
  EXPECT_EQ(s.Pages().size(), before + 1);
  for (size_t n = 20; n < 300; ++n) s.Edge(MadeUp(s, 1, n), v1::CLEARED);
  s.Pass(kMinute);
  EXPECT_EQ(s.state().incidents.at(over).status(), v1::MONITORING);
  FireMany(s, 1, 300);
  s.Pass(20 * kMinute);
  EXPECT_EQ(s.state().incidents.at(over).relapses(), 1u);
  EXPECT_EQ(s.Pages().size(), before + 1) << "a relapse is told in its timeline alone";
}

TEST(Budget, X07_NothingIsDoneAboutWhatIsOverTheBudget) {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_policies(0)->add_alerts("AppDown");
  Scenario s(1, config);
  s.deliver = false;
  FireMany(s, 1, kMostOpenOfHost + 5);
  EXPECT_EQ(s.Commands().size(), kMostOpenOfHost);
  EXPECT_EQ(s.LastDecision(), "withhold/security");
  const v1::Decision* last = nullptr;
  for (const auto& [key, decision] : s.state().decisions) {
    if (decision.verdict() == "withhold") last = &decision;
  }
  ASSERT_NE(last, nullptr);
  EXPECT_THAT(last->reason(), HasSubstr("over its budget of incidents"));
}

TEST(Budget, X07_WhatASecuritySignalSaysStaysOutOfTheIncidentOverTheBudget) {
  Scenario s;
  FireMany(s, 1, kMostOpenOfHost);
  for (size_t n = 100; n < 110; ++n) {
    v1::Signal signal = MadeUp(s, 1, n);
    v1::Label* category = signal.add_labels();
    category->set_name("category");
    category->set_value("security");
    v1::Label* summary = signal.add_annotations();
    summary->set_name("summary");
    summary->set_value("somebody logged in as root");
    s.Edge(signal, v1::FIRING);
  }
  EXPECT_EQ(s.incidents(), kMostOpenOfHost + 1) << "they are never joined, and have the same budget";
  EXPECT_TRUE(s.Told("a security signal"));
  EXPECT_FALSE(s.Told("logged in as root"));
  for (const auto& [key, notice] : s.state().notices) {
    for (const v1::Signal& signal : notice.signals()) EXPECT_THAT(signal.annotations(), IsEmpty()) << key;
  }
}

TEST(Budget, ResolvedIncidentsMakeRoom) {
  Scenario s;
  FireMany(s, 1, kMostOpenOfHost + 1);
  EXPECT_EQ(s.incidents(), kMostOpenOfHost + 1);
  s.Person("alice", [](v1::PersonAct& act) {
    act.mutable_resolve()->set_incident("1");
    act.mutable_resolve()->set_cause("unknown");
  });
  s.Edge(MadeUp(s, 1, 500), v1::FIRING);
  EXPECT_EQ(s.incidents(), kMostOpenOfHost + 2);
  EXPECT_EQ(s.state().signals.at(MadeUp(s, 1, 500).key()).incident(), s.incident(kMostOpenOfHost + 1).id());
  EXPECT_FALSE(incidents::IsOverBudget(s.incident(kMostOpenOfHost + 1)));
}

TEST(Budget, AnIncidentOfManyHostsIsNobodysBudget) {
  Scenario s(40);
  for (int n = 1; n <= 40; ++n) s.Fire(n, "AppDown", v1::P2);
  for (int n = 1; n <= 40; ++n) s.Fire(n, "DiskFull", v1::P2);
  EXPECT_EQ(s.incidents(), 41u);
  EXPECT_THAT(OverBudget(s), IsEmpty());
}

}  // namespace
}  // namespace quell::engine
