// The reader against a daemon that is late; against a real one it is tested in real_daemon_test.cpp.
#include "agent/reader/reader.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>

#include "tests/agent/pm2/fake_daemon.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::reader {
namespace {

using test::Reply;

class LateDaemon : public testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    agent_.reset(ends[0]);
    writer_ = std::make_unique<FrameWriter>(ends[1], nullptr);
    ReaderOptions options;
    options.home = dir_.path();
    options.uid = getuid();
    options.list_every = options.list_gap = options.retry_least = options.retry_most = 10 * kMillisecond;
    options.answer_within = kSecond;
    reader_ = std::make_unique<Reader>(options, RealClock(), *writer_);
    thread_ = NamedThread("reader", [this] { reader_->Run(); });
  }
  void TearDown() override { Stop(); }
  void Stop() {
    reader_->Stop();
    thread_.Join();
  }
  std::string Answer(const pm2::AmpFrame& request) {
    const auto asks = [&](const char* what) { return request[0].data.find(what) != std::string::npos; };
    if (asks("methods")) unanswered_.push_back(0);
    if (asks("methods")) return Reply(test::kMethodsReply, request[1]);
    if (asks("getVersion")) return Reply(R"({"args":["7.0.4"]})", request[1]);
    if (late_ > 0) {
      --late_;
      ++unanswered_.back();
      return "";
    }
    return Reply(R"({"args":[[]]})", request[1]);
  }
  // The next frame that is a list, or says that there is none.
  v1::ReaderFrame Next() {
    v1::ReaderFrame frame;
    do {
      uint32_t size = 0;
      EXPECT_EQ(recv(agent_.get(), &size, sizeof(size), MSG_WAITALL), 4);
      std::string body(size, '\0');
      EXPECT_EQ(recv(agent_.get(), body.data(), size, MSG_WAITALL), ssize_t{size});
      EXPECT_TRUE(frame.ParseFromString(body));
    } while (frame.daemon_up() && !frame.list_valid());
    return frame;
  }

  const test::TempDir dir_;
  std::atomic<int> late_ = 0;    // so many lists are not answered
  std::vector<int> unanswered_;  // lists, by connection; the daemon's thread until the reader is stopped
  test::FakeDaemon daemon_{dir_.Path("rpc.sock"), [this](const pm2::AmpFrame& r) { return Answer(r); }};
  UniqueFd agent_;
  std::unique_ptr<FrameWriter> writer_;
  std::unique_ptr<Reader> reader_;
  NamedThread thread_;
};

TEST_F(LateDaemon, OneLateListIsAskedForOnceMoreAndIsNoNews) {
  ASSERT_TRUE(Next().list_valid());
  for (int i = 0; i < 3; ++i) {
    late_ = 1;
    do EXPECT_TRUE(Next().list_valid());
    while (late_ == 1);
    EXPECT_TRUE(Next().list_valid());
  }
}

TEST_F(LateDaemon, OneThatDoesNotAnswerTwiceIsDownAndThenAskedOnceATime) {
  ASSERT_TRUE(Next().list_valid());
  late_ = 1000;
  v1::ReaderFrame frame = Next();
  while (frame.daemon_up()) frame = Next();
  EXPECT_NE(frame.daemon_error(), "");
  EXPECT_FALSE(Next().daemon_up());
  late_ = 0;
  while (!Next().daemon_up())
    ;
  Stop();
  ASSERT_GE(unanswered_.size(), 2u);
  EXPECT_EQ(unanswered_[0], 2);
  EXPECT_EQ(unanswered_[1], 1);
}

}  // namespace
}  // namespace quell::reader
