// X9, X10, X14, X15 at the executor's own door: an agent that has been taken over, a thief of the database, a
// former controller. Whatever they send has no effect and is counted.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/agent/executor/harness.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

class HostileAgent : public testing::Test {
 protected:
  void SetUp() override { executor_ = world_.Start(); }
  // Sends it; nothing must come of it but a count.
  void ExpectNoEffect(const std::string& bytes, const std::string& what) {
    const uint64_t before = executor_->Status().refused();
    const int effects = world_.Effects();
    executor_->Submit(bytes);
    EXPECT_TRUE(world_.workers.running.empty()) << what;
    EXPECT_EQ(world_.Effects(), effects) << what;
    EXPECT_EQ(executor_->Status().refused(), before + 1) << what;
  }
  v1::CommandReport Refusal(const v1::CommandBody& body) {
    ExpectNoEffect(world_.Sign(body), body.ShortDebugString());
    return LastReport(*executor_, body.id());
  }

  World world_;
  std::unique_ptr<Executor> executor_;
};

TEST_F(HostileAgent, X10_UnsignedAndResignedCommandsDoNothing) {
  const v1::CommandBody body = world_.Body(*executor_);
  v1::SignedCommand command;
  command.set_body(body.SerializeAsString());
  ExpectNoEffect(command.SerializeAsString(), "no signature");
  command.set_key_id(world_.pki.command_key().Id());
  ExpectNoEffect(command.SerializeAsString(), "a key's name without a signature");
  const auto own = security::SigningKey::Generate();
  command.set_signature(own.Sign(security::kCommandContext, command.body()));
  ExpectNoEffect(command.SerializeAsString(), "another key under the trusted key's name");
  command.set_key_id(own.Id());
  ExpectNoEffect(command.SerializeAsString(), "another key under its own name");
  command.set_key_id(world_.pki.command_key().Id());
  command.set_signature(world_.pki.command_key().Sign(security::kLogContext, command.body()));
  ExpectNoEffect(command.SerializeAsString(), "a signature for the log");
  command.set_key_id(world_.pki.log_key().Id());
  command.set_signature(world_.pki.log_key().Sign(security::kCommandContext, command.body()));
  ExpectNoEffect(command.SerializeAsString(), "the log key signs no commands");
}

TEST_F(HostileAgent, X10_EachFieldFlippedAfterSigningDoesNothing) {
  v1::CommandBody body = world_.Body(*executor_);
  body.mutable_action()->mutable_pm2_restart()->add_expect()->set_pid(5);
  body.add_approvals()->set_person("alice");
  body.set_dry_run(true);
  const std::string good = world_.Sign(body);
  for (size_t i = 0; i < good.size(); ++i) {
    for (const char bit : {'\x01', '\x80'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ bit);
      ExpectNoEffect(bad, "byte " + std::to_string(i));
    }
  }
  for (size_t n = 0; n < good.size(); ++n) {
    if (n > 0) ExpectNoEffect(good.substr(0, n), "cut to " + std::to_string(n));
  }
}

TEST_F(HostileAgent, X02_OldNoncesAndNoncesOfNobodyDoNothing) {
  v1::CommandBody body = world_.Body(*executor_);
  world_.clock.Advance(30 * kSecond);
  EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_STALE_NONCE);
  body = world_.Body(*executor_);
  body.set_nonce(std::string(16, 'n'));
  EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_STALE_NONCE);
  body = world_.Body(*executor_);
  body.clear_nonce();
  EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_STALE_NONCE);
  body = world_.Body(*executor_);
  executor_ = world_.Start();
  EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_STALE_NONCE);
}

TEST_F(HostileAgent, X11_AFormerControllersEpochDoesNothing) {
  executor_->Submit(world_.Sign(world_.Body(*executor_)));
  world_.EndAll(*executor_);
  v1::CommandBody body = world_.Body(*executor_);
  body.set_epoch_number(2);
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("epoch 2 is over"));
  body = world_.Body(*executor_);
  body.set_epoch_start(std::string(16, 'x'));
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("another start"));
  executor_ = world_.Start();  // the epoch is remembered
  body = world_.Body(*executor_);
  body.set_epoch_number(2);
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("epoch 2 is over"));
}

