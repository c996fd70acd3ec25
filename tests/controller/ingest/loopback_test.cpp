// Agents and a controller's listener over real TLS and gRPC on loopback.
#include "tests/controller/ingest/loopback.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "common/base/thread.h"
#include "common/wire/encoder.h"

namespace quell::ingest {
namespace {

using testing::HasSubstr;
using testing_support::TestPki;

class Loopback : public testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    hosts_.Add(a_, "web-1");
    hosts_.Add(b_, "web-2");
    Listen(0);
  }
  void Listen(int port, BudgetLimits budget = {}) {
    listener_ = std::make_unique<Listener>(pki_, hosts_, pki_.Controller(), port, budget);
  }
  std::unique_ptr<TestAgent> Agent(const std::string& id, const std::string& address = "") {
    return std::make_unique<TestAgent>(pki_, id, pki_.Agent(id),
                                       address.empty() ? listener_->address() : address);
  }
  std::unique_ptr<RawClient> Client(const std::string& id) {
    return std::make_unique<RawClient>(pki_, pki_.Agent(id), listener_->address());
  }
  bool Connected(TestAgent& agent) {
    return WaitUntil([&] { return agent.link->connected(); });
  }
  bool SamplesCame(const std::string& id, double value) {
    return listener_->shard.WaitFor([&](const auto& seen) {
      auto found = seen.values.find(id + "/test_metric");
      return found != seen.values.end() && !found->second.empty() && found->second.back() == value;
    });
  }

  TestPki pki_{RealClock().Wall()};
  MemoryDirectory hosts_;
  const std::string a_ = RandomUuid(), b_ = RandomUuid();
  std::unique_ptr<Listener> listener_;
};

TEST_F(Loopback, SamplesEventsAndHeartbeatsArrive) {
  auto agent = Agent(a_);
  agent->AddSample(7);
  agent->AddEvent();
  EXPECT_TRUE(SamplesCame(a_, 7));
  EXPECT_TRUE(listener_->shard.WaitFor(
      [](const auto& seen) { return !seen.kinds.empty() && !seen.heartbeats.empty(); }));
  EXPECT_TRUE(WaitUntil([&] { return listener_->registry.Nonce(a_) == "nonce"; }));
  const uint64_t through = listener_->shard.seen().events_through;
  EXPECT_EQ(agent->spool->events_acknowledged() + 1, through);
  listener_->registry.AckEvents(a_, through);
  EXPECT_TRUE(WaitUntil([&] { return agent->spool->events_acknowledged() == through; }));
  agent->link->Stop("reboot");
  EXPECT_TRUE(listener_->shard.WaitFor(
      [](const auto& seen) { return !seen.goodbyes.empty() && !seen.closed.empty(); }));
  EXPECT_EQ(listener_->shard.seen().goodbyes[0], "reboot");
}

TEST_F(Loopback, ACommandGoesOutAndItsResultComesBack) {
  auto agent = Agent(a_);
  ASSERT_TRUE(WaitUntil([&] { return listener_->registry.Nonce(a_).has_value(); }));
  v1::SignedCommand command;
  command.set_body("body");
  command.set_signature(std::string(64, 's'));
  ASSERT_TRUE(listener_->registry.SendCommand(a_, command).ok());
  ASSERT_TRUE(WaitUntil([&] { return agent->executor.submitted().size() == 1; }));
  ASSERT_TRUE(agent->executor.Report(agent::MakeReport(41)));
  ASSERT_TRUE(listener_->shard.WaitFor([](const auto& seen) { return !seen.outcomes.empty(); }));
  EXPECT_EQ(agent->executor.acked(), 0u);  // nothing is forgotten before the commit
  listener_->registry.AckReports(a_, listener_->shard.seen().reports_through);
  EXPECT_TRUE(WaitUntil([&] { return agent->executor.acked() == 41; }));
}

