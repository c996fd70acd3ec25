// Roles as records, and what follows where somebody goes past them. Each scenario is folded a second time at
// its end.
#include "controller/fleet/people.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using Change = std::function<void(v1::PersonAct&)>;

// By the controller's own socket.
Answer Root(Scenario& s, const Change& change) {
  return s.Person("root", [&](v1::PersonAct& act) {
    act.set_role("admin");
    act.set_break_glass(true);
    change(act);
  });
}
// With a certificate, in the role that the log had a moment ago.
Answer As(Scenario& s, const std::string& name, const std::string& role, const Change& change) {
  return s.Person(name, [&](v1::PersonAct& act) {
    act.set_via("certificate");
    act.set_role(role);
    change(act);
  });
}
Change Role(const std::string& name, const std::string& role) {
  return [=](v1::PersonAct& act) {
    act.mutable_person_set()->set_name(name);
    act.mutable_person_set()->set_role(role);
  };
}
Change Revoke(const std::string& name) {
  return [=](v1::PersonAct& act) {
    act.mutable_person_revoke()->set_name(name);
    act.mutable_person_revoke()->set_why("the laptop was stolen");
  };
}
void Hold(v1::PersonAct& act) {
  act.mutable_hold()->set_scope("all");
  act.mutable_hold()->set_why("a look around");
}
// The notices to management, as "key", in the order of their keys.
std::vector<std::string> Told(const Scenario& s) {
  std::vector<std::string> keys;
  for (const auto& [key, notice] : s.state().notices) {
    if (notice.incident() != "break-glass") continue;
    EXPECT_FALSE(notice.page()) << "nobody is woken for that";
    EXPECT_EQ(notice.receiver(), "management");
    keys.push_back(key);
  }
  return keys;
}

TEST(People, ARoleIsARecord) {
  Scenario s(0);
  const Answer first = Root(s, Role("alice", "admin"));
  EXPECT_EQ(first.exit, 0u) << first.message;
  EXPECT_EQ(first.kind, "person");
  EXPECT_EQ(first.id, "alice");
  EXPECT_EQ(As(s, "alice", "admin", Role("bob", "responder")).exit, 0u);
  const v1::Person& bob = s.state().people.at("bob");
  EXPECT_EQ(bob.role(), "responder");
  EXPECT_EQ(bob.by(), "person:alice");
  EXPECT_EQ(bob.since_us(), s.now());
  s.Restart(true);
  EXPECT_EQ(s.state().people.at("bob").role(), "responder");
}

TEST(People, WhatIsNoNameOrNoRoleIsRefused) {
  Scenario s(0);
  for (const char* name : {"", "Alice", "alice,bob", "alice bob", "alice/admin", "../x", "alice\n", "root"})
    EXPECT_EQ(Root(s, Role(name, "viewer")).exit, 1u) << name;
  for (const char* role : {"", "root", "Admin", "none", "agent", "controller", "admin,viewer"})
    EXPECT_EQ(Root(s, Role("alice", role)).exit, 1u) << role;
  EXPECT_EQ(Root(s, Revoke("alice")).exit, 3u);
  EXPECT_THAT(s.state().people, IsEmpty());
}

TEST(People, X11_WhoeverIsRevokedMayDoNothingThoughTheyAskedBefore) {
  Scenario s(0);
  Root(s, Role("alice", "admin"));
  Root(s, Role("bob", "approver"));
  EXPECT_EQ(As(s, "bob", "approver", Hold).exit, 0u);
  EXPECT_EQ(As(s, "alice", "admin", Revoke("bob")).exit, 0u);
  const Answer after = As(s, "bob", "approver", Hold);
  EXPECT_EQ(after.exit, 4u);
  EXPECT_THAT(after.message, HasSubstr("bob is revoked"));
  EXPECT_EQ(As(s, "mallory", "admin", Hold).exit, 4u) << "a name that nobody gave a role";
  EXPECT_EQ(As(s, "alice", "admin", Revoke("bob")).exit, 1u) << "once is enough";
}

