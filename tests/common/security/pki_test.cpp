#include "common/security/pki.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <sstream>

#include "common/base/disk.h"
#include "common/security/issue.h"
#include "common/security/pki_command.h"
#include "common/security/signing.h"
#include "common/security/trust.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

namespace fs = std::filesystem;
constexpr Micros kNow = 1'795'000'000 * kSecond;

std::string Read(const std::string& path) {
  auto text = RealDisk().Read(path, 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? *text : "";
}
std::string Line(const std::string& path) {
  std::string text = Read(path);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Pki : public ::testing::Test {
 protected:
  void SetUp() override {
    options_.directory = testing_support::MakeTestDirectory() + "/pki";
    options_.dns = {"localhost"};
    options_.addresses = {"127.0.0.1"};
    options_.agents = {"web-1", "web-2"};
    options_.now = kNow;
  }
  PkiOptions options_;
};

TEST_F(Pki, WhatItWritesIsWhatOthersVerify) {
  const auto made = InitPki(options_);
  ASSERT_TRUE(made.ok()) << made.status();
  const std::string& dir = options_.directory;
  const auto bundle =
      OpenTrustBundle(Read(dir + "/agent-web-1/trust.bundle"), Line(dir + "/agent-web-1/root.pin"), kNow);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->installation(), made->installation);

  const auto agent = PeerFromCertificate(Read(dir + "/agent-web-1/agent.crt"), *bundle, kNow);
  ASSERT_TRUE(agent.ok()) << agent.status();
  EXPECT_EQ(agent->role, "agent");
  EXPECT_EQ(agent->id, Line(dir + "/agent-web-1/host-id"));
  EXPECT_EQ(agent->not_after, kNow + 30 * kDay);
  EXPECT_TRUE(CheckPair(Read(dir + "/agent-web-1/agent.key"), Read(dir + "/agent-web-1/agent.crt")).ok());
  EXPECT_FALSE(CheckPair(Read(dir + "/agent-web-2/agent.key"), Read(dir + "/agent-web-1/agent.crt")).ok());

  const std::string certificate = Read(dir + "/controller/controller.crt");
  const auto controller = PeerFromCertificate(certificate, *bundle, kNow);
  ASSERT_TRUE(controller.ok()) << controller.status();
  EXPECT_EQ(controller->id, Line(dir + "/controller/controller-id"));
  EXPECT_TRUE(CheckDialledName(certificate, "localhost").ok());

  const auto command = SigningKey::Load(dir + "/controller/command.key");
  ASSERT_TRUE(command.ok()) << command.status();
  EXPECT_EQ(*CommandKey(*bundle, command->Id()), command->PublicRaw());
  const auto log = SigningKey::Load(dir + "/controller/log.key");
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(*LogKey(*bundle, log->Id()), log->PublicRaw());

  const auto hosts = ReadHosts(dir + "/controller/hosts");
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  ASSERT_EQ(hosts->size(), 2u);
  EXPECT_EQ((*hosts)[0].name, "web-1");
  EXPECT_EQ((*hosts)[0].id, agent->id);
}

TEST_F(Pki, NobodyElseCanReadAnything) {
  ASSERT_TRUE(InitPki(options_).ok());
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(options_.directory)) {
    struct stat info {};
    ASSERT_EQ(lstat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, S_ISDIR(info.st_mode) ? 0700u : 0600u) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 20u);
}

TEST_F(Pki, RecoveryMakesABundleThatHostsTakeAndNothingOldSigns) {
  ASSERT_TRUE(InitPki(options_).ok());
  const std::string old_dir = options_.directory;
  const std::string pin = Line(old_dir + "/root.pin");
  const auto held = OpenTrustBundle(Read(old_dir + "/agent-web-1/trust.bundle"), pin, kNow);
  PkiOptions again = options_;
  again.directory = old_dir + "-recovered";
  again.agents.clear();
  again.now = kNow + kDay;
  const auto made = RecoverPki(again, old_dir + "/trust-root.key", old_dir + "/agent-web-1/trust.bundle");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->pin, pin);
  const auto bundle = OpenTrustBundle(Read(again.directory + "/trust.bundle"), pin, again.now);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_TRUE(MayReplace(*held, *bundle).ok());
  EXPECT_GT(bundle->least_epoch(), 100'000u);
  EXPECT_FALSE(CommandKey(*bundle, held->command_keys(0).id()).ok()) << "its commands are worth nothing";
  EXPECT_TRUE(LogKey(*bundle, held->log_keys(0).id()).ok()) << "its log can still be verified";
  EXPECT_FALSE(PeerFromCertificate(Read(old_dir + "/controller/controller.crt"), *bundle, again.now).ok());
  EXPECT_TRUE(
      PeerFromCertificate(Read(again.directory + "/controller/controller.crt"), *bundle, again.now).ok());
  EXPECT_FALSE(fs::exists(again.directory + "/trust-root.key")) << "the root stays where it is";
  EXPECT_FALSE(RecoverPki(again, old_dir + "/trust-root.key", old_dir + "/trust.bundle").ok())
      << "nothing is overwritten";
}

