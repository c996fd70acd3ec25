// Whom to wake, when, and when not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

v1::Config Mode(v1::PageMode mode, Micros within = 0) {
  v1::Config config = Scenario::DefaultConfig();
  config.mutable_policies(0)->set_page(mode);
  config.mutable_policies(0)->set_page_unless_verified_us(within);
  return config;
}

void Acknowledge(Scenario& s) {
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_acknowledge(); });
}

TEST(Never10, AtOncePagesWhateverTheRemedyDoes) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.Fire(1);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
}

TEST(Never10, UnlessVerifiedInStaysSilentWhenTheRemedyHelps) {
  Scenario s(1, Mode(v1::PAGE_UNLESS_VERIFIED, 90 * kSecond));
  s.Fire(1);
  s.Pass(kHour);
  EXPECT_THAT(s.Pages(), IsEmpty());
}

TEST(Never10, UnlessVerifiedInPagesWhenTheTimeIsUp) {
  Scenario s(1, Mode(v1::PAGE_UNLESS_VERIFIED, 90 * kSecond));
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(89 * kSecond);
  EXPECT_THAT(s.Pages(), IsEmpty());
  s.Pass(2 * kSecond);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
}

TEST(Never10, APageWaitsForAConditionThatIsTrueAndOnlyHasToStay) {
  Scenario s(1, Mode(v1::PAGE_UNLESS_VERIFIED, 20 * kSecond));
  s.Fire(1);
  s.Pass(kHour);
  EXPECT_THAT(s.Pages(), IsEmpty());
}

TEST(Never10, OnFailureIsSilentUntilThePolicyGivesUp) {
  Scenario s(1, Mode(v1::PAGE_ON_FAILURE));
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(5 * kMinute);
  EXPECT_THAT(s.Pages(), IsEmpty());
  s.Pass(5 * kMinute);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/given_up"));
}

TEST(Never10, BySeverityWhenThePolicySaysNothing) {
  Scenario p0;
  v1::Signal signal = p0.SignalOf(1, "AppHung", v1::P0);
  p0.Edge(signal, v1::FIRING);
  EXPECT_THAT(p0.Pages(), ElementsAre("oncall/page"));
  Scenario p1;
  p1.remedy_helps = false;
  p1.Fire(1);
  p1.Pass(2 * kMinute);
  EXPECT_THAT(p1.Pages(), ElementsAre("oncall/page"));
  Scenario p2;
  p2.remedy_helps = false;
  p2.Fire(1, "AppHung", v1::P2);
  p2.Pass(5 * kMinute);
  EXPECT_THAT(p2.Pages(), IsEmpty());
  p2.Pass(5 * kMinute);
  EXPECT_THAT(p2.Pages(), ElementsAre("oncall/given_up"));
  Scenario p3;
  p3.remedy_helps = false;
  p3.Fire(1, "AppHung", v1::P3);
  p3.Pass(kDay);
  EXPECT_THAT(p3.Pages(), IsEmpty());
  EXPECT_THAT(p3.Copies(), Contains("chat/given_up"));
}

TEST(Paging, WithoutARemedySomebodyIsWokenUnlessItHeals) {
  Scenario s;
  s.Fire(1, "AppDown", v1::P2);
  s.Pass(4 * kMinute);
  EXPECT_THAT(s.Pages(), IsEmpty());
  s.Pass(2 * kMinute);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
}

TEST(Paging, AMissedAcknowledgementWalksUpTheAudienceAndEnds) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.remedy_succeeds = false;
  v1::Signal signal = s.SignalOf(1, "AppDown", v1::P0);
  s.Edge(signal, v1::FIRING);
  s.Pass(kHour);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page", "secondary/escalated-1", "management/escalated-2"));
  EXPECT_TRUE(s.Told("nobody further to wake"));
}

TEST(Paging, AnAcknowledgementEndsTheWalk) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.deliver = false;
  s.Fire(1);
  s.Pass(6 * kMinute);
  EXPECT_THAT(s.Pages(), Contains(testing::StartsWith("management/escalated")));
  Acknowledge(s);
  const size_t pages = s.Pages().size();
  s.Pass(kHour);
  EXPECT_EQ(s.Pages().size(), pages);
}

TEST(Paging, TheConfiguredDeadlineCounts) {
  v1::Config config = Mode(v1::PAGE_AT_ONCE);
  v1::SeverityDeadlines* deadlines = config.add_deadlines();
  deadlines->set_severity(v1::P1);
  deadlines->set_acknowledge_us(kMinute);
  Scenario s(1, config);
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(61 * kSecond);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page", "management/escalated-1"));
}

TEST(Paging, AVerifiedRemedyEndsTheWalkAndTellsWhoWasWoken) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.Fire(1);
  s.Pass(kHour);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
  EXPECT_THAT(s.Copies(), Contains("oncall/monitoring-1"));
  EXPECT_THAT(s.Copies(), Contains("oncall/resolved"));
}

TEST(Paging, ARelapseThatIsNotPutRightPagesAgainOnce) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.Fire(1, "AppHung", v1::P1);
  Acknowledge(s);
  s.Pass(10 * kMinute);
  ASSERT_EQ(s.incident().status(), v1::MONITORING);
  s.remedy_helps = false;
  s.Fire(1);
  s.Pass(20 * kMinute);
  EXPECT_THAT(s.Pages(), Contains("oncall/relapse-1"));
}

