#include "controller/catalogue/match.h"

#include <gtest/gtest.h>

#include "controller/catalogue/loader.h"

namespace quell::catalogue {
namespace {

using Pairs = std::map<std::string, std::string>;

v1::Signal SignalOf(const Pairs& labels, v1::Severity severity = v1::P1) {
  v1::Signal signal;
  for (const auto& [name, value] : labels) {
    v1::Label* label = signal.add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  signal.set_severity(severity);
  return signal;
}

std::string LabelOf(const v1::Signal& signal, const std::string& name) {
  for (const v1::Label& label : signal.labels())
    if (label.name() == name) return label.value();
  return "";
}

class Match : public testing::Test {
 protected:
  Match() {
    config::Problems problems;
    catalogue_ = ParseCatalogue("c.yaml", R"(services:
- name: portal
  max_severity: P2
  components:
  - {name: web, kind: pm2, app: web, user: deploy, hosts: {role: web}}
  - {name: database, kind: postgres, database: boutique, hosts: {role: db}}
  - {name: payments, kind: external, probe: payments-api}
- name: admin
  components:
  - {name: web, kind: pm2, app: web, hosts: {role: admin}}
  - {name: jobs, kind: pm2, app: jobs}
)",
                                problems);
    EXPECT_TRUE(problems.ok()) << problems.ToString();
  }
  std::string Service(const Pairs& alert, const Pairs& host) {
    const catalogue::Service* service = ServiceOf(catalogue_, SignalOf(alert), &host);
    return service == nullptr ? "" : service->name;
  }
  std::string OfNoHost(const Pairs& alert) {
    const catalogue::Service* service = ServiceOf(catalogue_, SignalOf(alert), nullptr);
    return service == nullptr ? "" : service->name;
  }
  Catalogue catalogue_;
};

TEST_F(Match, AnAppIsOfTheServiceOfItsHost) {
  const Pairs web = {{"app", "web"}, {"user", "deploy"}};
  EXPECT_EQ(Service(web, {{"role", "web"}}), "portal");
  EXPECT_EQ(Service(web, {{"role", "admin"}, {"site", "eu"}}), "admin");
  EXPECT_EQ(Service(web, {{"role", "db"}}), "");
  EXPECT_EQ(Service(web, {}), "");
  EXPECT_EQ(Service({{"app", "web"}, {"user", "other"}}, {{"role", "web"}}), "") << "another user's";
  EXPECT_EQ(Service({{"app", "jobs"}, {"user", "x"}}, {}), "admin") << "any user's, on any host";
}

TEST_F(Match, ADatabaseAndAProbe) {
  EXPECT_EQ(Service({{"datname", "boutique"}}, {{"role", "db"}}), "portal");
  EXPECT_EQ(Service({{"datname", "boutique"}}, {{"role", "web"}}), "");
  EXPECT_EQ(Service({{"probe", "payments-api"}}, {}), "portal");
  EXPECT_EQ(Service({{"probe", "other"}}, {}), "");
  EXPECT_EQ(Service({{"mountpoint", "/"}}, {{"role", "web"}}), "") << "a host is no service";
}

TEST_F(Match, WithoutAHostOnlyWhereOneServiceAloneCanBeMeant) {
  EXPECT_EQ(OfNoHost({{"app", "jobs"}}), "admin");
  EXPECT_EQ(OfNoHost({{"datname", "boutique"}}), "portal");
  EXPECT_EQ(OfNoHost({{"app", "web"}, {"user", "deploy"}}), "");
  EXPECT_EQ(OfNoHost({{"app", "web"}}), "admin") << "portal's is deploy's, and this alert names no user";
}

TEST_F(Match, TheNameIsALabelAmongTheOthersAndTheSeverityIsHeld) {
  const Pairs host = {{"role", "web"}};
  v1::Signal signal = SignalOf({{"app", "web"}, {"instance", "web-1"}, {"user", "deploy"}});
  Name(catalogue_, &host, signal);
  EXPECT_EQ(LabelOf(signal, "service"), "portal");
  ASSERT_EQ(signal.labels_size(), 4);
  EXPECT_EQ(signal.labels(2).name(), "service") << "sorted";
  EXPECT_EQ(signal.severity(), v1::P2);
  Name(catalogue_, &host, signal);
  EXPECT_EQ(signal.labels_size(), 4) << "once";
  v1::Signal mild = SignalOf({{"app", "web"}, {"user", "deploy"}}, v1::P3);
  Name(catalogue_, &host, mild);
  EXPECT_EQ(mild.severity(), v1::P3);
}

TEST_F(Match, WhatTheRuleNamedStands) {
  const Pairs host = {{"role", "web"}};
  v1::Signal named = SignalOf({{"app", "web"}, {"service", "shop"}, {"user", "deploy"}});
  Name(catalogue_, &host, named);
  EXPECT_EQ(LabelOf(named, "service"), "shop");
  EXPECT_EQ(named.severity(), v1::P1);
  v1::Signal known = SignalOf({{"service", "portal"}});
  Name(catalogue_, &host, known);
  EXPECT_EQ(known.severity(), v1::P2) << "the service's cap is the service's";
  v1::Signal other = SignalOf({{"app", "unknown"}, {"user", "deploy"}});
  Name(catalogue_, &host, other);
  EXPECT_EQ(LabelOf(other, "service"), "");
  EXPECT_EQ(other.severity(), v1::P1);
}

}  // namespace
}  // namespace quell::catalogue
