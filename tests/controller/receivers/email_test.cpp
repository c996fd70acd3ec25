// Mail to a real SMTP server on loopback.
#include "controller/receivers/email.h"

#include <gmock/gmock.h>

#include "tests/controller/receivers/receiver_fixture.h"
#include "tests/support/files.h"
#include "tests/support/smtp_receiver.h"

namespace quell::receivers {
namespace {

using test::SmtpReceiver;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr Micros kDeadline = 20 * kSecond;

class EmailTest : public testing::Test {
 protected:
  std::unique_ptr<ReceiverPlugin> Plugin(const std::string& more = "") {
    return Make("{type: email, smtp: \"" + server.Address() +
                "\", from: quell@example.com, to: [alice@example.com, bob@example.com], tls: off" + more +
                "}");
  }
  std::string Header(const std::string& mail, const std::string& name) {
    const size_t begin = mail.find("\r\n" + name + ": ");
    if (begin == std::string::npos) return "";
    const size_t value = begin + name.size() + 4;
    return mail.substr(value, mail.find("\r\n", value) - value);
  }
  SmtpReceiver server;
  test::TempDir directory;
};

TEST_F(EmailTest, ANoticeArrivesWithItsTextAndEveryRecipient) {
  const Delivery delivery = Plugin()->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_TRUE(delivery.sent) << delivery.error;
  ASSERT_TRUE(server.WaitForMessages(1));
  const auto message = server.messages()[0];
  EXPECT_EQ(message.from, "quell@example.com");
  EXPECT_THAT(message.to, ElementsAre("alice@example.com", "bob@example.com"));
  EXPECT_EQ(Header(message.data, "Subject"), "[P1] #417 client-portal hangs");
  EXPECT_EQ(Header(message.data, "Message-ID"),
            MessageId(kInstallation, "INC-20261123-031207/oncall/declared"));
  EXPECT_THAT(message.data, HasSubstr("\r\n\r\nThe portal hangs on web-1.\r\nquell ack 417\r\n"));
}

TEST_F(EmailTest, UserAndPasswordComeFromFiles) {
  const std::string user = directory.Write("user", "quell\n", 0600);
  const std::string password = directory.Write("password", "s3cret\n", 0600);
  auto plugin = Plugin(", user_file: " + user + ", password_file: " + password);
  EXPECT_TRUE(plugin->Send(DeclaredNotice(), kInstallation, kDeadline).sent);
  ASSERT_TRUE(server.WaitForMessages(1));
  EXPECT_EQ(server.messages()[0].user, "quell");
}

TEST_F(EmailTest, ARefusedRecipientIsPermanent) {
  server.set_mode(SmtpReceiver::Mode::kRefuseRecipient);
  const Delivery delivery = Plugin()->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_FALSE(delivery.sent);
  EXPECT_TRUE(delivery.permanent) << delivery.error;
  EXPECT_FALSE(delivery.ambiguous);
  EXPECT_THAT(delivery.error, HasSubstr("550"));
}

TEST_F(EmailTest, ATemporaryRefusalAfterTheDataIsTriedAgain) {
  server.set_mode(SmtpReceiver::Mode::kRefuseForNow);
  const Delivery delivery = Plugin()->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_FALSE(delivery.sent);
  EXPECT_FALSE(delivery.permanent);
  EXPECT_FALSE(delivery.ambiguous) << delivery.error;
}

TEST_F(EmailTest, ALostAnswerIsAmbiguousAndTheRepeatBearsTheSameIdAndAMark) {
  server.set_mode(SmtpReceiver::Mode::kCloseAfterData);
  auto plugin = Plugin();
  v1::Notice notice = DeclaredNotice();
  const Delivery first = plugin->Send(notice, kInstallation, kDeadline);
  EXPECT_FALSE(first.sent);
  EXPECT_TRUE(first.ambiguous) << first.error;
  EXPECT_FALSE(first.permanent);

  server.set_mode(SmtpReceiver::Mode::kAccept);
  notice.set_may_repeat(true);
  EXPECT_TRUE(plugin->Send(notice, kInstallation, kDeadline).sent);
  ASSERT_TRUE(server.WaitForMessages(2));
  const auto messages = server.messages();
  EXPECT_EQ(Header(messages[0].data, "Message-ID"), Header(messages[1].data, "Message-ID"));
  EXPECT_THAT(Header(messages[0].data, "Subject"), Not(HasSubstr("repeat")));
  EXPECT_THAT(Header(messages[1].data, "Subject"), HasSubstr("[may be a repeat]"));
  EXPECT_THAT(messages[1].data, HasSubstr("This may be a repeat"));
}

TEST_F(EmailTest, AServerThatNeverGreetsEndsAtTheDeadlineUnambiguously) {
  server.set_mode(SmtpReceiver::Mode::kHang);
  const Delivery delivery = Plugin()->Send(DeclaredNotice(), kInstallation, 200 * kMillisecond);
  EXPECT_FALSE(delivery.sent);
  EXPECT_FALSE(delivery.ambiguous);
  EXPECT_FALSE(delivery.permanent);
}

TEST_F(EmailTest, AnUnreachableServerIsTriedAgain) {
  auto plugin = Plugin();
  server.Stop();
  const Delivery delivery = plugin->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_FALSE(delivery.sent);
  EXPECT_FALSE(delivery.permanent);
  EXPECT_FALSE(delivery.ambiguous);
  EXPECT_THAT(delivery.error, HasSubstr("sending mail"));
}

TEST_F(EmailTest, RequiredTlsNeverFallsBackToClearText) {
  auto plugin = Make("{type: email, smtp: \"" + server.Address() +
                     "\", from: quell@example.com, to: alice@example.com}");
  const Delivery delivery = plugin->Send(DeclaredNotice(), kInstallation, kDeadline);
  EXPECT_FALSE(delivery.sent);
  EXPECT_TRUE(server.messages().empty());
}

TEST_F(EmailTest, X06_ASubjectCannotAddAHeaderOrARecipient) {
  v1::Notice notice = DeclaredNotice();
  notice.set_subject("hang\r\nBcc: eve@example.com\r\n\r\nforged body\x1b[31m\xff\xe2\x80\xae");
  notice.set_key("k\r\nX-Forged: 1");
  notice.set_text("first\r\n.\r\nMAIL FROM:<eve@example.com>\r\n\x1b[2Jlast\n");
  ASSERT_TRUE(Plugin()->Send(notice, kInstallation, kDeadline).sent);
  ASSERT_TRUE(server.WaitForMessages(1));
  ASSERT_EQ(server.messages().size(), 1u);
  const auto message = server.messages()[0];
  EXPECT_THAT(message.to, ElementsAre("alice@example.com", "bob@example.com"));
  EXPECT_THAT(message.data, Not(HasSubstr("\nBcc:")));
  EXPECT_THAT(message.data, Not(HasSubstr("\nX-Forged:")));
  EXPECT_EQ(message.data.find('\x1b'), std::string::npos);
  // The lone dot stayed inside the message.
  EXPECT_THAT(message.data, HasSubstr("\r\n.\r\nMAIL FROM:<eve@example.com>\r\n"));
}

TEST(ComposeMail, TextBeyondAsciiIsQuotedPrintable) {
  v1::Notice notice = DeclaredNotice();
  notice.set_text("Störung = größer\n" + std::string(200, 'x') + "\n");
  const std::string mail =
      ComposeMail(notice, kInstallation, "q@e.com", {"a@e.com"}, 1'795'000'000 * kSecond);
  EXPECT_THAT(mail, HasSubstr("Content-Transfer-Encoding: quoted-printable\r\n"));
  EXPECT_THAT(mail, HasSubstr("St=C3=B6rung =3D gr=C3=B6=C3=9Fer\r\n"));
  EXPECT_THAT(mail, HasSubstr("Date: Wed, 18 Nov 2026 11:06:40 +0000\r\n"));
  size_t begin = 0;
  for (size_t end; (end = mail.find("\r\n", begin)) != std::string::npos; begin = end + 2) {
    EXPECT_LE(end - begin, 78u) << mail.substr(begin, end - begin);
  }
}

TEST(ComposeMail, OneIncidentIsOneThreadAndEachNoticeHasItsId) {
  EXPECT_EQ(MessageId("i", "a"), MessageId("i", "a"));
  EXPECT_NE(MessageId("i", "a"), MessageId("i", "b"));
  EXPECT_NE(MessageId("i", "a"), MessageId("j", "a"));
  EXPECT_THAT(MessageId(kInstallation, "a"), HasSubstr("@7e0c44de-8f4b-4e0e-9d5a-3f7a4c1d2b30>"));
  EXPECT_THAT(MessageId("evil>\r\nBcc: x", "a"), testing::EndsWith("@quell>"));
}

TEST(EmailConfig, EveryMistakeIsToldWithItsPlace) {
  std::string mistakes;
  EXPECT_EQ(Make("type: email\n"
                 "smtp: example.com\n"
                 "from: Quell <quell@example.com>\n"
                 "to: [alice, \"bob@example.com\\r\\nRCPT TO:<eve@example.com>\"]\n"
                 "tls: off\n"
                 "password_file: /does/not/exist\n"
                 "pasword: x\n",
                 &mistakes),
            nullptr);
  for (const char* expected :
       {"controller.yaml:2:7: smtp must be host:port", "controller.yaml:3:7: from must be one plain address",
        "controller.yaml:4:5: to must be plain addresses", "controller.yaml:5:6: tls may be off only",
        "controller.yaml:6:16: ", "password_file needs user_file",
        "controller.yaml:7:1: unknown key \"pasword\""}) {
    EXPECT_THAT(mistakes, HasSubstr(expected));
  }
}

TEST(EmailConfig, X14_APasswordThatOthersCanReadIsRefused) {
  test::TempDir directory;
  const std::string file = directory.Write("password", "hunter2\n", 0644);
  std::string mistakes;
  Make("{type: email, smtp: \"127.0.0.1:25\", tls: off, from: a@b, to: c@d, user_file: " + file +
           ", password_file: " + file + "}",
       &mistakes);
  EXPECT_THAT(mistakes, HasSubstr(file));
  EXPECT_THAT(mistakes, Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace quell::receivers
