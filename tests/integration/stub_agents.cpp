#include "tests/integration/stub_agents.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "agent/link/grpc_stream.h"
#include "agent/link/link.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/trust.h"
#include "tests/support/files.h"

namespace quell::test {
namespace {

// None: such a host is watched, and not acted on.
class NoExecutor final : public agent::ExecutorPort {
 public:
  bool Submit(std::string) override { return false; }
  void Cancel(std::string) override {}
  void AckReports(uint64_t) override {}
  void SetTrustBundle(std::string) override {}
  std::optional<v1::ExecutorStatus> Status() override { return std::nullopt; }
  void SetCallbacks(std::function<void()>, std::function<bool(v1::CommandReport)>) override {}
};

std::string Line(const std::string& path) { return std::string(absl::StripAsciiWhitespace(ReadFile(path))); }

agent::AgentFacts FactsOf(const std::string& keys) {
  agent::AgentFacts facts;
  facts.version = "stub";
  facts.host_id = Line(keys + "/host-id");
  facts.host_name = "stub";
  facts.boot_id = "stub";
  facts.start = RandomBytes(16);
  facts.trust_serial = 1;
  return facts;
}

security::TlsIdentity IdentityOf(const std::string& keys) {
  auto identity = security::LoadTlsIdentity(keys + "/agent.key", keys + "/agent.crt");
  Require(identity.ok(), identity.status().ToString());
  return *std::move(identity);
}

std::shared_ptr<security::TrustHolder> TrustOf(const std::string& keys) {
  auto bundle = security::OpenTrustBundle(ReadFile(keys + "/trust.bundle"), Line(keys + "/root.pin"),
                                          RealClock().Wall());
  Require(bundle.ok(), bundle.status().ToString());
  return std::make_shared<security::TrustHolder>(*std::move(bundle));
}

std::unique_ptr<agent::Spool> OpenSpool(const std::string& directory) {
  Require(mkdir(directory.c_str(), 0700) == 0, "making " + directory + " failed");
  agent::Spool::Options options;
  options.directory = directory;
  options.boot_id = "stub";
  auto spool = agent::Spool::Open(RealDisk(), RealClock(), options);
  Require(spool.ok(), spool.status().ToString());
  return *std::move(spool);
}

}  // namespace

struct StubAgents::Agent {
  Agent(const std::string& keys, const std::string& directory, const std::string& address)
      : identity(IdentityOf(keys)),
        spool(OpenSpool(directory)),
        head(RealDisk(), directory + "/log-head"),
        dialer([this] { return identity; }, TrustOf(keys), RealClock()),
        link({.addresses = {address}}, FactsOf(keys), RealClock(), *spool, executor, head, dialer) {}
  const security::TlsIdentity identity;
  const std::unique_ptr<agent::Spool> spool;
  NoExecutor executor;
  agent::HeadMemory head;
  agent::GrpcDialer dialer;
  agent::Link link;
};

StubAgents::StubAgents(const std::vector<std::string>& keys, const std::string& state,
                       const std::string& address) {
  for (const std::string& each : keys)
    agents_.push_back(std::make_unique<Agent>(each, absl::StrCat(state, "/", agents_.size()), address));
}

StubAgents::~StubAgents() = default;

void StubAgents::Start() {
  for (const auto& agent : agents_) agent->link.Start();
}

size_t StubAgents::connected() const {
  size_t count = 0;
  for (const auto& agent : agents_) count += agent->link.connected();
  return count;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  Require(getrlimit(RLIMIT_NOFILE, &limit) == 0, "asking for a limit failed");
  limit.rlim_cur = limit.rlim_max;
  Require(setrlimit(RLIMIT_NOFILE, &limit) == 0, "raising a limit failed");
}

}  // namespace quell::test