TEST_F(Loopback, ARestartedControllerGetsTheSamplesAgain) {
  auto agent = Agent(a_);
  for (int i = 1; i <= 5; ++i) agent->AddSample(i);
  ASSERT_TRUE(SamplesCame(a_, 5));
  const int port = listener_->server->port();
  listener_.reset();
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->connected(); }));
  agent->AddSample(6);
  Listen(port);
  ASSERT_TRUE(SamplesCame(a_, 6));
  std::vector<double> values = listener_->shard.seen().values[a_ + "/test_metric"];
  EXPECT_EQ(values.size(), 12u);  // two series, six samples
}

TEST_F(Loopback, AfterALostStreamOnlyTheRestIsSent) {
  auto agent = Agent(a_);
  agent->AddSample(1);
  ASSERT_TRUE(SamplesCame(a_, 1));
  listener_->registry.EndAll(absl::UnavailableError("a test"));
  ASSERT_TRUE(WaitUntil([&] { return listener_->shard.seen().opened.size() == 2; }));
  agent->AddSample(2);
  ASSERT_TRUE(SamplesCame(a_, 2));
  EXPECT_EQ(listener_->shard.seen().values[a_ + "/test_metric"].size(), 4u);
}

TEST_F(Loopback, X11_ARevokedAgentsStreamEndsThoughNobodyEndsIt) {
  auto client = Client(a_);
  ASSERT_TRUE(client->Greet(a_));
  const Micros begun = RealClock().Monotonic();
  hosts_.Revoke(a_);
  const grpc::Status status = client->End();
  EXPECT_LT(RealClock().Monotonic() - begun, 5 * kSecond);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("revoked"));
  auto again = Client(a_);
  EXPECT_FALSE(again->Greet(a_));
  EXPECT_EQ(again->End().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(Loopback, ASecondStreamOfAHostReplacesTheFirst) {
  auto client = Client(a_);
  ASSERT_TRUE(client->Greet(a_));
  auto second = Client(a_);
  ASSERT_TRUE(second->Greet(a_));
  const grpc::Status status = client->End();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_THAT(status.error_message(), HasSubstr("another stream of the same host"));
  EXPECT_TRUE(listener_->registry.IsOpen(a_));
}

// ---- what ends a stream, and that stream alone
class BadStream : public Loopback {
 protected:
  void SetUp() override {
    Loopback::SetUp();
    other_ = Agent(b_);
    ASSERT_TRUE(Connected(*other_));
    client_ = Client(a_);
    ASSERT_TRUE(client_->Greet(a_));
  }
  void TearDown() override {
    other_->AddSample(99);
    EXPECT_TRUE(SamplesCame(b_, 99));  // all else goes on
    EXPECT_EQ(listener_->shard.seen().opened.size(), 2u);
  }
  void ExpectEnd(grpc::StatusCode code, const std::string& why) {
    const grpc::Status status = client_->End();
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(why));
    EXPECT_TRUE(WaitUntil([&] { return !listener_->registry.IsOpen(a_); }));
  }
  std::unique_ptr<TestAgent> other_;
  std::unique_ptr<RawClient> client_;
};

TEST_F(BadStream, Oversized) {
  v1::AgentFrame frame;
  frame.add_batches()->set_values(std::string(wire::kMaxMessageBytes, 'x'));
  client_->stream->Write(frame);
  ExpectEnd(grpc::StatusCode::RESOURCE_EXHAUSTED, "larger than max");
}

TEST_F(BadStream, UnknownLayout) {
  v1::AgentFrame frame;
  frame.add_batches()->set_layout(9);
  client_->stream->Write(frame);
  ExpectEnd(grpc::StatusCode::INVALID_ARGUMENT, "unknown layout");
}

TEST_F(BadStream, BadForm) {
  v1::AgentFrame frame;
  frame.add_events()->set_kind("pm2.exit");
  client_->stream->Write(frame);
  ExpectEnd(grpc::StatusCode::INVALID_ARGUMENT, "sequence number");
}

TEST_F(BadStream, X05_InstanceOfAnother) {
  v1::AgentFrame frame;
  v1::Layout* layout = frame.add_layouts();
  layout->set_id(1);
  layout->set_collector("host");
  layout->add_series()->set_name("up");
  v1::Label* label = layout->mutable_series(0)->add_labels();
  label->set_name("instance");
  label->set_value("web-2");
  client_->stream->Write(frame);
  ExpectEnd(grpc::StatusCode::INVALID_ARGUMENT, "instance");
}