// Whoever is named in the timeline as paged has a notice of it.
TEST(Paging, ARelapseThatNobodyAcknowledgedPagesAgainForAnotherReason) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.Fire(1, "AppHung", v1::P1);
  s.Pass(10 * kMinute);
  ASSERT_EQ(s.incident().status(), v1::MONITORING);
  s.ConnectHost(1, [](v1::Host& host) { host.set_executor_connected(false); });
  s.Fire(1);
  s.Pass(20 * kMinute);
  ASSERT_TRUE(s.Told("nobody further to wake"));
  const size_t before = s.Pages().size();
  s.Person("carol", [](v1::PersonAct& act) { act.mutable_hold()->set_scope("all"); });
  s.ConnectHost(1);
  ASSERT_EQ(s.LastDecision(), "withhold/hold");
  s.Pass(20 * kMinute);
  EXPECT_GT(s.Pages().size(), before);
  EXPECT_THAT(s.Pages(), Contains(testing::StartsWith("oncall/relapse-1-")));
  EXPECT_EQ(s.incident().pages(), s.Pages().size());
}

TEST(Paging, AWithheldActWakesAPersonAfterItsGrace) {
  Scenario s(1, Mode(v1::PAGE_ON_FAILURE));
  s.ConnectHost(1, [](v1::Host& host) { host.set_executor_connected(false); });
  s.Fire(1, "AppHung", v1::P2);
  s.Pass(4 * kMinute);
  EXPECT_THAT(s.Pages(), IsEmpty());
  s.Pass(2 * kMinute);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page"));
}

TEST(Paging, ADeliveryThatFailsForGoodWalksOnAtOnce) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.remedy_helps = false;
  s.outbox = [](const v1::Notice& notice) {
    v1::NoticeResult result;
    result.set_sent(notice.receiver() != "oncall");
    result.set_permanent(notice.receiver() == "oncall");
    result.set_error("550 no such user");
    return result;
  };
  s.Fire(1);
  s.Pass(2 * kSecond);
  EXPECT_THAT(s.Pages(), ElementsAre("oncall/page", "management/escalated-1"));
  EXPECT_TRUE(s.Told("550 no such user"));
}

TEST(Notices, AFailureBacksOffHonoursRetryAfterAndGivesUpAfterADay) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  std::vector<Micros> at;
  s.deliver = false;
  s.outbox = [&](const v1::Notice& notice) {
    v1::NoticeResult result;
    if (notice.key().find("/oncall/page") == std::string::npos) {
      result.set_sent(true);
      return result;
    }
    at.push_back(s.now());
    result.set_error("503");
    if (at.size() == 4) result.set_retry_after_us(2 * kMinute);
    return result;
  };
  s.Fire(1);
  s.Pass(10 * kMinute);
  ASSERT_GE(at.size(), 6u);
  EXPECT_EQ(at[1] - at[0], kSecond);
  EXPECT_EQ(at[2] - at[1], 2 * kSecond);
  EXPECT_EQ(at[3] - at[2], 4 * kSecond);
  EXPECT_EQ(at[4] - at[3], 2 * kMinute);
  s.Pass(25 * kHour);
  EXPECT_TRUE(s.Told("24 h of trying"));
  const size_t tries = at.size();
  s.Pass(kHour);
  EXPECT_EQ(at.size(), tries);
}

TEST(Notices, OneKeyIsSentOnceAndARestartRepeatsOnlyWhatNobodyKnows) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  s.deliver = false;
  s.Fire(1);
  s.Pass(kSecond);
  const std::string key = s.incident().id() + "/oncall/page";
  EXPECT_EQ(s.state().notices.at(key).state(), v1::SENT);
  s.notices_arrive = false;
  Acknowledge(s);
  s.Person("bob", [](v1::PersonAct& act) { act.mutable_resolve()->set_cause("x"); });
  const std::string resolved = s.incident().id() + "/oncall/resolved";
  EXPECT_EQ(s.state().notices.at(resolved).state(), v1::SENDING);
  s.Restart();
  s.notices_arrive = true;
  s.Pass(kSecond);
  EXPECT_EQ(s.sent[key], 1);
  EXPECT_EQ(s.sent[resolved], 2);
  EXPECT_TRUE(s.state().notices.at(resolved).may_repeat());
  EXPECT_EQ(s.state().notices.at(resolved).state(), v1::SENT);
  s.Restart();
  s.Pass(kHour);
  EXPECT_EQ(s.sent[resolved], 2);
}

TEST(Notices, PerReceiverTheyGoOutInOrder) {
  Scenario s(1, Mode(v1::PAGE_AT_ONCE));
  std::vector<std::string> order;
  bool up = false;
  s.outbox = [&](const v1::Notice& notice) {
    v1::NoticeResult result;
    result.set_sent(up);
    if (up && notice.receiver() == "chat") order.push_back(notice.transition());
    return result;
  };
  s.Fire(1);
  s.Pass(40 * kMinute);
  EXPECT_EQ(s.incident().status(), v1::RESOLVED);
  up = true;
  s.Pass(kHour);
  EXPECT_THAT(order, ElementsAre("declared", "resolved"));
  EXPECT_EQ(s.state().notices.at(s.incident().id() + "/oncall/page").state(), v1::SUPERSEDED)
      << "nobody is woken for what was put right";
}

TEST(Notices, ATestNoticeGoesToOneReceiver) {
  Scenario s;
  Answer answer =
      s.Person("bob", [](v1::PersonAct& act) { act.mutable_notify_test()->set_receiver("chat"); });
  EXPECT_EQ(answer.kind, "notice");
  s.Pass(kSecond);
  EXPECT_EQ(s.state().notices.at(answer.id).state(), v1::SENT);
  EXPECT_EQ(
      s.Person("bob", [](v1::PersonAct& act) { act.mutable_notify_test()->set_receiver("nobody"); }).exit,
      3u);
}

}  // namespace
}  // namespace quell::engine
