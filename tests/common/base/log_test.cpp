#include "common/base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/utf8.h"

namespace quell {
namespace {

TEST(Utf8Test, RefusesWhatRfc3629Refuses) {
  const std::string_view bad[] = {"\x80",
                                  "\xC0\xAF",
                                  "\xC1\xBF",
                                  "\xE0\x80\x80",
                                  "\xED\xA0\x80",
                                  "\xF4\x90\x80\x80",
                                  "\xF8\x88\x80\x80\x80",
                                  "\xE2\x82",
                                  "\xFF"};
  for (const std::string_view s : bad) EXPECT_FALSE(DecodeUtf8(s).valid);
  const CodePoint euro = DecodeUtf8("€");
  EXPECT_TRUE(euro.valid);
  EXPECT_EQ(euro.value, 0x20ACu);
  EXPECT_EQ(euro.size, 3u);
}

TEST(Utf8Test, CutsBetweenCodePoints) {
  EXPECT_EQ(CutUtf8("a€b", 3), "a");
  EXPECT_EQ(CutUtf8("a€b", 4), "a€");
  EXPECT_EQ(CutUtf8("a€b", 5), "a€b");
}

TEST(LogTest, X06_ForgedLinesStayInTheirLine) {
  EXPECT_EQ(EncodeLogText("x\n2026-11-23 error forged"), "x\\n2026-11-23 error forged");
  EXPECT_EQ(EncodeLogText("a\rb\x1b[31m"), "a\\x0db\\x1b[31m");
  EXPECT_EQ(EncodeLogText(std::string_view("nul\0end", 7)), "nul\\x00end");
  EXPECT_EQ(EncodeLogText("\xff"), "\\xff");
  EXPECT_EQ(EncodeLogText("\u202Egnp.exe"), "\\u{202e}gnp.exe");
}

TEST(LogTest, LinesAreBounded) {
  EXPECT_EQ(EncodeLogText(std::string(4090, 'a')), std::string(4090, 'a'));
  for (const std::string& text :
       {std::string(100'000, 'a'), std::string(5000, '\x01'), std::string(4095, 'a') + "€"}) {
    const std::string encoded = EncodeLogText(text);
    EXPECT_LE(encoded.size(), 4096u);
    EXPECT_TRUE(encoded.ends_with("…"));
  }
}

TEST(LogTest, ArgumentsAreNeverTheFormat) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd kept(dup(STDERR_FILENO));
  ASSERT_GE(dup2(fds[1], STDERR_FILENO), 0);
  StartLog("prog");
  LogInfo("app %s said", std::string("%n{}%s\n{0}"));
  StopLog();
  dup2(kept.get(), STDERR_FILENO);
  close(fds[1]);
  const UniqueFd reader(fds[0]);
  const absl::StatusOr<std::string> written = ReadDescriptor(reader.get(), 4096, "pipe");
  ASSERT_TRUE(written.ok());
  EXPECT_TRUE(written->ends_with("Z info prog: app %n{}%s\\n{0} said\n")) << *written;
}

}  // namespace
}  // namespace quell
