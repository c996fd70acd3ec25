// From a request to a context, with real keys and files.
#include "cli/login.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <sstream>

#include "cli/context.h"
#include "cli/program.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "common/security/pki.h"
#include "common/security/responder.h"
#include "tests/common/security/test_pki.h"

namespace quell::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string ReadFile(const std::string& path) {
  const auto text = RealDisk().Read(path, 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}

class Login : public ::testing::Test {
 protected:
  void SetUp() override {
    top_ = testing_support::MakeTestDirectory();
    environment_["HOME"] = top_ + "/home";
    pin_ = MakePki("pki");
  }
  std::string MakePki(const std::string& name) {
    security::PkiOptions options;
    options.directory = top_ + "/" + name;
    options.dns = {"quell.example"};
    options.now = RealClock().Wall();
    const auto made = security::InitPki(options);
    EXPECT_TRUE(made.ok()) << made.status();
    return made->pin;
  }
  int Run(const std::vector<std::string>& args) {
    std::ostringstream out, err;
    const int exit = RunProgram(args, Around(), out, err);
    out_ = out.str();
    err_ = err.str();
    return exit;
  }
  Surroundings Around() const {
    Surroundings around;
    around.environment = [this](const char* name) {
      const auto found = environment_.find(name);
      return found == environment_.end() ? "" : found->second;
    };
    around.now = absl::Now;
    around.zone = absl::UTCTimeZone();
    return around;
  }
  std::string config() const { return top_ + "/home/.config/quell"; }
  // What the one who keeps the authority does with a request.
  std::string Issue(const std::string& request, const std::string& name, const std::string& pki = "pki") {
    security::ResponderIssue issue;
    issue.directory = top_ + "/" + pki;
    issue.request = ReadFile(request);
    issue.name = name;
    issue.now = RealClock().Wall();
    const auto pass = security::IssueResponder(issue);
    EXPECT_TRUE(pass.ok()) << pass.status();
    const std::string file = top_ + "/" + name + "-" + pki + ".pass";
    EXPECT_TRUE(RealDisk().WriteWhole(file, security::FormatPass(*pass)).ok());
    return file;
  }
  std::string Request(const std::string& file) {
    const std::string request = top_ + "/" + file;
    EXPECT_EQ(Run({"login", "--csr-out", request, "--name", "alice"}), kDone) << err_;
    return request;
  }
  void LogIn() {
    ASSERT_EQ(Run({"login", "--certificate", Issue(Request("a.csr"), "alice"), "--address",
                   "quell.example:7403", "--pin", pin_}),
              kDone)
        << err_;
  }
  absl::StatusOr<Context> Find(const std::string& name = "") {
    const auto contexts = ReadContexts(config());
    return contexts.ok() ? FindContext(config(), *contexts, name)
                         : absl::StatusOr<Context>(contexts.status());
  }
  void WriteConfig(const std::string& text) {
    ASSERT_TRUE(RealDisk().WriteWhole(config() + "/config.yaml", text).ok());
  }

