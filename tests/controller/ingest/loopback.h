// A real listener and real agents' links over TLS on loopback, with recording shards behind. For tests of
// ingest and of the programs that use it. Owned by a test.
#pragma once
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "agent/link/grpc_stream.h"
#include "agent/link/link.h"
#include "common/base/clock.h"
#include "common/base/ids.h"
#include "common/wire/limits.h"
#include "controller/ingest/server.h"
#include "quell/v1/link.grpc.pb.h"
#include "tests/agent/link/fakes.h"
#include "tests/common/security/test_pki.h"
#include "tests/controller/ingest/fakes.h"

namespace quell::ingest {

inline security::TlsIdentity IdentityOf(const testing_support::TestLeaf& leaf) {
  return {security::Secret(leaf.key_pem), leaf.certificate_pem};
}

// A controller's listener with everything behind it. Made anew, it has forgotten everything, as after a
// restart.
class Listener {
 public:
  Listener(const testing_support::TestPki& pki, MemoryDirectory& hosts, const testing_support::TestLeaf& leaf,
           int port, BudgetLimits budget = {})
      : trust(std::make_shared<security::TrustHolder>(pki.bundle())) {
    IngestOptions options;
    options.version = "0.1.0";
    options.epoch_number = 3;
    options.epoch_start = std::string(16, 'e');
    options.budget = budget;
    server = std::make_unique<IngestServer>(
        options,
        IngestParts{
            hosts, shard, registry, counters, RealClock(), trust, [] { return RealClock().Wall(); }, {}});
    const absl::Status status = server->Start("127.0.0.1:" + std::to_string(port), IdentityOf(leaf));
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server->port()); }

  RecordingShard shard;
  SessionRegistry registry;
  IngestCounters counters;
  std::shared_ptr<security::TrustHolder> trust;
  std::unique_ptr<IngestServer> server;
};

// One agent: spool, link and all, but for collectors and the executor.
class TestAgent {
 public:
  TestAgent(const testing_support::TestPki& pki, const std::string& id, const testing_support::TestLeaf& leaf,
            const std::string& address, Micros backoff = 50 * kMillisecond)
      : head(head_disk, "/head") {
    agent::Spool::Options spool_options;
    spool_options.directory = "/spool";
    spool_options.boot_id = "boot";
    spool = *agent::Spool::Open(disk, RealClock(), spool_options);
    dialer = std::make_unique<agent::GrpcDialer>([leaf] { return IdentityOf(leaf); },
                                                 std::make_shared<security::TrustHolder>(pki.bundle()),
                                                 RealClock());
    agent::LinkOptions options;
    options.addresses = {address};
    options.backoff_least = backoff;
    options.backoff_most = 4 * backoff;
    executor.SetStatus(agent::GoodStatus("nonce"));
    agent::AgentFacts facts{"0.1.0", id, "host", "boot", RandomBytes(16), 1};
    link = std::make_unique<agent::Link>(options, facts, RealClock(), *spool, executor, head, *dialer);
    link->Start();
  }
  void AddSample(double value) {
    spool->Add(agent::Collection{"host", series, std::vector<double>(series->size(), value),
                                 RealClock().Monotonic()});
  }
  void AddEvent() {
    v1::Event event;
    event.set_kind("pm2.exit");
    spool->Add(event);
  }

  MemoryDisk disk, head_disk;
  std::unique_ptr<agent::Spool> spool;
  agent::RecordingExecutor executor;
  agent::HeadMemory head;
  std::unique_ptr<agent::GrpcDialer> dialer;
  std::unique_ptr<agent::Link> link;
  agent::SeriesList series = agent::MakeSeries(2);
};

// A client that says whatever a test wants.
class RawClient {
 public:
  RawClient(const testing_support::TestPki& pki, const testing_support::TestLeaf& leaf,
            const std::string& address) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel =
        grpc::CreateCustomChannel(address,
                                  security::ControllerChannelCredentials(
                                      IdentityOf(leaf), std::make_shared<security::TrustHolder>(pki.bundle()),
                                      "127.0.0.1", RealClock(), std::make_shared<security::ServerCheck>()),
                                  args);
    stub = v1::AgentLink::NewStub(channel);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    stream = stub->Stream(&context);
  }
  static v1::AgentFrame Hello(const std::string& id) {
    v1::AgentFrame frame;
    v1::Hello* hello = frame.mutable_hello();
    hello->set_agent_start(std::string(16, 'r'));
    hello->set_boot_id("boot");
    hello->set_monotonic_us(RealClock().Monotonic());
    hello->set_wall_us(RealClock().Wall());
    hello->set_host_id(id);
    return frame;
  }
  bool Greet(const std::string& id) {
    v1::ControllerFrame frame;
    return stream->Write(Hello(id)) && stream->Read(&frame) && frame.has_welcome();
  }
  // Reads until the stream's end.
  grpc::Status End() {
    v1::ControllerFrame frame;
    while (stream->Read(&frame)) {
    }
    return stream->Finish();
  }

  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::AgentLink::Stub> stub;
  grpc::ClientContext context;
  std::unique_ptr<grpc::ClientReaderWriter<v1::AgentFrame, v1::ControllerFrame>> stream;
};

// Waits until `holds` says yes; false after 20 s.
template <typename Holds>
bool WaitUntil(Holds holds) {
  const Micros until = RealClock().Monotonic() + 20 * kSecond;
  while (RealClock().Monotonic() < until) {
    if (holds()) return true;
    absl::SleepFor(absl::Milliseconds(2));
  }
  return holds();
}

}  // namespace quell::ingest