TEST_F(HostileAgent, X11_ARecordedCommandOfAHigherEpochFencesNobodyOnceItsNonceIsOld) {
  v1::CommandBody body = world_.Body(*executor_);
  body.set_epoch_number(99);
  world_.clock.Advance(31 * kSecond);
  EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_STALE_NONCE);
  EXPECT_EQ(executor_->Status().epoch_number(), 0u);
}

TEST_F(HostileAgent, X11_TheBundlesLeastEpochCounts) {
  world_.pki.bundle().set_serial(world_.pki.bundle().serial() + 1);
  world_.pki.bundle().set_least_epoch(10);
  ASSERT_TRUE(executor_->OfferTrust(world_.pki.signed_bundle()).ok());
  EXPECT_THAT(Refusal(world_.Body(*executor_)).reason(), HasSubstr("below 10"));
}

TEST_F(HostileAgent, X02_ReplayAfterAnOlderJournalWasRestoredDoesNothing) {
  executor_->Submit(world_.Sign(world_.Body(*executor_, "first")));
  world_.EndAll(*executor_);
  const std::string older = world_.disk.files()["/state/journal"].data;
  const std::string command = world_.Sign(world_.Body(*executor_, "second"));
  executor_->Submit(command);
  world_.EndAll(*executor_);
  ASSERT_EQ(world_.Effects(), 2);
  ASSERT_TRUE(world_.disk.WriteWhole("/state/journal", older).ok());
  executor_ = world_.Start();
  ExpectNoEffect(command, "the journal has forgotten it, the nonce has not");
  world_.disk.files().erase("/state/journal");
  executor_ = world_.Start();
  ExpectNoEffect(command, "no journal at all");
  EXPECT_EQ(world_.Effects(), 2);
}

TEST_F(HostileAgent, X09_OversizedForeignAndUnknownDoNothing) {
  ExpectNoEffect(std::string((64 << 10) + 1, 'x'), "longer than 64 KiB");
  ExpectNoEffect(std::string(100, '\xff'), "no message");
  v1::CommandBody body = world_.Body(*executor_);
  body.set_host_id("0b3f5a6e-1111-4222-8333-444455556667");
  EXPECT_EQ(Refusal(body).reason(), "the command is for another host");
  body = world_.Body(*executor_);
  body.clear_action();
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("no action that this host knows"));
  // A field that a later version may have, at the top and deep inside.
  body = world_.Body(*executor_);
  body.GetReflection()->MutableUnknownFields(&body)->AddVarint(99, 1);
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("does not know"));
  body = world_.Body(*executor_);
  v1::Pm2Process* process = body.mutable_action()->mutable_pm2_restart()->add_expect();
  process->GetReflection()->MutableUnknownFields(process)->AddVarint(99, 1);
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("does not know"));
  body = world_.Body(*executor_);
  body.GetReflection()
      ->MutableUnknownFields(body.mutable_action())
      ->AddLengthDelimited(77, "a verb of tomorrow");
  EXPECT_THAT(Refusal(body).reason(), HasSubstr("does not know"));
  for (const uint32_t valid : {0u, 30'001u}) {
    body = world_.Body(*executor_);
    body.set_valid_for_ms(valid);
    EXPECT_EQ(Refusal(body).refusal(), v1::REFUSAL_VERIFY);
  }
  EXPECT_TRUE(absl::IsInvalidArgument(executor_->Receive(std::string(50, '\xff'))));
}