  std::string top_, pin_, out_, err_;
  std::map<std::string, std::string> environment_;
};

TEST_F(Login, MakesAContextOfWhatCameBack) {
  LogIn();
  EXPECT_THAT(err_, HasSubstr("you are alice in the context default until "));
  const auto context = Find();
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ(context->address, "quell.example:7403");
  EXPECT_EQ(context->pin, pin_);
  const auto identity = LoadIdentity(*context, RealClock().Wall());
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->person, "alice");
  struct stat info {};
  ASSERT_EQ(stat(context->key_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(config().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(Login, TheRequestHoldsNoKey) {
  const std::string request = Request("a.csr");
  EXPECT_THAT(ReadFile(request), Not(HasSubstr("PRIVATE")));
  EXPECT_THAT(ReadFile(Issue(request, "alice")), Not(HasSubstr("PRIVATE")));
  EXPECT_EQ(Run({"login", "--csr-out", request}), kFailed) << "what is there is not written over";
}

TEST_F(Login, WithoutAPinItIsShownToBeCompared) {
  ASSERT_EQ(Run({"login", "--certificate", Issue(Request("a.csr"), "alice"), "--address", "q:7403"}), kDone);
  EXPECT_THAT(err_, HasSubstr(pin_));
}

TEST_F(Login, AnotherInstallationsPinIsRefused) {
  EXPECT_NE(Run({"login", "--certificate", Issue(Request("a.csr"), "alice"), "--address", "q:7403", "--pin",
                 std::string(64, '0')}),
            kDone);
  EXPECT_FALSE(RealDisk().Exists(config() + "/config.yaml"));
}

TEST_F(Login, ACertificateOfAnothersKeyChangesNothing) {
  LogIn();
  const std::string before = ReadFile(config() + "/config.yaml");
  const security::TlsKey key = security::TlsKey::Generate();
  ASSERT_TRUE(RealDisk().WriteWhole(top_ + "/b.csr", security::RequestCertificate(key, "bob")).ok());
  EXPECT_NE(Run({"login", "--certificate", Issue(top_ + "/b.csr", "bob")}), kDone);
  EXPECT_EQ(ReadFile(config() + "/config.yaml"), before);
}

TEST_F(Login, ARenewalTakesTheNewKeyAndKeepsTheOldUntilThen) {
  LogIn();
  const std::string old = Find()->key_file;
  const std::string request = Request("b.csr");
  EXPECT_EQ(Find()->key_file, old);
  ASSERT_EQ(Run({"login", "--certificate", Issue(request, "alice")}), kDone) << err_;
  EXPECT_NE(Find()->key_file, old);
  EXPECT_EQ(Find()->address, "quell.example:7403");
}

TEST_F(Login, AContextStaysWithItsInstallation) {
  LogIn();
  const std::string pin = MakePki("other");
  const std::string pass = Issue(Request("b.csr"), "alice", "other");
  EXPECT_EQ(Run({"login", "--certificate", pass, "--address", "q:7403"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("another installation"));
  EXPECT_EQ(Run({"login", "--certificate", pass, "--address", "q:7403", "--context", "lab"}), kDone) << err_;
  EXPECT_EQ(Find()->pin, pin_) << "the current one is as it was";
  EXPECT_EQ(Find("lab")->pin, pin);
}

TEST_F(Login, AKeyThatOthersCanReadIsRefused) {
  LogIn();
  ASSERT_EQ(chmod(Find()->key_file.c_str(), 0640), 0);
  EXPECT_FALSE(LoadIdentity(*Find(), RealClock().Wall()).ok());
  EXPECT_NE(Run({"status"}), kDone);
  EXPECT_THAT(err_, HasSubstr(".key"));
}

TEST_F(Login, AnExpiredCertificateSaysWhatToDo) {
  LogIn();
  const auto late = LoadIdentity(*Find(), RealClock().Wall() + 31 * kDay);
  EXPECT_THAT(late.status().message(), HasSubstr("expired at "));
  EXPECT_THAT(late.status().message(), HasSubstr("quell login --csr-out"));
}

TEST_F(Login, TheFileSaysEachMistakeWithItsPlace) {
  LogIn();
  WriteConfig("contexts:\n  prod: {address: \"q:7403\", keyfile: x}\n  Prod: 1\ncurrent: lab\n");
  EXPECT_EQ(Run({"status"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("config.yaml:2:"));
  EXPECT_THAT(err_, HasSubstr("config.yaml:3:3: a context's name"));
  EXPECT_THAT(err_, HasSubstr("config.yaml:4:10: there is no context of this name"));
}

TEST_F(Login, AFileThatOthersCanWriteIsRefused) {
  LogIn();
  ASSERT_EQ(chmod((config() + "/config.yaml").c_str(), 0622), 0);
  EXPECT_EQ(Run({"status"}), kNotAllowed);
  EXPECT_THAT(err_, HasSubstr("config.yaml"));
}

TEST_F(Login, TheSocketIsTheWayWhereNoContextIs) {
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr("/run/quell-controller/operator.sock"));
  EXPECT_EQ(Run({"status", "--context", "prod"}), kNoSuchThing);
  LogIn();
  const std::string socket = top_ + "/none.sock";
  EXPECT_EQ(Run({"status", "--socket", socket}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr(socket));
  EXPECT_EQ(Run({"status", "--socket", socket, "--context", "default"}), kUsage);
  environment_["QUELL_SOCKET"] = socket;
  EXPECT_EQ(Run({"status"}), kUnreachable);
  EXPECT_THAT(err_, HasSubstr(socket));
}

TEST_F(Login, NeedsToBeToldWhich) {
  EXPECT_EQ(Run({"login"}), kUsage);
  EXPECT_EQ(Run({"login", "--csr-out", "a", "--certificate", "b"}), kUsage);
  EXPECT_EQ(Run({"login", "--csr-out", top_ + "/x.csr", "--name", "Alice!"}), kUsage);
  environment_["HOME"] = "";
  EXPECT_EQ(Run({"login", "--csr-out", top_ + "/x.csr"}), kFailed);
}

}  // namespace
}  // namespace quell::cli
