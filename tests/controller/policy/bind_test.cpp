#include "controller/policy/bind.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quell::policy {
namespace {

v1::Signal SignalWith(const std::string& user, const std::string& app) {
  v1::Signal signal;
  v1::Label* label = signal.add_labels();
  label->set_name("app");
  label->set_value(app);
  label = signal.add_labels();
  label->set_name("user");
  label->set_value(user);
  return signal;
}

v1::PolicyStep Step() {
  v1::PolicyStep step;
  step.set_action("pm2.restart");
  (*step.mutable_with())["user"] = "$labels.user";
  (*step.mutable_with())["app"] = "$labels.app";
  return step;
}

TEST(Bind, ALabelIsBoundAsAWholeValueWhateverItHolds) {
  for (const char* hostile :
       {"; id", "$(reboot)", "../../x", "$labels.user", "a\nb", "{{ $value }}", "--force"}) {
    auto action = BindStep(Step(), SignalWith("deploy", hostile));
    ASSERT_TRUE(action.ok()) << hostile;
    EXPECT_EQ(action->pm2_restart().app(), hostile);
    EXPECT_EQ(TargetOf(*action), std::string("deploy/") + hostile);
  }
}

TEST(Bind, ASessionIsNamedByTheLabelsOfItsSignal) {
  v1::PolicyStep step;
  step.set_action("postgres.terminate");
  v1::Signal signal;
  const std::map<std::string, std::string> labels = {{"connection", "server"},
                                                     {"pid", "pid"},
                                                     {"backend_start_us", "backend_start"},
                                                     {"xact_start_us", "xact_start"}};
  for (const auto& [parameter, label] : labels) {
    (*step.mutable_with())[parameter] = "$labels." + label;
    v1::Label* added = signal.add_labels();
    added->set_name(label);
    added->set_value(label == "server" ? "main" : label == "pid" ? "4711" : "1795000000123457");
  }
  auto action = BindStep(step, signal);
  ASSERT_TRUE(action.ok()) << action.status();
  EXPECT_EQ(action->postgres_terminate().pid(), 4711);
  EXPECT_EQ(action->postgres_terminate().xact_start_us(), 1'795'000'000'123'457);
  EXPECT_EQ(TargetOf(*action), "main");
  EXPECT_EQ(ActionRisk(*action), v1::RISK_MEDIUM);
  signal.mutable_labels(0)->set_value("4711; id");
  signal.mutable_labels(0)->set_name("pid");
  EXPECT_FALSE(BindStep(step, signal).ok());
}

TEST(Bind, AMissingLabelIsAnError) {
  EXPECT_EQ(BindStep(Step(), SignalWith("deploy", "")).status().code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(Bind, ParametersOfPeopleAreLiterals) {
  auto action = BuildAction("pm2.restart", {{"user", "deploy"}, {"app", "$labels.app"}});
  ASSERT_TRUE(action.ok());
  EXPECT_EQ(action->pm2_restart().app(), "$labels.app");
  EXPECT_FALSE(BuildAction("pm2.restart", {{"user", "deploy"}}).ok());
  EXPECT_FALSE(BuildAction("pm2.restart", {{"user", "d"}, {"app", "a"}, {"expect", "x"}}).ok());
  EXPECT_FALSE(BuildAction("rm", {}).ok());
}

TEST(Bind, WhatAnActionIsComesFromItsOwnOptions) {
  const v1::Action action = *BuildAction("pm2.restart", {{"user", "deploy"}, {"app", "portal"}});
  EXPECT_EQ(ActionName(action), "pm2.restart");
  EXPECT_EQ(ActionRisk(action), v1::RISK_LOW);
  EXPECT_TRUE(EndsProcess(action));
  EXPECT_EQ(Describe(action), "pm2.restart deploy/portal");
  EXPECT_EQ(UserOf(action), "deploy");
  EXPECT_EQ(ActionName(v1::Action()), "");
  EXPECT_EQ(ActionRisk(v1::Action()), v1::RISK_HIGH);
}

TEST(Never, N06_QuellsOwnPartsAreRecognised) {
  EXPECT_TRUE(IsOwnTarget(*BuildAction("pm2.restart", {{"user", "deploy"}, {"app", "quell-agent"}})));
  EXPECT_TRUE(IsOwnTarget(*BuildAction("pm2.restart", {{"user", "quell"}, {"app", "portal"}})));
  EXPECT_FALSE(IsOwnTarget(*BuildAction("pm2.restart", {{"user", "deploy"}, {"app", "portal"}})));
}

}  // namespace
}  // namespace quell::policy
