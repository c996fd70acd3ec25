#include "controller/policy/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quell::policy {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kGood[] = R"(policies:
- name: restart-hung-app
  mode: automatic
  when: {alert: AppHung, severity: [P0, P1, P2]}
  page: {unless_verified_in: 90s}
  steps:
  - action: pm2.restart
    with: {user: $labels.user, app: $labels.app}
    verify: {cleared: true, within: 60s, hold: 30s}
  - action: release.rollback
    with: {deployment: portal, to: previous}
    only_if: {changed_within: 2h}
    revert_after: 0s
    verify: {expr: 'probe_success{probe="health"} == 1', within: 2m, hold: 1m}
  guard: {cooldown: 5m, attempts: {max: 2, within: 1h}, group: {max: 10%, within: 10m}, stop_above_unhealthy: 30%, fresh: 10s}
  approval: {expires: 10m, then: page_next}
  otherwise: page
)";

TEST(PolicyFile, IsReadAsTheContractHasIt) {
  config::Problems problems;
  const auto policies = ParsePolicies("portal.yaml", kGood, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(policies.size(), 1u);
  const v1::Policy& policy = policies[0];
  EXPECT_EQ(policy.name(), "restart-hung-app");
  EXPECT_EQ(policy.mode(), v1::AUTOMATIC);
  EXPECT_EQ(policy.alerts(0), "AppHung");
  EXPECT_EQ(policy.severities_size(), 3);
  EXPECT_EQ(policy.page(), v1::PAGE_UNLESS_VERIFIED);
  EXPECT_EQ(policy.page_unless_verified_us(), 90 * kSecond);
  ASSERT_EQ(policy.steps_size(), 2);
  EXPECT_EQ(policy.steps(0).only_if_changed_within_us(), 0);
  EXPECT_EQ(policy.steps(1).action(), "release.rollback");
  EXPECT_EQ(policy.steps(1).with().at("to"), "previous");
  EXPECT_EQ(policy.steps(1).with().at("user"), "$labels.user");
  EXPECT_EQ(policy.steps(1).only_if_changed_within_us(), 2 * kHour);
  EXPECT_EQ(policy.steps(1).revert_after_us(), 0);
  EXPECT_EQ(policy.steps(1).verify().expr(), "probe_success{probe=\"health\"} == 1");
  EXPECT_EQ(policy.steps(1).verify().hold_us(), kMinute);
  EXPECT_EQ(policy.steps(0).with().at("app"), "$labels.app");
  EXPECT_EQ(policy.steps(0).verify().within_us(), kMinute);
  EXPECT_EQ(policy.guard().attempts_max(), 2u);
  EXPECT_DOUBLE_EQ(policy.guard().group_max_share(), 0.1);
  EXPECT_DOUBLE_EQ(policy.guard().stop_above_unhealthy(), 0.3);
  EXPECT_EQ(policy.guard().fresh_us(), 10 * kSecond);
  EXPECT_EQ(policy.approval_expires_us(), 10 * kMinute);
  EXPECT_EQ(policy.approval_then(), "page_next");
  EXPECT_EQ(policy.otherwise(), "page");
}

TEST(PolicyFile, AsksAndGuardsWhenItSaysNothing) {
  config::Problems problems;
  const auto policies = ParsePolicies("p.yaml", R"(policies:
- name: p
  when: {alert: [A, B]}
  steps: [{action: pm2.restart, with: {user: deploy, app: $labels.app}, verify: {expr: 'up == 1'}}]
)",
                                      problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(policies[0].mode(), v1::ASK);
  EXPECT_EQ(policies[0].guard().cooldown_us(), 5 * kMinute);
  EXPECT_EQ(policies[0].page(), v1::PAGE_MODE_UNSPECIFIED);
  EXPECT_FALSE(policies[0].steps(0).verify().cleared());
  EXPECT_EQ(policies[0].steps(0).verify().expr(), "up == 1");
}

struct Mistake {
  std::string name, from, to, place, message;
};
class OneMistake : public testing::TestWithParam<Mistake> {};

TEST_P(OneMistake, IsToldWithItsPlaceAndNothingIsLoaded) {
  std::string text = kGood;
  const size_t at = text.find(GetParam().from);
  ASSERT_NE(at, std::string::npos);
  text.replace(at, GetParam().from.size(), GetParam().to);
  config::Problems problems;
  EXPECT_THAT(ParsePolicies("portal.yaml", text, problems), IsEmpty());
  EXPECT_THAT(problems.ToString(), HasSubstr("portal.yaml:" + GetParam().place));
  EXPECT_THAT(problems.ToString(), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, OneMistake,
    testing::Values(
        Mistake{"UnknownKey", "otherwise: page", "otherwize: page", "17:3", "otherwize"},
        Mistake{"UnknownMode", "mode: automatic", "mode: sometimes", "3:", "automatic"},
        Mistake{"UnknownAction", "pm2.restart", "pm2.restrat", "7:", "no action \"pm2.restrat\""},
        Mistake{"UnknownParameter", "app: $labels.app", "ap: $labels.app", "8:", "no parameter \"ap\""},
        Mistake{"InternalParameter", "app: $labels.app", "app: a, expect: x",
                "8:", "no parameter \"expect\""},
        Mistake{"MissingParameter", ", app: $labels.app", "", "8:", "needs the parameter \"app\""},
        Mistake{"SplicedTemplate", "$labels.app", "$labels.app-2", "8:", "one whole label"},
        Mistake{"OtherTemplate", "$labels.app", "$value", "8:", "one whole label"},
        Mistake{"BadSeverity", "[P0, P1, P2]", "[P0, critical]", "4:", "critical"},
        Mistake{"BadPage", "{unless_verified_in: 90s}", "sometimes", "5:", "page is"},
        Mistake{"BothConditions", "cleared: true,", "cleared: true, expr: up,", "9:", "either"},
        Mistake{"BadExpression", "cleared: true,", "expr: 'sum(',", "9:", "does not parse"},
        Mistake{"EmptyOnlyIf", "{changed_within: 2h}", "{}", "12:14", "only_if is"},
        Mistake{"UnknownOnlyIf", "{changed_within: 2h}", "{changed_within: 2h, since: 1h}", "12:35", "since"},
        Mistake{"OnlyIfOfNever", "changed_within: 2h", "changed_within: 0s", "12:", "over 0"},
        Mistake{"OnlyIfOfLongAgo", "changed_within: 2h", "changed_within: 25h", "12:", "at most 24h"},
        Mistake{"BadOnlyIf", "changed_within: 2h", "expr: 'up =='", "12:21", "does not parse"},
        Mistake{"RevertAfter", "revert_after: 0s", "revert_after: 5m", "13:19", "undone by itself"},
        Mistake{"BadThen", "then: page_next", "then: wait", "16:", "page_next"},
        Mistake{"AttemptsOverADay", "within: 1h", "within: 25h", "15:", "24h"},
        Mistake{"NoAlert", "alert: AppHung, ", "", "4:", "alert"},
        Mistake{"Otherwise", "otherwise: page", "otherwise: pray", "17:", "page"}),
    [](const auto& info) { return info.param.name; });

TEST(PolicyFile, EveryMistakeIsToldAtOnce) {
  config::Problems problems;
  ParsePolicies("p.yaml", R"(policies:
- name: a
  mode: never
  when: {alert: A}
  steps:
  - {action: pm2.restart, with: {user: u, app: a}}
  - {action: pm2.restart, with: {user: u}}
- name: a
  when: {alert: A}
  steps: [{action: pm2.restart, with: {user: u, app: a}}]
  page: no
)",
                problems);
  EXPECT_THAT(problems.ToString(), HasSubstr("needs the parameter \"app\""));
  EXPECT_THAT(problems.ToString(), HasSubstr("policy \"a\" is there already"));
  EXPECT_EQ(problems.mistakes().size(), 4u) << problems.ToString();
}

TEST(PolicyFile, OneThatCannotBeReadIsOneMistake) {
  config::Problems problems;
  EXPECT_THAT(LoadPolicyFiles({"/nowhere/portal.yaml"}, problems), IsEmpty());
  EXPECT_EQ(problems.mistakes().size(), 1u);
}

}  // namespace
}  // namespace quell::policy
