// Who may join, and who may not any more: tokens, enrolment, labels, revocation, as the engine decides and
// writes them down. Each scenario is folded a second time at its end.
#include "controller/fleet/enrolment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/ids.h"
#include "tests/controller/engine/scenario.h"

namespace quell::engine {
namespace {

using testing::HasSubstr;

std::string Uuid(int n) { return "11111111-0000-4000-8000-" + std::to_string(100000000000 + n); }

struct TokenSpec {
  std::string name = "web-9";
  std::string secret = "a";
  Micros good_for = kHour;
  bool replace = false;
  std::map<std::string, std::string> labels;
};

Answer MakeToken(Scenario& s, const TokenSpec& spec) {
  return s.Person("alice", [&](v1::PersonAct& act) {
    v1::JoinToken* token = act.mutable_token_make();
    token->set_sha256(Sha256(spec.secret));
    token->set_id("token-" + spec.secret);
    token->set_host(spec.name);
    token->set_replace(spec.replace);
    token->set_expires_us(s.now() + spec.good_for);
    for (const auto& [name, value] : spec.labels) (*token->mutable_labels())[name] = value;
  });
}

// What a host that shows a token gets: the answer, and whether a record came of it.
struct Shown {
  Answer answer;
  size_t records = 0;
};
Shown Show(Scenario& s, int n, const std::string& secret = "a", const std::string& key = "key",
           const std::string& name = "web-9") {
  v1::Payload payload;
  v1::HostEnrolled* enrolled = payload.mutable_host_enrolled();
  enrolled->set_token("token-" + secret);
  enrolled->set_certificate("certificate " + std::to_string(n));
  enrolled->set_key_sha256(Sha256(key));
  enrolled->mutable_host()->set_id(Uuid(n));
  enrolled->mutable_host()->set_name(name);
  const Handled handled = s.Input(payload, "agent:" + Uuid(n));
  Shown shown;
  shown.records = handled.records.size();
  for (const Intent& intent : handled.intents)
    if (const auto* answer = std::get_if<Answer>(&intent)) shown.answer = *answer;
  EXPECT_EQ(shown.answer.request, EnrolRequest(Uuid(n)));
  return shown;
}

Answer Put(Scenario& s, const std::string& host) {
  return s.Person("alice", [&](v1::PersonAct& act) {
    act.mutable_agent_revoke()->set_host(host);
    act.mutable_agent_revoke()->set_why("it was stolen");
  });
}

TEST(Enrolment, ATokenLetsOneHostInOnceUnderTheTokensNameAndLabels) {
  Scenario s(0);
  ASSERT_EQ(MakeToken(s, {.labels = {{"role", "web"}}}).exit, 0u);
  const Shown first = Show(s, 1);
  EXPECT_EQ(first.answer.exit, 0u) << first.answer.message;
  EXPECT_EQ(first.answer.id, "token-a");
  const v1::Host& host = s.state().hosts.at(Uuid(1));
  EXPECT_EQ(host.name(), "web-9");
  EXPECT_EQ(host.key_sha256(), Sha256("key"));
  EXPECT_EQ(host.token(), "token-a");
  const Shown second = Show(s, 2, "a", "another key");
  EXPECT_EQ(second.answer.exit, 4u);
  EXPECT_THAT(second.answer.message, HasSubstr("was used already"));
  EXPECT_EQ(second.records, 0u) << "who is refused writes nothing";
  EXPECT_EQ(s.state().hosts.size(), 1u);
}

TEST(Enrolment, X04_OfFiftyWhoShowOneTokenOneGetsIn) {
  Scenario s(0);
  MakeToken(s, {});
  int let_in = 0;
  for (int n = 0; n < 50; ++n) let_in += Show(s, n, "a", "key " + std::to_string(n)).answer.exit == 0 ? 1 : 0;
  EXPECT_EQ(let_in, 1);
  EXPECT_EQ(s.state().hosts.size(), 1u);
}

TEST(Enrolment, ALostReplyIsGivenAgainForAnHourToTheSameKey) {
  Scenario s(0);
  MakeToken(s, {});
  Show(s, 1);
  s.Pass(59 * kMinute);
  const Shown again = Show(s, 2);
  EXPECT_EQ(again.answer.exit, 0u) << again.answer.message;
  EXPECT_EQ(again.records, 0u);
  EXPECT_EQ(s.state().tokens.at("token-a").certificate(), "certificate 1");
  EXPECT_EQ(s.state().tokens.at("token-a").host_id(), Uuid(1));
  s.Pass(2 * kMinute);
  EXPECT_EQ(Show(s, 3).answer.exit, 4u);
  EXPECT_EQ(s.state().hosts.size(), 1u);
}

TEST(Enrolment, X04_ALateUnknownOrRevokedTokenLetsNobodyIn) {
  Scenario s(0);
  EXPECT_THAT(Show(s, 1).answer.message, HasSubstr("no such token"));
  MakeToken(s, {});
  s.Pass(kHour);
  EXPECT_THAT(Show(s, 1).answer.message, HasSubstr("expired"));
  MakeToken(s, {.secret = "b"});
  EXPECT_EQ(
      s.Person("alice", [](v1::PersonAct& act) { act.mutable_token_revoke()->set_token("token-b"); }).exit,
      0u);
  EXPECT_THAT(Show(s, 1, "b").answer.message, HasSubstr("expired"));
  EXPECT_TRUE(s.state().hosts.empty());
}

TEST(Enrolment, X04_ATokenIsForItsNameAlone) {
  Scenario s(0);
  MakeToken(s, {});
  EXPECT_THAT(Show(s, 1, "a", "key", "db-1").answer.message, HasSubstr("is for the host web-9"));
  EXPECT_TRUE(s.state().hosts.empty());
}

TEST(Enrolment, ANameThatHasAnAgentTakesAnAdminsWord) {
  Scenario s(0);
  MakeToken(s, {});
  Show(s, 1);
  EXPECT_EQ(MakeToken(s, {.secret = "b"}).exit, 5u);
  ASSERT_EQ(MakeToken(s, {.secret = "c", .replace = true}).exit, 0u);
  EXPECT_EQ(Show(s, 2, "c", "new key").answer.exit, 0u);
  EXPECT_TRUE(s.state().hosts.at(Uuid(1)).deleted());
  EXPECT_FALSE(s.state().hosts.at(Uuid(2)).deleted());
  EXPECT_EQ(fleet::FindHost(s.state(), "web-9")->id(), Uuid(2));
}

TEST(Enrolment, ANameThatWasTakenMeanwhileIsRefused) {
  Scenario s(0);
  MakeToken(s, {});
  MakeToken(s, {.secret = "b"});
  EXPECT_EQ(Show(s, 1).answer.exit, 0u);
  EXPECT_THAT(Show(s, 2, "b", "other key").answer.message, HasSubstr("has an agent already"));
}

TEST(Enrolment, OneKeyIsOneHost) {
  Scenario s(0);
  MakeToken(s, {});
  MakeToken(s, {.name = "db-1", .secret = "b"});
  Show(s, 1);
  EXPECT_THAT(Show(s, 2, "b", "key", "db-1").answer.message, HasSubstr("is that of the host web-9"));
}

TEST(Enrolment, HostileNamesAndLabelsMakeNoToken) {
  Scenario s(0);
  for (const char* name : {"", "Web", "web 1", "../etc", "web-1\n", "$(id)", "web_1", "-web", "a,b"})
    EXPECT_EQ(MakeToken(s, {.name = name}).exit, 1u) << name;
  EXPECT_EQ(MakeToken(s, {.name = std::string(70, 'a')}).exit, 1u);
  for (const char* label : {"instance", "job", "alertname", "__name__", "1x", "a b", ""})
    EXPECT_EQ(MakeToken(s, {.labels = {{label, "x"}}}).exit, 1u) << label;
  EXPECT_EQ(MakeToken(s, {.labels = {{"role", std::string(300, 'x')}}}).exit, 1u);
  EXPECT_EQ(MakeToken(s, {.good_for = 25 * kHour}).exit, 1u);
  EXPECT_EQ(MakeToken(s, {.good_for = 0}).exit, 1u);
  EXPECT_TRUE(s.state().tokens.empty());
}

TEST(Enrolment, TokensAreBoundedAndOldOnesGo) {
  Scenario s(0);
  for (size_t n = 0; n < fleet::kMostTokens; ++n)
    ASSERT_EQ(MakeToken(s, {.name = "h-" + std::to_string(n), .secret = std::to_string(n)}).exit, 0u);
  EXPECT_EQ(MakeToken(s, {}).exit, 1u);
  s.Pass(26 * kHour);
  EXPECT_EQ(MakeToken(s, {}).exit, 0u);
  EXPECT_EQ(s.state().tokens.size(), 1u);
}

TEST(Enrolment, X11_ARevokedHostDoesNotRenewAndNothingIsExpectedOfIt) {
  Scenario s(0);
  MakeToken(s, {});
  Show(s, 1);
  s.ConnectHost(1, [](v1::Host& host) { host.set_id(Uuid(1)), host.set_name("web-9"); });
  v1::Payload lost;
  lost.mutable_host_edge()->set_kind(v1::HostEdge::HOST_LOST);
  *lost.mutable_host_edge()->mutable_host() = s.state().hosts.at(Uuid(1));
  s.Input(lost);
  ASSERT_EQ(s.incidents(), 1u) << "a lost host is an incident";
  EXPECT_EQ(Put(s, "web-9").exit, 0u);
  EXPECT_EQ(s.state().signals.begin()->second.state(), v1::CLEARED);
  v1::Payload renewed;
  renewed.mutable_certificate_renewed()->set_host_id(Uuid(1));
  renewed.mutable_certificate_renewed()->set_expires_us(s.now() + kDay);
  EXPECT_TRUE(s.Input(renewed).records.empty());
  // An edge that was on its way changes nothing.
  s.ConnectHost(1, [](v1::Host& host) { host.set_id(Uuid(1)), host.set_name("web-9"); });
  EXPECT_EQ(s.state().hosts.at(Uuid(1)).liveness(), v1::GONE);
  EXPECT_TRUE(s.state().hosts.at(Uuid(1)).revoked());
}

TEST(Enrolment, TheIdOfADeletedHostNeverComesBackAndItsNameDoes) {
  Scenario s(0);
  MakeToken(s, {.labels = {{"role", "web"}}});
  Show(s, 1);
  EXPECT_THAT(Put(s, "web-9").message, HasSubstr("revoked"));
  EXPECT_THAT(Put(s, "web-9").message, HasSubstr("deleted"));
  EXPECT_EQ(Put(s, "web-9").exit, 3u) << "a tombstone is found by nothing";
  EXPECT_EQ(Put(s, Uuid(1)).exit, 3u);
  EXPECT_TRUE(s.state().hosts.at(Uuid(1)).labels().empty());
  MakeToken(s, {.secret = "b"});
  EXPECT_THAT(Show(s, 1, "b", "new key").answer.message, HasSubstr("not a new one"));
  EXPECT_THAT(Show(s, 3, "b", "key").answer.message, HasSubstr("its key is that of")) << "nor does its key";
  EXPECT_EQ(Show(s, 2, "b", "new key").answer.exit, 0u);
  s.Restart(true);
  EXPECT_TRUE(s.state().hosts.at(Uuid(1)).deleted());
  EXPECT_EQ(fleet::FindHost(s.state(), "web-9")->id(), Uuid(2));
}

TEST(Enrolment, LabelsOfAnEnrolledHostAreTheControllersAndNoStreams) {
  Scenario s(0);
  MakeToken(s, {.labels = {{"role", "web"}, {"site", "eu"}}});
  Show(s, 1);
  const Answer answer = s.Person("alice", [](v1::PersonAct& act) {
    act.mutable_agent_labels()->set_host("web-9");
    (*act.mutable_agent_labels()->mutable_set())["role"] = "db";
    act.mutable_agent_labels()->add_remove("site");
  });
  EXPECT_EQ(answer.exit, 0u) << answer.message;
  s.ConnectHost(1, [](v1::Host& host) {
    host.set_id(Uuid(1));
    host.set_name("web-9");
    (*host.mutable_labels())["role"] = "admin";
  });
  const auto& labels = s.state().hosts.at(Uuid(1)).labels();
  EXPECT_EQ(labels.size(), 1u);
  EXPECT_EQ(labels.at("role"), "db");
}

TEST(Enrolment, LabelsOfAHostOfTheFileStandInItsConfiguration) {
  Scenario s(1);
  const Answer answer = s.Person("alice", [](v1::PersonAct& act) {
    act.mutable_agent_labels()->set_host("web-1");
    (*act.mutable_agent_labels()->mutable_set())["role"] = "db";
  });
  EXPECT_EQ(answer.exit, 1u);
  EXPECT_THAT(answer.message, HasSubstr("controller.yaml"));
}

TEST(Enrolment, ARevokedHostIsNoTarget) {
  Scenario s(2);
  Put(s, "web-1");
  s.Fire(1);
  EXPECT_TRUE(s.Commands().empty());
}

TEST(Enrolment, ARenewalMovesTheDate) {
  Scenario s(0);
  MakeToken(s, {});
  Show(s, 1);
  v1::Payload renewed;
  renewed.mutable_certificate_renewed()->set_host_id(Uuid(1));
  renewed.mutable_certificate_renewed()->set_expires_us(s.now() + kDay);
  s.Input(renewed);
  EXPECT_EQ(s.state().hosts.at(Uuid(1)).certificate_expires_us(), s.now() + kDay);
}

}  // namespace
}  // namespace quell::engine