TEST(People, X11_ARoleThatChangedSinceTheyAskedIsNotUsed) {
  Scenario s(0);
  Root(s, Role("alice", "admin"));
  Root(s, Role("bob", "approver"));
  Root(s, Role("bob", "viewer"));
  const Answer late = As(s, "bob", "approver", Hold);
  EXPECT_EQ(late.exit, 4u);
  EXPECT_THAT(late.message, HasSubstr("viewer now"));
}

TEST(People, ARevokedNameRestsWhileAnOldCertificateMayBeGood) {
  Scenario s(0);
  Root(s, Role("alice", "admin"));
  Root(s, Role("bob", "responder"));
  Root(s, Revoke("bob"));
  s.Pass(29 * kDay);
  const Answer early = Root(s, Role("bob", "viewer"));
  EXPECT_EQ(early.exit, 5u);
  EXPECT_THAT(early.message, HasSubstr("another name"));
  s.Pass(kDay + kSecond);
  EXPECT_EQ(Root(s, Role("bob", "viewer")).exit, 0u);
  EXPECT_FALSE(s.state().people.at("bob").revoked());
}

TEST(People, TheLastAdminStaysButForTheSocket) {
  Scenario s(0);
  Root(s, Role("alice", "admin"));
  EXPECT_EQ(As(s, "alice", "admin", Role("alice", "viewer")).exit, 5u);
  EXPECT_EQ(As(s, "alice", "admin", Revoke("alice")).exit, 5u);
  EXPECT_EQ(As(s, "alice", "admin", Role("carol", "admin")).exit, 0u);
  EXPECT_EQ(As(s, "alice", "admin", Role("alice", "viewer")).exit, 0u);
  EXPECT_EQ(As(s, "carol", "admin", Revoke("carol")).exit, 5u);
  EXPECT_EQ(Root(s, Revoke("carol")).exit, 0u);
}

TEST(People, BreakGlassIsToldToManagementOnceAnHourAndPerson) {
  Scenario s(0);
  EXPECT_EQ(Root(s, Hold).exit, 0u);
  EXPECT_THAT(Told(s), IsEmpty()) << "nobody has a role: there is no other way in";
  Root(s, Role("alice", "admin"));
  ASSERT_EQ(Told(s).size(), 1u);
  const v1::Notice notice = s.state().notices.at(Told(s)[0]);
  EXPECT_THAT(notice.text(), HasSubstr("root"));
  EXPECT_THAT(notice.text(), HasSubstr("person_set"));
  s.Pass(kSecond);
  EXPECT_EQ(s.sent[Told(s)[0]], 1);
  for (int i = 0; i < 20; ++i) Root(s, Hold);
  EXPECT_EQ(Told(s).size(), 1u);
  As(s, "alice", "admin", Hold);
  EXPECT_EQ(Told(s).size(), 1u) << "a certificate breaks no glass";
  s.Pass(kHour);
  EXPECT_EQ(Told(s).size(), 1u) << "and nothing is told of nothing";
  Root(s, Hold);
  EXPECT_EQ(Told(s).size(), 2u);
  EXPECT_THAT(s.Pages(), IsEmpty());
}

TEST(People, WhatWasRefusedAtTheSocketIsNotTold) {
  Scenario s(0);
  Root(s, Role("alice", "admin"));
  s.Pass(2 * kHour);
  EXPECT_NE(Root(s, Revoke("nobody")).exit, 0u);
  EXPECT_EQ(Told(s).size(), 1u);
}

TEST(People, WithoutAReceiverForManagementNobodyIsTold) {
  v1::Config config = Scenario::DefaultConfig();
  config.clear_receivers();
  Scenario s(0, config);
  Root(s, Role("alice", "admin"));
  EXPECT_THAT(Told(s), IsEmpty());
}

}  // namespace
}  // namespace quell::engine
