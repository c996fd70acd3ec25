#include <curl/curl.h>
#include <gtest/gtest.h>

#include <memory>

#include "tests/support/files.h"
#include "tests/support/http_receiver.h"
#include "tests/support/smtp_receiver.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

using Curl = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

Curl MakeCurl(const std::string& url) {
  Curl curl(curl_easy_init(), curl_easy_cleanup);
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT, 10L);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(
      curl.get(), CURLOPT_WRITEFUNCTION, +[](char*, size_t, size_t n, void*) { return n; });
  return curl;
}

TEST(HttpReceiverTest, KeepsRequestsAndAnswersAsTold) {
  HttpReceiver receiver;
  const Curl curl = MakeCurl(receiver.Url("/hook?x=1"));
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, "{\"a\":1}");
  EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_OK);
  receiver.AnswerStatus(500);
  EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_OK);
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  EXPECT_EQ(status, 500);
  receiver.Close();
  EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_GOT_NOTHING);
  receiver.Hang();
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, 200L);
  EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_OPERATION_TIMEDOUT);
  const std::vector<HttpReceiver::Request> requests = receiver.requests();
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(requests[0].method, "POST");
  EXPECT_EQ(requests[0].path, "/hook?x=1");
  EXPECT_EQ(requests[0].body, "{\"a\":1}");
  receiver.Stop();
  EXPECT_EQ(curl_easy_perform(curl.get()), CURLE_COULDNT_CONNECT);
}

CURLcode SendMail(const SmtpReceiver& receiver, const std::string& text) {
  const Curl curl = MakeCurl("smtp://" + receiver.Address());
  std::string rest = text;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> to(
      curl_slist_append(nullptr, "<bob@example.com>"), curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_MAIL_FROM, "<quell@example.com>");
  curl_easy_setopt(curl.get(), CURLOPT_MAIL_RCPT, to.get());
  curl_easy_setopt(curl.get(), CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_READDATA, &rest);
  curl_easy_setopt(
      curl.get(), CURLOPT_READFUNCTION, +[](char* out, size_t size, size_t n, void* user) {
        auto* text = static_cast<std::string*>(user);
        const size_t part = std::min(size * n, text->size());
        text->copy(out, part);
        text->erase(0, part);
        return part;
      });
  return curl_easy_perform(curl.get());
}

TEST(SmtpReceiverTest, KeepsMailAndAnswersAsTold) {
  SmtpReceiver receiver;
  EXPECT_EQ(SendMail(receiver, "Subject: x\r\n\r\n.dot\r\n"), CURLE_OK);
  receiver.set_mode(SmtpReceiver::Mode::kRefuseForNow);
  EXPECT_NE(SendMail(receiver, "x\r\n"), CURLE_OK);
  receiver.set_mode(SmtpReceiver::Mode::kRefuseRecipient);
  EXPECT_NE(SendMail(receiver, "x\r\n"), CURLE_OK);
  ASSERT_EQ(receiver.messages().size(), 1u);
  receiver.set_mode(SmtpReceiver::Mode::kCloseAfterData);
  EXPECT_NE(SendMail(receiver, "y\r\n"), CURLE_OK);
  const std::vector<SmtpReceiver::Message> messages = receiver.messages();
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(messages[0].from, "quell@example.com");
  EXPECT_EQ(messages[0].to, std::vector<std::string>{"bob@example.com"});
  EXPECT_EQ(messages[0].data, "Subject: x\r\n\r\n.dot\r\n");
}

TEST(FilesTest, ATreeIsWrittenAndGone) {
  std::string path;
  {
    const TempDir dir;
    path = dir.path();
    WriteTree(dir.path(), {{"/proc/loadavg", "1 2 3\n"}, {"sys/class/x", ""}});
    EXPECT_EQ(ReadFile(dir.Path("proc/loadavg")), "1 2 3\n");
  }
  EXPECT_EQ(ReadFile(path + "/proc/loadavg"), "");
  EXPECT_GT(FreePort(), 0);
  EXPECT_FALSE(WaitFor([] { return false; }, kMillisecond));
}

}  // namespace
}  // namespace quell::test
