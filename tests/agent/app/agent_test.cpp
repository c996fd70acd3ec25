// quell-agent put together: its file, its start-up steps, and one real connection to a controller's listener.
#include "agent/app/agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "agent/app/lists.h"
#include "tests/controller/ingest/loopback.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

class AgentTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
  }
  AgentConfig Load(const std::string& text) {
    Write("agent.yaml", text);
    return LoadAgentConfig(directory_ + "/agent.yaml", problems_);
  }
  AgentConfig Good(const std::string& address) {
    return Load(
        "controller: {addresses: [\"" + address +
        "\"]}\nstate: state\nexecutor: {socket: executor.sock}\ncollectors: {host: {every: 200ms}}\n");
  }

  const std::string directory_ = testing_support::MakeTestDirectory();
  const std::string id_ = RandomUuid();
  testing_support::TestPki pki_{RealClock().Wall()};
  config::Problems problems_;
};

TEST_F(AgentTest, PathsStartAtTheFilesDirectory) {
  const AgentConfig config = Load(
      "controller: {addresses: [\"quell.example:7400\", \"[::1]:7400\"]}\n"
      "state: /var/lib/quell-agent\ntls: {key: keys/my.key}\n");
  ASSERT_TRUE(problems_.ok()) << problems_.ToString();
  EXPECT_EQ(config.addresses.size(), 2u);
  EXPECT_EQ(config.state, "/var/lib/quell-agent");
  EXPECT_EQ(config.key, directory_ + "/keys/my.key");
  EXPECT_EQ(config.certificate, directory_ + "/agent.crt");
  EXPECT_EQ(config.executor_socket, "/run/quell/executor.sock");
}

TEST_F(AgentTest, EveryMistakeIsToldWithItsPlace) {
  Load("controller: {addresses: [nowhere]}\nstat: x\ncollectors: {hots: {}}\n");
  const std::string told = problems_.ToString();
  EXPECT_THAT(told, HasSubstr("agent.yaml:1:"));
  EXPECT_THAT(told, HasSubstr("\"nowhere\" is not host:port"));
  EXPECT_THAT(told, HasSubstr("agent.yaml:2:1"));
  EXPECT_THAT(told, HasSubstr("agent.yaml:3:"));
}

TEST_F(AgentTest, StartsMeasuresAndSaysGoodbye) {
  ingest::MemoryDirectory hosts;
  hosts.Add(id_, "web-1");
  ingest::Listener listener(pki_, hosts, pki_.Controller(), 0);
  pki_.WriteAgent(directory_, id_);
  Agent agent(Good(listener.address()), "0.1.0");
  ASSERT_TRUE(problems_.ok()) << problems_.ToString();
  const absl::Status status = agent.Start();
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_TRUE(listener.shard.WaitFor([&](const auto& seen) {
    auto found = seen.values.find(id_ + "/node_load1");
    return found != seen.values.end() && found->second.size() >= 3;
  }));
  Agent second(Good(listener.address()), "0.1.0");
  EXPECT_THAT(std::string(second.Start().message()), HasSubstr("another agent uses"));
  agent.Stop("reboot");
  EXPECT_TRUE(listener.shard.WaitFor([](const auto& seen) { return !seen.goodbyes.empty(); }));
  EXPECT_EQ(listener.shard.seen().goodbyes[0], "reboot");
}

TEST_F(AgentTest, ACertificateOfAnotherRoleIsRefusedAtStart) {
  pki_.WriteAgent(directory_, id_);
  const testing_support::TestLeaf leaf = pki_.Issue(pki_.ResponderSpec("alice"), pki_.responders());
  Write("agent.key", leaf.key_pem);
  Write("agent.crt", leaf.certificate_pem);
  Agent agent(Good("127.0.0.1:1"), "0.1.0");
  const absl::Status status = agent.Start();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("load the certificate and the trust bundle"));
}

TEST_F(AgentTest, ABundleOfAnotherRootIsRefusedAtStart) {
  pki_.WriteAgent(directory_, id_);
  Write("root.pin", std::string(64, 'a') + "\n");
  Agent agent(Good("127.0.0.1:1"), "0.1.0");
  EXPECT_FALSE(agent.Start().ok());
}

TEST_F(AgentTest, TheProgramExitsTwoForABadFile) {
  Write("agent.yaml", "nonsense: 1\n");
  const std::string program = std::string(QUELL_BINARY_DIR) + "/bin/quell-agent";
  const std::string command =
      program + " --config " + directory_ + "/agent.yaml check 2> " + directory_ + "/told";
  const int code = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(code), 2);
  std::string told;
  std::getline(std::ifstream(directory_ + "/told") >> std::ws, told);
  EXPECT_THAT(told, HasSubstr("agent.yaml:1:1"));
}

TEST(Lists, SayWhatThereIs) {
  EXPECT_THAT(ListActions(), HasSubstr("pm2.restart  risk low"));
  EXPECT_THAT(ListActions(), HasSubstr("--app  the app's name in PM2 (required)"));
  EXPECT_THAT(ListMetrics(), HasSubstr("node_cpu_seconds_total"));
}

}  // namespace
}  // namespace quell::agent