TEST_F(HostileAgent, X09_WithTheControllersOwnKeyOnlySanctionedTargetsAreReached) {
  world_.host.Sanctions(
      "- {action: pm2.restart, user: deploy, allow: {apps: [\"boutique-*\"]}}\n"
      "- {action: pm2.restart, user: deploy, deny: {apps: [\"*-db\"]}}\n"
      "- {action: pm2.restart, user: root, allow: {apps: [\"*\"]}, approval: one}\n");
  const std::vector<std::pair<std::string, std::string>> hostile = {
      {"deploy", "portal"},
      {"deploy", "boutique-db"},
      {"root", "boutique-x"},
      {"deploy2", "boutique-x"},
      {"deploy", ""},
      {"", "boutique-x"},
      {"../root", "boutique-x"},
      {"-u root", "boutique-x"},
      {"0", "boutique-x"},
      {"deploy\n", "boutique-x"},
      {"DEPLOY", "boutique-x"},
      {"deploy", std::string("boutique-x\0y", 12)},
      {"deploy", std::string(64 << 9, 'b')}};
  for (const auto& [user, app] : hostile) {
    v1::CommandBody body = world_.Body(*executor_, app);
    body.mutable_action()->mutable_pm2_restart()->set_user(user);
    EXPECT_EQ(Refusal(body).outcome(), v1::OUTCOME_REFUSED) << user << " " << app;
  }
  v1::CommandBody allowed = world_.Body(*executor_, "boutique-client-portal");
  executor_->Submit(world_.Sign(allowed));
  EXPECT_EQ(world_.workers.running.size(), 1u);
}

TEST_F(HostileAgent, X15_NamesAreOpaqueBytes) {
  for (const std::string app :
       {"; id", "$(id)", "`id`", "../../x", "a b", "-rf", "工作-é", "%s%n", "\x1b[31m"}) {
    const v1::CommandBody body = world_.Body(*executor_, app);
    executor_->Submit(world_.Sign(body));
    ASSERT_EQ(world_.workers.running.size(), 1u) << app;
    const WorkerJob& job = world_.workers.running.begin()->second;
    EXPECT_EQ(job.request.action().pm2_restart().app(), app);
    EXPECT_EQ(job.request.pm2_home(), "/home/deploy/.pm2");
    world_.EndAll(*executor_);
  }
  ExpectNoEffect(world_.Sign(world_.Body(*executor_, std::string(64 << 10, 'a'))), "a name of 64 KiB");
}

TEST_F(HostileAgent, X10_ForgedBytesDoNotContradictWhatTheJournalSays) {
  const v1::CommandBody body = world_.Body(*executor_);
  executor_->Submit(world_.Sign(body));
  world_.EndAll(*executor_);
  v1::SignedCommand forged;
  forged.set_body(body.SerializeAsString());
  forged.set_key_id(world_.pki.command_key().Id());
  forged.set_signature(std::string(64, 's'));
  ExpectNoEffect(forged.SerializeAsString(), "a known id with a bad signature");
  EXPECT_EQ(LastReport(*executor_, body.id()).outcome(), v1::OUTCOME_SUCCEEDED);
  // The very same bytes again, within their time: answered from the journal.
  ExpectNoEffect(world_.Sign(body), "a replay within its time");
  EXPECT_EQ(LastReport(*executor_, body.id()).refusal(), v1::REFUSAL_DUPLICATE);
  EXPECT_EQ(world_.workers.effects[body.id()], 1);
}

TEST_F(HostileAgent, X09_BadOrAbsentSanctionsRefuseEverything) {
  for (const char* yaml :
       {"", "[]", "nonsense: [", "- {action: pm2.explode, user: deploy, allow: {apps: [x]}}",
        "- {action: pm2.restart, allow: {apps: [\"*\"]}}",
        "- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}, extra: 1}"}) {
    world_.host.Sanctions(yaml);
    EXPECT_EQ(Refusal(world_.Body(*executor_)).refusal(), v1::REFUSAL_SANCTION) << yaml;
  }
  world_.host.Sanctions("- {action: pm2.restart, user: deploy, allow: {apps: [\"*\"]}}");
  world_.host.held = true;
  EXPECT_EQ(Refusal(world_.Body(*executor_)).refusal(), v1::REFUSAL_HOLD);
}

}  // namespace
}  // namespace quell::agent
