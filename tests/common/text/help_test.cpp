#include "common/text/help.h"

#include <gmock/gmock.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <memory>

namespace quell::text {
namespace {

using testing::HasSubstr;
using testing::Not;

class HelpTest : public testing::Test {
 protected:
  HelpTest() {
    app.add_option("-o,--output", output, "table or json");
    CLI::App* get = app.add_subcommand("get", "a list: it's what 'you' want");
    get->add_option("-o,--output", output, "table or json");
    get->add_option("KIND", kind, ".incidents, back\\slash");
    get->add_flag("--all", all, "those that ended, too");
    app.add_subcommand("agent", "hosts")
        ->add_subcommand("token", "let one enrol")
        ->add_flag("--out", all, "where");
    app.add_subcommand("secret", "not shown")->group("");
  }

  // What bash offers for the words, of which the last is being typed.
  std::string Offered(const std::string& words) {
    const std::string script =
        *Completion(app, "bash") + "COMP_WORDS=(" + words +
        ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_quell_x\necho \"${COMPREPLY[*]}\"\n";
    const std::string file = testing::TempDir() + "help_test.bash";
    FILE* out = fopen(file.c_str(), "w");
    fputs(script.c_str(), out);
    fclose(out);
    const std::unique_ptr<FILE, int (*)(FILE*)> shell(popen(("bash " + file + " 2>&1").c_str(), "r"), pclose);
    std::array<char, 4096> text{};
    return std::string(text.data(), fread(text.data(), 1, text.size(), shell.get()));
  }

  CLI::App app{"does things", "quell-x"};
  std::string output, kind;
  bool all = false;
};

TEST_F(HelpTest, TheManualPageHasEveryVerbAndOption) {
  const std::string page = ManualPage(app, {.section = 8, .version = "1.2", .closing = ".SH FILES\n"});
  EXPECT_THAT(page, testing::StartsWith(
                        ".TH QUELL-X 8 \"\" \"quell 1.2\" \"quell\"\n.SH NAME\nquell\\-x \\- does things\n"));
  EXPECT_THAT(page, HasSubstr(".SS quell\\-x agent token\nlet one enrol\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-o, \\-\\-output\\fR \\fIVALUE\\fR\ntable or json\n"));
  EXPECT_THAT(page, HasSubstr("\\fB\\-\\-all\\fR\nthose that ended, too\n"));
  EXPECT_THAT(page, testing::EndsWith(".SH FILES\n"));
  EXPECT_THAT(page, Not(HasSubstr("secret")));
}

TEST_F(HelpTest, WhatTheProgramHasForAllVerbsIsSaidOnce) {
  const std::string page = ManualPage(app, {});
  EXPECT_EQ(page.find("\\-\\-output"), page.rfind("\\-\\-output"));
}

TEST_F(HelpTest, NoDescriptionIsATroffRequest) {
  EXPECT_THAT(ManualPage(app, {}), HasSubstr("\n\\&.incidents, back\\eslash\n"));
}

TEST_F(HelpTest, AUsageTextIsAManualPageToo) {
  const std::string page = ManualPage("quell-y: does more\n\n  quell-y run\n", {});
  EXPECT_THAT(page, HasSubstr("quell\\-y \\- does more\n.SH SYNOPSIS\n.nf\n  quell\\-y run\n.fi\n"));
}

TEST_F(HelpTest, BashOffersWhatMayStandThere) {
  EXPECT_EQ(Offered("quell-x ''"), "get agent -h --help -o --output\n");
  EXPECT_EQ(Offered("quell-x ge"), "get\n");
  EXPECT_EQ(Offered("quell-x -o json get --a"), "--all\n");
  EXPECT_EQ(Offered("quell-x agent t"), "token\n");
  EXPECT_EQ(Offered("quell-x agent token --o"), "--out\n");
}

TEST_F(HelpTest, ZshGetsTheDescriptionsQuoted) {
  const std::string script = *Completion(app, "zsh");
  EXPECT_THAT(script, testing::StartsWith("#compdef quell-x\n"));
  EXPECT_THAT(script, HasSubstr("'get:a list: it'\\''s what '\\''you'\\'' want'\n"));
  EXPECT_FALSE(Completion(app, "tcsh").has_value());
}

TEST_F(HelpTest, TheBuildAsksWithOneWord) {
  EXPECT_TRUE(PackagingText(app, {}, {"--man"}).has_value());
  EXPECT_TRUE(PackagingText(app, {}, {"--completion-zsh"}).has_value());
  EXPECT_FALSE(PackagingText(app, {}, {"--man", "get"}).has_value());
  EXPECT_FALSE(PackagingText(app, {}, {}).has_value());
}

}  // namespace
}  // namespace quell::text