TEST_F(BadStream, SecondHello) {
  client_->stream->Write(RawClient::Hello(a_));
  ExpectEnd(grpc::StatusCode::INVALID_ARGUMENT, "second hello");
}

TEST_F(Loopback, X05_AnotherAgentsIdIsRefused) {
  auto client = Client(a_);
  client->stream->Write(RawClient::Hello(b_));
  const grpc::Status status = client->End();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("not that of the host"));
  EXPECT_FALSE(listener_->registry.IsOpen(b_));
  EXPECT_EQ(listener_->shard.seen().refused.size(), 1u);
}

// Bytes that are no protobuf: sent through gRPC's generic stub.
TEST_F(Loopback, MalformedBytesEndTheStreamWithAReason) {
  auto client = Client(b_);
  grpc::GenericStub stub(client->channel);
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(&context, "/quell.v1.AgentLink/Stream", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  const grpc::Slice slice("\xff\xff\xff\xff no frame");
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  queue.Next(&tag, &ok);
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("not a frame"));
  queue.Shutdown();
}

TEST_F(Loopback, AnUnknownHostIsRefusedByName) {
  auto agent = Agent(RandomUuid());
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->last_error().empty(); }));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("no host with the id"));
  EXPECT_TRUE(listener_->shard.WaitFor([](const auto& seen) { return !seen.refused.empty(); }));
  EXPECT_GE(listener_->counters.refused, 1u);
}

TEST_F(Loopback, ARevokedAgentsStreamIsCut) {
  auto agent = Agent(a_);
  ASSERT_TRUE(Connected(*agent));
  v1::TrustBundle bundle = pki_.bundle();
  bundle.set_serial(bundle.serial() + 1);
  bundle.add_revoked(a_);
  const Micros begun = RealClock().Monotonic();
  ASSERT_TRUE(listener_->trust->Replace(bundle).ok());
  ASSERT_TRUE(WaitUntil([&] { return !listener_->registry.IsOpen(a_); }));
  EXPECT_LT(RealClock().Monotonic() - begun, 5 * kSecond);
  EXPECT_TRUE(WaitUntil([&] { return agent->link->last_error().find("revoked") != std::string::npos; }));
}

// ---- refusals in the handshake are told by the agent
TEST_F(Loopback, X03_AnAgentPosingAsAControllerIsToldByTheAgent) {
  security::CertificateSpec spec = pki_.ControllerSpec(RandomUuid());
  spec.uris = {pki_.Uri("agent", b_)};
  Listener fake(pki_, hosts_, pki_.Issue(spec, pki_.agents()), 0);
  auto agent = Agent(a_, fake.address());
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->last_error().empty(); }));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("this agent refuses the controller's certificate"));
  EXPECT_TRUE(fake.shard.seen().opened.empty());
}

TEST_F(Loopback, X02_ACertificateOfAnotherAuthorityIsTold) {
  auto agent = std::make_unique<TestAgent>(pki_, a_, pki_.Issue(pki_.AgentSpec(a_), pki_.responders()),
                                           listener_->address());
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->last_error().empty(); }));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("the controller refuses this agent in the handshake"));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("own certificate"));
  EXPECT_TRUE(listener_->shard.seen().opened.empty());
}

TEST_F(Loopback, X02_AnExpiredCertificateIsTold) {
  security::CertificateSpec spec = pki_.AgentSpec(a_);
  spec.not_before = RealClock().Wall() - 2 * kHour;
  spec.not_after = RealClock().Wall() - kHour;
  auto agent = std::make_unique<TestAgent>(pki_, a_, pki_.Issue(spec, pki_.agents()), listener_->address());
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->last_error().empty(); }));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("the controller refuses this agent in the handshake"));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("expired"));
}

TEST_F(Loopback, NoControllerIsToldToo) {
  const std::string address = listener_->address();
  listener_.reset();
  auto agent = Agent(a_, address);
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->last_error().empty(); }));
  EXPECT_THAT(agent->link->last_error(), HasSubstr("connect"));
}