TEST_F(Pki, RecoveryTakesTheRootOfTheBundleAlone) {
  ASSERT_TRUE(InitPki(options_).ok());
  PkiOptions other = options_;
  other.directory += "-other";
  ASSERT_TRUE(InitPki(other).ok());
  PkiOptions again = options_;
  again.directory += "-recovered";
  const auto made =
      RecoverPki(again, other.directory + "/trust-root.key", options_.directory + "/trust.bundle");
  EXPECT_EQ(made.status().code(), absl::StatusCode::kPermissionDenied) << made.status();
  EXPECT_FALSE(fs::exists(again.directory));
}

TEST_F(Pki, TheControllerHoldsTheAgentsAuthorityAndNoOther) {
  ASSERT_TRUE(InitPki(options_).ok());
  const std::string in = options_.directory + "/controller";
  EXPECT_TRUE(LoadAuthority(in + "/agents-ca.key", in + "/agents-ca.pem").ok());
  EXPECT_FALSE(LoadAuthority(in + "/controller.key", in + "/agents-ca.pem").ok());
  for (const char* name : {"/controllers-ca.key", "/responders-ca.key", "/trust-root.key"})
    EXPECT_FALSE(fs::exists(in + name)) << name;
}

TEST_F(Pki, NeverOverwrites) {
  ASSERT_TRUE(InitPki(options_).ok());
  const std::string before = Read(options_.directory + "/trust-root.key");
  const auto again = InitPki(options_);
  EXPECT_EQ(again.status().code(), absl::StatusCode::kAlreadyExists) << again.status();
  EXPECT_EQ(Read(options_.directory + "/trust-root.key"), before);
  size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(options_.directory).parent_path())) {
    EXPECT_EQ(entry.path().filename(), "pki");
    ++entries;
  }
  EXPECT_EQ(entries, 1u) << "nothing half-made is left";
}

TEST_F(Pki, APassphraseSealsTheRootAndTheCAsThatAreNotOnline) {
  options_.passphrase = Secret("correct horse");
  ASSERT_TRUE(InitPki(options_).ok());
  EXPECT_FALSE(SigningKey::Load(options_.directory + "/trust-root.key").ok());
  EXPECT_TRUE(SigningKey::Load(options_.directory + "/trust-root.key", "correct horse").ok());
  EXPECT_FALSE(TlsKey::FromPem(Read(options_.directory + "/responders-ca.key")).ok());
  EXPECT_FALSE(TlsKey::FromPem(Read(options_.directory + "/controllers-ca.key")).ok());
  EXPECT_TRUE(IssueAgent(options_.directory, "web-3", kDay, kNow).ok()) << "the agents' CA is online";
}

