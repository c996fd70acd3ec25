// Real handshakes on loopback, from both sides.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "absl/synchronization/notification.h"
#include "common/base/ids.h"
#include "common/base/thread.h"
#include "common/security/grpc_credentials.h"
#include "tests/common/security/test_pki.h"

namespace quell::security {
namespace {

using testing_support::TestLeaf;
using testing_support::TestPki;

TlsIdentity Identity(const TestLeaf& leaf) { return {Secret(leaf.key_pem), leaf.certificate_pem}; }

// Answers every unary call: OK for a peer that PeerOfCall takes, its refusal otherwise.
class Gate final : public grpc::CallbackGenericService {
 public:
  Gate(const TestPki& pki, std::string role) : pki_(pki), role_(std::move(role)) {}

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    explicit Reactor(grpc::Status status) { Finish(std::move(status)); }
    void OnDone() override { delete this; }
  };
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    const auto peer = PeerOfCall(*context, role_, pki_.bundle(), RealClock().Wall());
    return new Reactor(
        peer.ok() ? grpc::Status(grpc::StatusCode::ABORTED, "taken as " + peer->id)
                  : grpc::Status(grpc::StatusCode::PERMISSION_DENIED, std::string(peer.status().message())));
  }
  const TestPki& pki_;
  const std::string role_;
};

struct Running {
  std::unique_ptr<Gate> gate;
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  ~Running() {
    if (server) server->Shutdown(std::chrono::system_clock::now());
  }
};

class Handshake : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { PrepareGrpcProcess(); }
  std::unique_ptr<Running> Serve(const TestLeaf& leaf, const std::string& role = "agent") {
    auto running = std::make_unique<Running>();
    running->gate = std::make_unique<Gate>(pki_, role);
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0",
                             ListenerCredentials(Identity(leaf), role, pki_.bundle(),
                                                 [this](std::string_view uri) {
                                                   absl::MutexLock lock(&mutex_);
                                                   seen_ = std::string(uri);
                                                 }),
                             &running->port);
    builder.RegisterCallbackGenericService(running->gate.get());
    running->server = builder.BuildAndStart();
    return running;
  }
  grpc::Status Call(int port, const TestLeaf& leaf,
                    std::shared_ptr<ServerCheck> check = std::make_shared<ServerCheck>()) {
    auto trust = std::make_shared<TrustHolder>(pki_.bundle());
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto channel = grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(port),
        ControllerChannelCredentials(Identity(leaf), trust, "127.0.0.1", RealClock(), check), arguments);
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const grpc::Slice nothing("-");
    grpc::ByteBuffer request(&nothing, 1), reply;
    absl::Notification done;
    grpc::Status status;
    stub.UnaryCall(&context, "/quell.test/Call", grpc::StubOptions(), &request, &reply, [&](grpc::Status s) {
      status = std::move(s);
      done.Notify();
    });
    done.WaitForNotification();
    return status;
  }
  TestPki pki_{RealClock().Wall()};
  absl::Mutex mutex_;
  std::string seen_ ABSL_GUARDED_BY(mutex_);
};

// Waits until one more handshake has failed than `before`; its reason.
std::string NextFailure(uint64_t before) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < deadline) {
    const HandshakeFailures now = FailedHandshakes();
    if (now.total > before) return now.last;
    std::this_thread::yield();
  }
  return "none within 10 s";
}

// ---- agents that the controller meets -------------------------------------------------------------------

TEST_F(Handshake, RightOnesSpeak) {
  const auto running = Serve(pki_.Controller());
  const std::string id = RandomUuid();
  const grpc::Status status = Call(running->port, pki_.Agent(id));
  EXPECT_EQ(status.error_message(), "taken as " + id);
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(seen_, pki_.Uri("agent", id));
}

// Who a listener's client has to be: "agent" at the agents', "responder" at people's.
CertificateSpec SpecOf(const TestPki& pki, const std::string& role) {
  return role == "agent" ? pki.AgentSpec(RandomUuid()) : pki.ResponderSpec("alice");
}
const Authority& IssuerOf(const TestPki& pki, const std::string& role) {
  return role == "agent" ? pki.agents() : pki.responders();
}
TestLeaf Leaf(const TestPki& pki, const std::string& role) {
  return pki.Issue(SpecOf(pki, role), IssuerOf(pki, role));
}

struct BadPeer {
  const char* name;
  TestLeaf (*make)(const TestPki&, const std::string& role);
  const char* own_check;  // what the client finds wrong with its own certificate, or is told
};
using BadCase = std::tuple<BadPeer, std::string>;
const auto kRoles = ::testing::Values("agent", "responder");
std::string NameOfCase(const ::testing::TestParamInfo<BadCase>& info) {
  return std::string(std::get<0>(info.param).name) + "_" + std::get<1>(info.param);
}

