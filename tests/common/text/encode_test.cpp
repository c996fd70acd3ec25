#include "common/text/encode.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/utf8.h"

namespace quell::text {
namespace {

// What a hostile app name, host or log line brings, all in one.
constexpr char kHostileBytes[] =
    "a\x1b[31mred\x1b]0;t\x07|\xE2\x80\xAE"
    "evil|\0|<!channel>|\"'`|${HOME}|\r\nBcc: x|<script>|=1+1|\xff|\xC2\x9B"
    "2J";
constexpr std::string_view kHostile(kHostileBytes, sizeof(kHostileBytes) - 1);

TEST(EncodeTest, X06_Terminal) {
  EXPECT_EQ(Terminal(kHostile),
            "a\\x1b[31mred\\x1b]0;t\\x07|\\u{202e}evil|\\x00|<!channel>|\"'`|${HOME}|\\x0d\\x0aBcc: "
            "x|<script>|=1+1|"
            "\\xff|\\u{009b}2J");
  EXPECT_EQ(Terminal("a\nb\tc", true), "a\nb c");
  EXPECT_EQ(Terminal("ärger 日本 👍"), "ärger 日本 👍");
}

TEST(EncodeTest, X06_LogLine) {
  EXPECT_EQ(
      LogLine(kHostile),
      "a\\x1b[31mred\\x1b]0;t\\x07|\\u{202e}evil|\\x00|<!channel>|\"'`|${HOME}|\\x0d\\nBcc: x|<script>|=1+1|"
      "\\xff|\\u{009b}2J");
}

TEST(EncodeTest, X06_MailHeader) {
  EXPECT_EQ(MailHeader(kHostile),
            "=?UTF-8?B?YVx4MWJbMzFtcmVkXHgxYl0wO3RceDA3fFx1?=\r\n"
            " =?UTF-8?B?ezIwMmV9ZXZpbHxceDAwfDwhY2hhbm5lbD58IidgfCR7SE9NRX18XHgw?=\r\n"
            " =?UTF-8?B?ZFx4MGFCY2M6IHh8PHNjcmlwdD58PTErMXxceGZmfFx1ezAwOWJ9Mko=?=");
  EXPECT_EQ(MailHeader("P0: client-portal is down"), "P0: client-portal is down");
  EXPECT_EQ(MailHeader("a\r\nBcc: victim@example.com"), "a\\x0d\\x0aBcc: victim@example.com");
  EXPECT_EQ(MailHeader("=?UTF-8?B?eA==?="), "=?UTF-8?B?PT9VVEYtOD9CP2VBPT0/PQ==?=");
  EXPECT_EQ(MailHeader("größer"), "=?UTF-8?B?Z3LDtsOfZXI=?=");
  EXPECT_EQ(MailHeader(""), "");
}

TEST(EncodeTest, MailHeadersAreFolded) {
  std::string words;
  for (int i = 0; i < 40; ++i) words += "word" + std::to_string(i) + " ";
  for (const std::string& text : {words + "end", std::string(500, 'x'), std::string(200, ' ')}) {
    const std::string header = MailHeader(text);
    size_t start = 0;
    size_t lines = 0;
    while (start < header.size()) {
      size_t end = header.find("\r\n", start);
      if (end == std::string::npos) end = header.size();
      EXPECT_LE(end - start, lines == 0 ? 50u : 76u) << header;
      if (lines > 0) {
        EXPECT_EQ(header[start], ' ');
      }
      start = end + 2;
      ++lines;
    }
    EXPECT_GT(lines, 1u);
  }
}

TEST(EncodeTest, X06_MailBody) {
  EXPECT_EQ(MailBody("a\nb\r\nc\x1b[31m\rd"), "a\r\nb\r\nc\\x1b[31m\\x0dd");
  EXPECT_EQ(MailBody("\n.\n"), "\r\n.\r\n");
  const std::string body = MailBody(std::string(5000, '\x01'));
  for (size_t start = 0; start < body.size();) {
    const size_t end = std::min(body.find("\r\n", start), body.size());
    EXPECT_LE(end - start, 998u);
    start = end + 2;
  }
}

TEST(EncodeTest, X06_Html) {
  EXPECT_EQ(Html("<b a=\"1\" c='2'>&\x1b\xff\u202E\n"),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;\\x1b\uFFFD\\u{202e}\n");
}

TEST(EncodeTest, X06_Slack) {
  EXPECT_EQ(Slack("<!channel> <@U1> `x`\n>quote & <https://e|t>"),
            "&lt;!channel&gt; &lt;@U1&gt; 'x' &gt;quote &amp; &lt;https://e|t&gt;");
}

TEST(EncodeTest, X06_Markdown) {
  EXPECT_EQ(Markdown("# a [x](http://y)\n<b> `c` _d_"),
            "\\# a \\[x\\]\\(http\\://y\\) \\<b\\> \\`c\\` \\_d\\_");
}

TEST(EncodeTest, X06_Csv) {
  EXPECT_EQ(Csv("=cmd|' /C calc'!A0"), "\"'=cmd|' /C calc'!A0\"");
  for (const std::string_view bad : {"+1", "-1", "@x", "\t=1", "\r=1"})
    EXPECT_EQ(Csv(bad).substr(0, 2), "\"'") << bad;
  EXPECT_EQ(Csv("a \"b\", c\nd"), "\"a \"\"b\"\", c d\"");
}

TEST(EncodeTest, X06_Json) {
  EXPECT_EQ(Json("a\"\\\n\x01</script>\u2028\xff€"),
            "\"a\\\"\\\\\\n\\u0001\\u003c/script\\u003e\\u2028\uFFFD€\"");
}

TEST(EncodeTest, X06_Url) {
  EXPECT_EQ(Url("https://wiki.example:8443/a b?c=d&e=\"#f"), "https://wiki.example:8443/a%20b?c=d&e=%22#f");
  EXPECT_EQ(Url("HTTP://[::1]/%41%zz"), "http://[::1]/%41%25zz");
  for (const std::string_view bad :
       {"", "javascript:alert(1)", "data:text/html,x", "ftp://x/", "//x/", "https://", "https:///x",
        "https://a b/", "https://good@evil/", "https://x\r\ny/", " https://x/", "https://x\"onload=/"}) {
    EXPECT_EQ(Url(bad), "") << bad;
  }
  EXPECT_EQ(UrlComponent("a b/&=é"), "a%20b%2F%26%3D%C3%A9");
}

TEST(EncodeTest, CutsAndMeasures) {
  EXPECT_EQ(Cut("short", 5), "short");
  EXPECT_EQ(Cut("€€€€", 9), "€€…");
  EXPECT_EQ(Cut("abcdef", 2), "ab");
  EXPECT_EQ(DisplayWidth("abc"), 3);
  EXPECT_EQ(DisplayWidth("日本e\u0301"), 5);
}

// Whatever comes in, what goes out holds nothing that a sink would obey.
TEST(EncodeTest, X06_RandomBytesNeverGetThrough) {
  std::mt19937 random(20261123);
  for (int round = 0; round < 2000; ++round) {
    std::string s;
    for (int i = 0; i < 40; ++i) {
      if (random() % 4 == 0) {
        AppendUtf8(&s, static_cast<char32_t>(random() % 0x2100));
      } else {
        s.push_back(static_cast<char>(random()));
      }
    }
    for (const std::string& out : {Terminal(s), LogLine(s), MailHeader(s), Slack(s), Markdown(s), Csv(s)}) {
      std::string_view rest = out;
      while (!rest.empty()) {
        const CodePoint c = DecodeUtf8(rest);
        ASSERT_TRUE(c.valid);
        const bool fold = rest.starts_with("\r\n =?");
        ASSERT_TRUE(fold || !IsHazardous(c.value)) << static_cast<uint32_t>(c.value);
        rest.remove_prefix(fold ? 2 : c.size);
      }
    }
    ASSERT_EQ(Html(s).find_first_of("<>\"'"), std::string::npos);
    ASSERT_EQ(Slack(s).find_first_of("<>`"), std::string::npos);
  }
}

}  // namespace
}  // namespace quell::text