TEST_F(Pki, IssuesForOneMoreHostOnce) {
  ASSERT_TRUE(InitPki(options_).ok());
  const auto agent = IssueAgent(options_.directory, "db-1", kDay, kNow + kHour);
  ASSERT_TRUE(agent.ok()) << agent.status();
  const auto bundle =
      OpenTrustBundle(Read(agent->directory + "/trust.bundle"), Line(agent->directory + "/root.pin"), kNow);
  ASSERT_TRUE(bundle.ok());
  const auto peer = PeerFromCertificate(Read(agent->directory + "/agent.crt"), *bundle, kNow + kHour);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->id, agent->id);
  EXPECT_EQ(ReadHosts(options_.directory + "/controller/hosts")->size(), 3u);
  EXPECT_EQ(IssueAgent(options_.directory, "db-1", kDay, kNow).status().code(),
            absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(IssueAgent(options_.directory, "../x", kDay, kNow).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(Pki, BadOptionsAreRefusedBeforeAnythingIsWritten) {
  auto bad = [&](auto change) {
    PkiOptions options = options_;
    change(options);
    const auto made = InitPki(options);
    EXPECT_EQ(made.status().code(), absl::StatusCode::kInvalidArgument) << made.status();
    EXPECT_FALSE(fs::exists(options_.directory));
  };
  bad([](PkiOptions& o) { o.dns.clear(), o.addresses.clear(); });
  bad([](PkiOptions& o) { o.addresses = {"localhost"}; });
  bad([](PkiOptions& o) { o.agents = {"web-1", "web-1"}; });
  bad([](PkiOptions& o) { o.agents = {"../up"}; });
  bad([](PkiOptions& o) { o.dns = {"a,b"}; });
}

TEST_F(Pki, HostsFileErrorsNameTheLine) {
  ASSERT_TRUE(InitPki(options_).ok());
  const std::string path = options_.directory + "/controller/hosts";
  const std::string good = Read(path);
  ASSERT_TRUE(RealDisk().WriteWhole(path, good + "not a host\n").ok());
  EXPECT_NE(ReadHosts(path).status().message().find(":3:1:"), absl::string_view::npos);
  ASSERT_TRUE(RealDisk().WriteWhole(path, good + good).ok());
  EXPECT_NE(ReadHosts(path).status().message().find("twice"), absl::string_view::npos);
}

TEST_F(Pki, WhoIsRevokedStandsInABundleThatTheRootSignedAnew) {
  const auto made = InitPki(options_);
  ASSERT_TRUE(made.ok());
  const std::string path = options_.directory + "/controller/trust.bundle";
  const std::string root = options_.directory + "/trust-root.key";
  const std::string before = Read(path);
  std::ostringstream out, err;
  const std::string host = made->agents[0].id;
  ASSERT_EQ(RunPkiCommand({"revoke", "--bundle", path, "--root-key", root, "--id", "alice", "--id", host},
                          out, err, kNow),
            0)
      << err.str();
  EXPECT_EQ(out.str(), "serial 2\nrevoked alice " + host + "\n");
  auto bundle = OpenTrustBundle(Read(path), made->pin, kNow);
  ASSERT_TRUE(bundle.ok()) << bundle.status();
  EXPECT_EQ(bundle->serial(), 2u);
  EXPECT_EQ(bundle->revoked(0), "alice");
  EXPECT_EQ(bundle->controllers_ca(0), OpenTrustBundle(before, made->pin, kNow)->controllers_ca(0));
  // Once more: nobody stands there twice, and nobody comes back.
  ASSERT_EQ(RunPkiCommand({"revoke", "--bundle", path, "--root-key", root, "--id", "alice", "--id", "bob"},
                          out, err, kNow),
            0);
  bundle = OpenTrustBundle(Read(path), made->pin, kNow);
  EXPECT_EQ(bundle->serial(), 3u);
  EXPECT_EQ(bundle->revoked_size(), 3);
}

TEST_F(Pki, RevokingTakesNamesAndTheBundlesOwnRootAlone) {
  ASSERT_TRUE(InitPki(options_).ok());
  const std::string path = options_.directory + "/controller/trust.bundle";
  const std::string root = options_.directory + "/trust-root.key";
  const std::string before = Read(path);
  std::ostringstream out, err;
  const auto revoke = [&](const std::string& key, const std::string& id) {
    return RunPkiCommand({"revoke", "--bundle", path, "--root-key", key, "--id", id}, out, err, kNow);
  };
  EXPECT_EQ(revoke(root, "not a name\n"), 2);
  EXPECT_EQ(revoke(options_.directory + "/controller/command.key", "alice"), 1);
  EXPECT_EQ(RunPkiCommand({"revoke", "--bundle", path, "--root-key", root}, out, err, kNow), 2);
  EXPECT_EQ(RunPkiCommand({"revoke", "--id", "alice"}, out, err, kNow), 2);
  EXPECT_EQ(Read(path), before);
}

TEST_F(Pki, CommandLine) {
  std::ostringstream out, err;
  const std::vector<std::string> init = {"init",      "--dir",     options_.directory, "--dns", "localhost",
                                         "--address", "127.0.0.1", "--agent",          "web-1"};
  EXPECT_EQ(RunPkiCommand(init, out, err, kNow), 0) << err.str();
  EXPECT_NE(out.str().find("agent web-1 "), std::string::npos) << out.str();
  EXPECT_NE(err.str().find("not encrypted"), std::string::npos);
  EXPECT_EQ(RunPkiCommand(init, out, err, kNow), 1);
  EXPECT_EQ(RunPkiCommand({"issue-agent", "--dir", options_.directory, "--agent", "web-9"}, out, err, kNow),
            0);
  EXPECT_EQ(RunPkiCommand({"issue-agent", "--dir", options_.directory}, out, err, kNow), 2);
  EXPECT_EQ(RunPkiCommand({}, out, err, kNow), 2);
  EXPECT_EQ(RunPkiCommand({"init", "--dir"}, out, err, kNow), 2);
  EXPECT_EQ(RunPkiCommand({"init", "--bogus", "x"}, out, err, kNow), 2);
  EXPECT_EQ(RunPkiCommand({"init", "--dir", options_.directory + "2", "--dns", "a", "--agent-days", "0"}, out,
                          err, kNow),
            2);
}

}  // namespace
}  // namespace quell::security