class RefusedInHandshake : public Handshake, public ::testing::WithParamInterface<BadCase> {};

TEST_P(RefusedInHandshake, X03_IsCountedWithOpenSslsText) {
  const auto& [bad, role] = GetParam();
  const auto running = Serve(pki_.Controller(), role);
  const TestLeaf leaf = bad.make(pki_, role);
  const uint64_t before = FailedHandshakes().total;
  const grpc::Status status = Call(running->port, leaf);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  EXPECT_EQ(NextFailure(before), "certificate verify failed");
  const std::string why =
      WhyNotConnected(status, Identity(leaf), role, pki_.bundle(), RealClock().Wall(), ServerCheck());
  EXPECT_NE(why.find(bad.own_check), std::string::npos) << why;
}

INSTANTIATE_TEST_SUITE_P(X03, RefusedInHandshake,
                         ::testing::Combine(
                             ::testing::Values(BadPeer{"other_authority",
                                                       [](const TestPki&, const std::string& role) {
                                                         return Leaf(TestPki(RealClock().Wall()), role);
                                                       },
                                                       "no authority of this installation"},
                                               BadPeer{"right_name_wrong_authority",
                                                       [](const TestPki& pki, const std::string& role) {
                                                         const auto fake =
                                                             MakeAuthority("test " + role + "s", 0,
                                                                           RealClock().Wall() + kDay);
                                                         return pki.Issue(SpecOf(pki, role), *fake);
                                                       },
                                                       "no authority of this installation"},
                                               BadPeer{"expired",
                                                       [](const TestPki& pki, const std::string& role) {
                                                         auto spec = SpecOf(pki, role);
                                                         spec.not_after = RealClock().Wall() - kMinute;
                                                         return pki.Issue(spec, IssuerOf(pki, role));
                                                       },
                                                       "expired at"},
                                               BadPeer{"not_yet_valid",
                                                       [](const TestPki& pki, const std::string& role) {
                                                         auto spec = SpecOf(pki, role);
                                                         spec.not_before = RealClock().Wall() + kHour;
                                                         return pki.Issue(spec, IssuerOf(pki, role));
                                                       },
                                                       "not valid before"},
                                               BadPeer{"wrong_purpose",
                                                       [](const TestPki& pki, const std::string& role) {
                                                         auto spec = SpecOf(pki, role);
                                                         spec.client_auth = false;
                                                         spec.server_auth = true;
                                                         return pki.Issue(spec, IssuerOf(pki, role));
                                                       },
                                                       "wrong purpose"},
                                               BadPeer{"a_controller",
                                                       [](const TestPki& pki, const std::string&) {
                                                         return pki.Controller();
                                                       },
                                                       "has the role controller"},
                                               BadPeer{"the_other_listeners",
                                                       [](const TestPki& pki, const std::string& role) {
                                                         return Leaf(pki,
                                                                     role == "agent" ? "responder" : "agent");
                                                       },
                                                       "has the role "}),
                             kRoles),
                         NameOfCase);

class RefusedInHandler : public Handshake, public ::testing::WithParamInterface<BadCase> {};

TEST_P(RefusedInHandler, X03_IsToldWhy) {
  const auto& [bad, role] = GetParam();
  const auto running = Serve(pki_.Controller(), role);
  const grpc::Status status = Call(running->port, bad.make(pki_, role));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << status.error_message();
  EXPECT_NE(status.error_message().find(bad.own_check), std::string::npos) << status.error_message();
}

INSTANTIATE_TEST_SUITE_P(X03, RefusedInHandler,
                         ::testing::Combine(::testing::Values(
                                                BadPeer{"wrong_role",
                                                        [](const TestPki& pki, const std::string& role) {
                                                          auto spec = SpecOf(pki, role);
                                                          spec.uris = {pki.Uri("controller", RandomUuid())};
                                                          return pki.Issue(spec, IssuerOf(pki, role));
                                                        },
                                                        "says controller but was issued by the "},
                                                BadPeer{"two_uris",
                                                        [](const TestPki& pki, const std::string& role) {
                                                          auto spec = SpecOf(pki, role);
                                                          spec.uris.push_back(pki.Uri(role, RandomUuid()));
                                                          return pki.Issue(spec, IssuerOf(pki, role));
                                                        },
                                                        "more than one URI name"},
                                                BadPeer{"no_uri",
                                                        [](const TestPki& pki, const std::string& role) {
                                                          auto spec = SpecOf(pki, role);
                                                          spec.uris.clear();
                                                          return pki.Issue(spec, IssuerOf(pki, role));
                                                        },
                                                        "no URI name"},
                                                BadPeer{"two_names_in_one",
                                                        [](const TestPki& pki, const std::string& role) {
                                                          auto spec = SpecOf(pki, role);
                                                          spec.uris = {pki.Uri(role, "alice,root")};
                                                          return pki.Issue(spec, IssuerOf(pki, role));
                                                        },
                                                        "a character it may not have"},
                                                BadPeer{"other_installation",
                                                        [](const TestPki& pki, const std::string& role) {
                                                          auto spec = SpecOf(pki, role);
                                                          spec.uris = {"spiffe://" + RandomUuid() + "/" +
                                                                       role + "/" + RandomUuid()};
                                                          return pki.Issue(spec, IssuerOf(pki, role));
                                                        },
                                                        "another installation"}),
                                            kRoles),
                         NameOfCase);

