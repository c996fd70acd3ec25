#include "controller/receivers/outbox.h"

#include <gmock/gmock.h>

#include "absl/synchronization/mutex.h"
#include "tests/controller/receivers/receiver_fixture.h"
#include "tests/support/http_receiver.h"
#include "tests/support/wait.h"

namespace quell::receivers {
namespace {

using testing::HasSubstr;

class OutboxTest : public testing::Test {
 protected:
  std::unique_ptr<Outbox> Start(Micros deadline = 20 * kSecond) {
    Receivers receivers;
    receivers["fast"] = Make("{type: webhook, url: \"" + fast.Url() + "\"}");
    receivers["slow"] = Make("{type: webhook, url: \"" + slow.Url() + "\"}");
    return std::make_unique<Outbox>(std::move(receivers), OutboxOptions{kInstallation, deadline},
                                    [this](v1::NoticeResult result) {
                                      absl::MutexLock lock(&mutex);
                                      results.push_back(std::move(result));
                                    });
  }
  v1::Notice Notice(const std::string& receiver, const std::string& key) {
    v1::Notice notice = DeclaredNotice();
    notice.set_receiver(receiver);
    notice.set_key(key);
    return notice;
  }
  size_t Count() {
    absl::MutexLock lock(&mutex);
    return results.size();
  }
  v1::NoticeResult Result(size_t i) {
    absl::MutexLock lock(&mutex);
    return results.at(i);
  }

  test::HttpReceiver fast;
  test::HttpReceiver slow;
  absl::Mutex mutex;
  std::vector<v1::NoticeResult> results;
};

TEST_F(OutboxTest, EachNoticeIsSentOnceAndAnswered) {
  auto outbox = Start();
  for (int i = 0; i < 20; ++i) outbox->Send(Notice("fast", "key " + std::to_string(i)));
  ASSERT_TRUE(test::WaitFor([&] { return Count() == 20; }));
  EXPECT_EQ(fast.requests().size(), 20u);
  for (size_t i = 0; i < 20; ++i) {
    EXPECT_TRUE(Result(i).sent());
    EXPECT_EQ(Result(i).key(), "key " + std::to_string(i));  // one receiver's are sent in order
  }
  EXPECT_EQ(outbox->sent(), 20u);
}

TEST_F(OutboxTest, ASlowReceiverDelaysNoOther) {
  slow.Hang();
  auto outbox = Start();
  outbox->Send(Notice("slow", "stuck"));
  ASSERT_TRUE(slow.WaitForRequests(1));
  outbox->Send(Notice("fast", "quick"));
  ASSERT_TRUE(test::WaitFor([&] { return Count() == 1; }));
  EXPECT_EQ(Result(0).key(), "quick");
  slow.Stop();  // lets the stuck one go
  ASSERT_TRUE(test::WaitFor([&] { return Count() == 2; }));
  EXPECT_TRUE(Result(1).ambiguous());
}

TEST_F(OutboxTest, AFullQueueRefusesAndSaysWhenToTryAgain) {
  slow.Hang();
  auto outbox = Start();
  for (int i = 0; i < 300; ++i) outbox->Send(Notice("slow", std::to_string(i)));
  EXPECT_GE(outbox->refused(), 300u - 256u - 1u);
  EXPECT_LE(outbox->waiting(), 256u);
  const v1::NoticeResult refused = Result(0);
  EXPECT_FALSE(refused.sent() || refused.permanent() || refused.ambiguous());
  EXPECT_GT(refused.retry_after_us(), 0);
  EXPECT_THAT(refused.error(), HasSubstr("slow"));
  slow.Stop();
}

TEST_F(OutboxTest, AReceiverThatIsGoneFromTheConfigurationIsPermanent) {
  auto outbox = Start();
  outbox->Send(Notice("chat", "k"));
  ASSERT_EQ(Count(), 1u);
  EXPECT_TRUE(Result(0).permanent());
  EXPECT_THAT(Result(0).error(), HasSubstr("no receiver chat"));
}

TEST_F(OutboxTest, ThirtyMinutesOfErrorsThenUpSendsUnderTheSameKey) {
  auto outbox = Start();
  for (const int status : {500, 429, 503}) {
    const size_t before = Count();
    fast.AnswerStatus(status);
    outbox->Send(Notice("fast", "one"));
    ASSERT_TRUE(test::WaitFor([&] { return Count() == before + 1; }));
    EXPECT_FALSE(Result(before).sent() || Result(before).permanent()) << status;
  }
  fast.AnswerStatus(200);
  outbox->Send(Notice("fast", "one"));
  ASSERT_TRUE(test::WaitFor([&] { return Count() == 4; }));
  EXPECT_TRUE(Result(3).sent());
  for (const auto& request : fast.requests()) EXPECT_EQ(request.headers.at("idempotency-key"), "one");
}

TEST_F(OutboxTest, StopWaitsForTheRunningAttemptAndTellsTheRestAsNotBegun) {
  slow.Hang();
  auto outbox = Start(300 * kMillisecond);
  for (int i = 0; i < 5; ++i) outbox->Send(Notice("slow", std::to_string(i)));
  ASSERT_TRUE(slow.WaitForRequests(1));
  outbox->Stop();
  outbox->Send(Notice("fast", "late"));
  outbox.reset();
  ASSERT_EQ(Count(), 6u);  // each exactly once
  EXPECT_TRUE(Result(0).ambiguous());
  size_t not_begun = 0;
  for (size_t i = 1; i < 6; ++i) {
    EXPECT_FALSE(Result(i).sent() || Result(i).permanent());
    if (!Result(i).ambiguous()) ++not_begun;
  }
  EXPECT_EQ(not_begun, 6 - slow.requests().size());
  EXPECT_TRUE(fast.requests().empty());
}

}  // namespace
}  // namespace quell::receivers
