#include "agent/pm2/amp.h"

#include <gmock/gmock.h>

#include <random>

#include "agent/pm2/rpc.h"

namespace quell::pm2 {
namespace {

std::string Argument(std::string_view bytes) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(bytes.size() >> shift));
  return out + std::string(bytes);
}

std::string Frame(std::initializer_list<std::string_view> arguments) {
  std::string out(1, static_cast<char>(0x10 | arguments.size()));
  for (std::string_view argument : arguments) out += Argument(argument);
  return out;
}

std::vector<AmpFrame> FeedAll(AmpParser& parser, std::string_view bytes, size_t step) {
  std::vector<AmpFrame> frames;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const auto status = parser.Feed(bytes.substr(at, step), [&](AmpFrame&& f) { frames.push_back(f); });
    EXPECT_TRUE(status.ok()) << status;
  }
  return frames;
}

// Every byte counts: a wrong request ends the daemon and its apps.
TEST(AmpTest, RequestsAreTheseBytes) {
  EXPECT_EQ(EncodeRequest(MethodsJson(), 1),
            std::string("\x12\x00\x00\x00\x14j:{\"type\":\"methods\"}\x00\x00\x00\x03j:1", 32));
  EXPECT_EQ(
      EncodeRequest(ListJson(), 2),
      std::string("\x12\x00\x00\x00\x37j:{\"type\":\"call\",\"method\":\"getMonitorData\",\"args\":[{}]}"
                  "\x00\x00\x00\x03j:2",
                  67));
  EXPECT_EQ(EncodeRequest(VersionJson(), 12),
            std::string("\x12\x00\x00\x00\x33j:{\"type\":\"call\",\"method\":\"getVersion\",\"args\":[{}]}"
                        "\x00\x00\x00\x04j:12",
                        64));
  EXPECT_EQ(EncodeRequest(RestartJson(7), 3),
            std::string("\x12\x00\x00\x00\x59j:{\"type\":\"call\",\"method\":\"restartProcessId\","
                        "\"args\":[{\"id\":7,\"env\":{\"current_conf\":{}}}]}\x00\x00\x00\x03j:3",
                        101));
}

TEST(AmpTest, SplitAtEveryByte) {
  const std::string bytes = Frame({"s:log:PM2", "j:{\"a\":1}"}) + Frame({"j:[]", "s:1021:0"}) +
                            Frame({std::string_view("\x00\xff raw", 6), ""}) + Frame({"j:null"});
  for (size_t first = 0; first <= bytes.size(); ++first) {
    AmpParser parser;
    std::vector<AmpFrame> frames;
    const auto take = [&](AmpFrame&& f) { frames.push_back(f); };
    ASSERT_TRUE(parser.Feed(std::string_view(bytes).substr(0, first), take).ok());
    ASSERT_TRUE(parser.Feed(std::string_view(bytes).substr(first), take).ok());
    ASSERT_EQ(frames.size(), 4u) << first;
    EXPECT_EQ(frames[0][0].kind, AmpArgument::Kind::kText);
    EXPECT_EQ(frames[0][0].data, "log:PM2");
    EXPECT_EQ(frames[0][1].data, "{\"a\":1}");
    EXPECT_EQ(frames[1][1].data, "1021:0");
    EXPECT_EQ(frames[2][0].kind, AmpArgument::Kind::kBlob);
    EXPECT_EQ(frames[2][0].data.size(), 6u);
    EXPECT_EQ(frames[2][1].data, "");
    EXPECT_EQ(frames[3].size(), 1u);
    EXPECT_TRUE(parser.idle());
  }
}

TEST(AmpTest, ByteByByteAndInRandomChops) {
  std::string bytes;
  for (int i = 0; i < 50; ++i) bytes += Frame({"j:" + std::string(static_cast<size_t>(i * 37), 'x'), "j:1"});
  AmpParser one;
  EXPECT_EQ(FeedAll(one, bytes, 1).size(), 50u);
  std::mt19937 random(7);
  AmpParser parser;
  size_t frames = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t n = std::min<size_t>(random() % 97, bytes.size() - at);
    ASSERT_TRUE(parser.Feed(std::string_view(bytes).substr(at, n), [&](AmpFrame&&) { ++frames; }).ok());
    at += n;
  }
  EXPECT_EQ(frames, 50u);
}

TEST(AmpTest, AFrameOfOneAndAHalfMegabytes) {
  const std::string bytes = Frame({"j:\"" + std::string(1'500'000, 'a') + "\"", "j:9"});
  AmpParser parser;
  const auto frames = FeedAll(parser, bytes, 65'536);
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0][0].data.size(), 1'500'002u);
}

TEST(AmpTest, TooLongClosesBeforeItIsRead) {
  AmpParser parser;
  const std::string head("\x12\xff\xff\xff\xff", 5);
  const auto status = parser.Feed(head, [](AmpFrame&&) { FAIL(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  // Two arguments that together are too long.
  AmpParser sum(1000);
  const std::string bytes = Frame({std::string(600, 'b'), std::string(600, 'b')});
  EXPECT_EQ(sum.Feed(bytes, [](AmpFrame&&) { FAIL(); }).code(), absl::StatusCode::kResourceExhausted);
}

TEST(AmpTest, WrongVersionAndNoArgumentsClose) {
  for (const char head : {'\x22', '\x00', '\x10', 'H'}) {
    AmpParser parser;
    const auto status = parser.Feed(std::string(1, head), [](AmpFrame&&) { FAIL(); });
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << int{head};
    // It stays closed: what follows could be anything.
    EXPECT_FALSE(parser.Feed(Frame({"j:1", "j:1"}), [](AmpFrame&&) { FAIL(); }).ok());
  }
}

TEST(AmpTest, SkipsByLengthWithoutKeeping) {
  AmpParser parser(100, [](const AmpFrame& so_far, uint32_t) {
    return so_far.empty() || so_far[0].data == "process:event";
  });
  const std::string bytes =
      Frame({"s:log:out", "j:" + std::string(100'000, 'x')}) + Frame({"s:process:event", "j:{}"});
  const auto frames = FeedAll(parser, bytes, 1000);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0][1].kind, AmpArgument::Kind::kSkipped);
  EXPECT_EQ(frames[0][1].data, "");
  EXPECT_EQ(frames[1][1].data, "{}");
}

TEST(AmpTest, ACutFrameIsNoFrame) {
  const std::string bytes = Frame({"j:{}", "j:1"});
  AmpParser parser;
  EXPECT_TRUE(FeedAll(parser, std::string_view(bytes).substr(0, bytes.size() - 1), 3).empty());
  EXPECT_FALSE(parser.idle());
}

}  // namespace
}  // namespace quell::pm2