TEST_F(Handshake, X02_ARevokedAgentIsToldSo) {
  const auto running = Serve(pki_.Controller());
  const std::string id = RandomUuid();
  const TestLeaf leaf = pki_.Agent(id);
  EXPECT_EQ(Call(running->port, leaf).error_message(), "taken as " + id);
  pki_.bundle().add_revoked(id);
  const grpc::Status status = Call(running->port, leaf);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_NE(status.error_message().find("revoked"), std::string::npos) << status.error_message();
}

// ---- peers that speak plain OpenSSL ---------------------------------------------------------------------

struct SslFree {
  void operator()(SSL_CTX* c) const { SSL_CTX_free(c); }
  void operator()(SSL* s) const { SSL_free(s); }
  void operator()(X509* x) const { X509_free(x); }
  void operator()(EVP_PKEY* k) const { EVP_PKEY_free(k); }
  void operator()(BIO* b) const { BIO_free_all(b); }
};
template <typename T>
using Ssl = std::unique_ptr<T, SslFree>;

void Use(SSL_CTX* context, const TestLeaf& leaf) {
  Ssl<BIO> certificate(
      BIO_new_mem_buf(leaf.certificate_pem.data(), static_cast<int>(leaf.certificate_pem.size())));
  Ssl<BIO> key(BIO_new_mem_buf(leaf.key_pem.data(), static_cast<int>(leaf.key_pem.size())));
  const Ssl<X509> x509(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
  const Ssl<EVP_PKEY> pkey(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
  ASSERT_EQ(SSL_CTX_use_certificate(context, x509.get()), 1);
  ASSERT_EQ(SSL_CTX_use_PrivateKey(context, pkey.get()), 1);
}

int Dial(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  timeval limit{10, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
  return fd;
}

struct RawResult {
  bool spoke = false;  // a byte of the server's came through
  std::string error;
};

// A client by hand: up to `most` version, with a certificate or none.
RawResult SpeakRaw(int port, int most, const TestLeaf* leaf) {
  const Ssl<SSL_CTX> context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_max_proto_version(context.get(), most);
  if (leaf != nullptr) Use(context.get(), *leaf);
  const Ssl<SSL> ssl(SSL_new(context.get()));
  const unsigned char alpn[] = {2, 'h', '2'};
  SSL_set_alpn_protos(ssl.get(), alpn, sizeof alpn);
  const int fd = Dial(port);
  SSL_set_fd(ssl.get(), fd);
  char byte = 0;
  RawResult result;
  result.spoke = SSL_connect(ssl.get()) == 1 && SSL_read(ssl.get(), &byte, 1) == 1;
  const unsigned long code = ERR_peek_last_error();
  result.error = code == 0 ? "" : ERR_reason_error_string(code);
  ERR_clear_error();
  close(fd);
  return result;
}

TEST_F(Handshake, X02_Tls12IsRefused) {
  const auto running = Serve(pki_.Controller());
  const TestLeaf leaf = pki_.Agent(RandomUuid());
  EXPECT_TRUE(SpeakRaw(running->port, TLS1_3_VERSION, &leaf).spoke)
      << "the same client is taken with TLS 1.3";
  const uint64_t before = FailedHandshakes().total;
  const RawResult old = SpeakRaw(running->port, TLS1_2_VERSION, &leaf);
  EXPECT_FALSE(old.spoke);
  EXPECT_NE(old.error, "");
  EXPECT_EQ(NextFailure(before), "no shared cipher");
}

TEST_F(Handshake, X02_NoCertificateIsRefused) {
  const auto running = Serve(pki_.Controller());
  const uint64_t before = FailedHandshakes().total;
  const RawResult result = SpeakRaw(running->port, TLS1_3_VERSION, nullptr);
  EXPECT_FALSE(result.spoke);
  EXPECT_NE(result.error, "");  // gRPC closes without sending the alert
  EXPECT_EQ(NextFailure(before), "peer did not return a certificate");
}

TEST_F(Handshake, X02_PlainTextIsRefused) {
  const auto running = Serve(pki_.Controller());
  const uint64_t before = FailedHandshakes().total;
  const int fd = Dial(running->port);
  const std::string hello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  ASSERT_EQ(write(fd, hello.data(), hello.size()), static_cast<ssize_t>(hello.size()));
  EXPECT_NE(NextFailure(before), "none within 10 s");
  close(fd);
}

// ---- controllers that the agent meets -------------------------------------------------------------------

struct BadServer {
  const char* name;
  TestLeaf (*make)(const TestPki&);
  const char* says;
};

class RefusedByAgent : public Handshake, public ::testing::WithParamInterface<BadServer> {};

TEST_P(RefusedByAgent, X03_IsToldByTheAgent) {
  const auto running = Serve(GetParam().make(pki_));
  const auto check = std::make_shared<ServerCheck>();
  const TestLeaf own = pki_.Agent(RandomUuid());
  const auto began = std::chrono::steady_clock::now();
  const grpc::Status status = Call(running->port, own, check);
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(9)) << "told before the deadline";
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_GE(check->refused(), 1u);
  const std::string why =
      WhyNotConnected(status, Identity(own), "agent", pki_.bundle(), RealClock().Wall(), *check);
  EXPECT_NE(why.find(GetParam().says), std::string::npos) << why;
  EXPECT_EQ(why.find("this host refuses the controller: "), 0u) << why;
}

INSTANTIATE_TEST_SUITE_P(
    X03, RefusedByAgent,
    ::testing::Values(BadServer{"other_authority",
                                [](const TestPki&) { return TestPki(RealClock().Wall()).Controller(); },
                                "no authority of this installation"},
                      BadServer{"right_name_wrong_authority",
                                [](const TestPki& pki) {
                                  const auto fake =
                                      MakeAuthority("test controllers", 0, RealClock().Wall() + kDay);
                                  return pki.Issue(pki.ControllerSpec(pki.controller_id()), *fake);
                                },
                                "no authority of this installation"},
                      BadServer{"expired",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.not_after = RealClock().Wall() - kMinute;
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "expired at"},
                      BadServer{"not_yet_valid",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.not_before = RealClock().Wall() + kHour;
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "not valid before"},
                      BadServer{"wrong_purpose",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.server_auth = false;
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "wrong purpose"},
                      BadServer{"wrong_role",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.uris = {pki.Uri("agent", RandomUuid())};
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "says agent but was issued by the controllers' authority"},
                      BadServer{"two_uris",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.uris.push_back(pki.Uri("controller", RandomUuid()));
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "more than one URI name"},
                      BadServer{"other_address",
                                [](const TestPki& pki) {
                                  auto spec = pki.ControllerSpec(pki.controller_id());
                                  spec.addresses = {"127.0.0.2"};
                                  return pki.Issue(spec, pki.controllers());
                                },
                                "not made out for 127.0.0.1"},
                      BadServer{"an_agent_posing", [](const TestPki& pki) { return pki.Agent(RandomUuid()); },
                                "the peer has the role agent"}),
    [](const auto& info) { return info.param.name; });

// A server that knows TLS 1.2 at most, with the right certificate.
TEST_F(Handshake, X03_AControllerOfTls12IsRefused) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&at), &size), 0);
  const TestLeaf leaf = pki_.Controller();
  std::atomic<bool> stop = false;
  std::atomic<int> taken = 0, tried = 0;
  NamedThread server("tls12", [&] {
    const Ssl<SSL_CTX> context(SSL_CTX_new(TLS_server_method()));
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    Use(context.get(), leaf);
    while (!stop) {
      pollfd ready{listener, POLLIN, 0};
      if (poll(&ready, 1, 50) <= 0) continue;
      const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      const Ssl<SSL> ssl(SSL_new(context.get()));
      SSL_set_fd(ssl.get(), fd);
      ++tried;
      if (SSL_accept(ssl.get()) == 1) ++taken;
      close(fd);
    }
    ERR_clear_error();
  });
  const grpc::Status status = Call(ntohs(at.sin_port), pki_.Agent(RandomUuid()));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  stop = true;
  server.Join();
  EXPECT_GE(tried, 1);
  EXPECT_EQ(taken, 0);
  close(listener);
}

// A key that belongs to another certificate never reaches a listener.
TEST_F(Handshake, APairThatDoesNotMatchIsRefusedAtLoad) {
  const std::string directory = testing_support::MakeTestDirectory();
  pki_.WriteAgent(directory, RandomUuid());
  EXPECT_TRUE(LoadTlsIdentity(directory + "/agent.key", directory + "/agent.crt").ok());
  pki_.WriteController(directory, {});
  const auto mixed = LoadTlsIdentity(directory + "/agent.key", directory + "/controller.crt");
  ASSERT_FALSE(mixed.ok());
  EXPECT_NE(mixed.status().message().find("does not belong"), absl::string_view::npos) << mixed.status();
}

}  // namespace
}  // namespace quell::security