// ---- budgets
TEST_F(Loopback, X07_OneAgentOverItsBudgetStarvesNoOther) {
  BudgetLimits budget;
  budget.bytes_per_second = 10 << 10;
  budget.bytes_burst = 64 << 10;
  Listen(0, budget);
  auto good = Agent(b_);
  ASSERT_TRUE(Connected(*good));
  auto bad = Client(a_);
  ASSERT_TRUE(bad->Greet(a_));
  std::atomic<bool> stop{false};
  NamedThread flood("flood", [&] {
    v1::AgentFrame frame;
    wire::BatchEncoder encoder(1, 1'000);
    uint64_t number = 0;
    v1::Layout* layout = frame.add_layouts();
    layout->set_id(1);
    layout->set_collector("host");
    for (int i = 0; i < 1'000; ++i) layout->add_series()->set_name("m");
    do {
      frame.clear_batches();
      std::vector<double> values(1'000, static_cast<double>(number) + 0.5);
      encoder.Encode(values, 0, ++number, frame.add_batches());
      if (!bad->stream->Write(frame)) break;
      frame.clear_layouts();
    } while (!stop);
  });
  EXPECT_TRUE(WaitUntil([&] { return listener_->counters.samples_over_budget > 0; }));
  for (int i = 1; i <= 20; ++i) {
    const Micros begun = RealClock().Monotonic();
    good->AddSample(i);
    ASSERT_TRUE(SamplesCame(b_, i));
    EXPECT_LT(RealClock().Monotonic() - begun, 2 * kSecond);
  }
  EXPECT_TRUE(listener_->shard.WaitFor([](const auto& seen) {
    return std::find(seen.kinds.begin(), seen.kinds.end(), "agent.over_budget") != seen.kinds.end();
  }));
  stop = true;
  bad->context.TryCancel();
  flood.Join();
}

// ---- a controller that stops answering
//
// Passes bytes both ways between one client at a time and the controller, until it is frozen.
class Proxy {
 public:
  explicit Proxy(int to) : to_(to) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = Loop(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = NamedThread("proxy", [this] { Run(); });
  }
  ~Proxy() {
    stop_ = true;
    thread_.Join();
    close(listener_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void Freeze(bool frozen) { frozen_ = frozen; }

 private:
  static sockaddr_in Loop(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }
  void Run() {
    while (!stop_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const int client = accept(listener_, nullptr, nullptr);
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address = Loop(to_);
      if (connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) Pass(client, server);
      close(client);
      close(server);
    }
  }
  void Pass(int client, int server) {
    char bytes[16 << 10];
    while (!stop_) {
      pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (frozen_) {
        // Nothing is read any more, but the client's own end of the connection is seen.
        ends[0].events = POLLRDHUP;
        if (poll(ends, 1, 20) > 0) return;
        continue;
      }
      if (poll(ends, 2, 20) <= 0) continue;
      for (int i = 0; i < 2; ++i) {
        if ((ends[i].revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
        const ssize_t n = read(ends[i].fd, bytes, sizeof(bytes));
        if (n <= 0) return;
        if (send(ends[1 - i].fd, bytes, static_cast<size_t>(n), MSG_NOSIGNAL) != n) return;
      }
    }
  }
  const int to_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_{false}, frozen_{false};
  NamedThread thread_;
};

TEST_F(Loopback, AFrozenControllerIsFoundOutByKeepalive) {
  Proxy proxy(listener_->server->port());
  auto agent = Agent(a_, proxy.address());
  ASSERT_TRUE(Connected(*agent));
  const Micros begun = RealClock().Monotonic();
  proxy.Freeze(true);
  ASSERT_TRUE(WaitUntil([&] { return !agent->link->connected(); }));
  EXPECT_LT(RealClock().Monotonic() - begun, 12 * kSecond);
  EXPECT_THAT(agent->link->last_error(), HasSubstr("keepalive"));
  proxy.Freeze(false);
  EXPECT_TRUE(Connected(*agent));
}

}  // namespace
}  // namespace quell::ingest
