// A whole controller in this process and the agent's own enrolment, identity and link against it, over real
// TLS: how a host joins, stays, is put out and comes back.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <thread>

#include "agent/enrol/enrol.h"
#include "agent/enrol/identity.h"
#include "agent/enrol/recovering_dialer.h"
#include "agent/link/grpc_stream.h"
#include "agent/link/link.h"
#include "cli/client.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/security/pki.h"
#include "controller/app/controller.h"
#include "quell/v1/link.grpc.pb.h"
#include "tests/agent/link/fakes.h"
#include "tests/common/security/test_pki.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::app {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

// One host's files, identity and link. The clock may be its own.
class Member {
 public:
  Member(const std::string& directory, Clock& clock) : directory_(directory), clock_(clock) {}
  ~Member() { link.reset(); }  // before what it uses

  agent::EnrolPlaces Places() const {
    return {directory_ + "/agent.key", directory_ + "/agent.crt", directory_ + "/trust.bundle",
            directory_ + "/root.pin", directory_ + "/host-id"};
  }
  absl::StatusOr<agent::Certified> Enrol(const std::string& port, const std::string& token,
                                         const std::string& wish = "", bool again = false) {
    agent::EnrolOptions options;
    options.address = port;
    options.token = *security::ParseJoinToken(token);
    options.wish = wish;
    options.places = Places();
    options.again = again;
    return agent::Enrol(options, clock_);
  }
  void Load() {
    const agent::EnrolPlaces p = Places();
    auto loaded = agent::AgentIdentity::Load(
        {p.key, p.certificate, p.trust_bundle, p.root_pin, p.host_id, directory_}, RealDisk(), clock_);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    identity = *std::move(loaded);
  }
  void Connect(const std::string& agents, const std::string& port) {
    Load();
    agent::Spool::Options spool_options;
    spool_options.directory = "/spool";
    spool_options.boot_id = "boot";
    spool = *agent::Spool::Open(disk, RealClock(), spool_options);
    dialer =
        std::make_unique<agent::GrpcDialer>([this] { return identity->Tls(); }, identity->trust(), clock_);
    recovering = std::make_unique<agent::RecoveringDialer>(*dialer, *identity, std::vector{port}, clock_);
    agent::LinkOptions options;
    options.addresses = {agents};
    options.backoff_least = 50 * kMillisecond;
    options.backoff_most = 200 * kMillisecond;
    v1::ExecutorStatus status = agent::GoodStatus("nonce");
    status.set_epoch_number(0);
    executor.SetStatus(status);
    agent::AgentFacts facts{"0.1.0", identity->host_id(), "host", "boot", RandomBytes(16), 0};
    link = std::make_unique<agent::Link>(options, facts, clock_, *spool, executor, head, *recovering,
                                         identity.get());
    link->Start();
  }
  void AddSample() {
    const agent::SeriesList series = agent::MakeSeries(1);
    spool->Add(agent::Collection{"host", series, {1.0}, RealClock().Monotonic()});
  }
  std::string Certificate() const { return test::ReadFile(directory_ + "/agent.crt"); }

  std::unique_ptr<agent::AgentIdentity> identity;
  agent::RecordingExecutor executor;
  std::unique_ptr<agent::GrpcDialer> dialer;
  std::unique_ptr<agent::RecoveringDialer> recovering;
  std::unique_ptr<agent::Link> link;

 private:
  const std::string directory_;
  Clock& clock_;
  MemoryDisk disk;
  std::unique_ptr<agent::Spool> spool;
  MemoryDisk head_disk;
  agent::HeadMemory head{head_disk, "/head"};
};

class Membership : public testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    security::PkiOptions pki;
    pki.directory = dir_.Path("pki");
    pki.addresses = {"127.0.0.1"};
    pki.agents = {"old-1"};
    pki.now = RealClock().Wall();
    const auto made = security::InitPki(pki);
    ASSERT_TRUE(made.ok()) << made.status();
    Start();
  }
  void TearDown() override { controller_.reset(); }

  // Over the log that is there. Ports stay the same.
  void Start(Micros life = kDay, const std::string& pki = "pki") {
    dir_.Write("controller.yaml",
               absl::StrCat("listen: {agents: \"127.0.0.1:", agents_, "\", web: \"127.0.0.1:0\", enrol: \"",
                            "127.0.0.1:", enrol_, "\"}\nsocket: ", dir_.Path("operator.sock"),
                            "\nstore: {sqlite: ", dir_.Path("log.db"),
                            "}\npki: {directory: ", dir_.Path(pki + "/controller"), "}\n"));
    config::Problems problems;
    Loaded loaded = LoadAll(dir_.Path("controller.yaml"), problems);
    ASSERT_TRUE(problems.ok()) << problems.ToString();
    loaded.config.certificate_lifetime = life;
    controller_ = std::make_unique<Controller>(std::move(loaded), RealClock());
    const absl::Status started = controller_->Start();
    ASSERT_TRUE(started.ok()) << started;
    client_ = *cli::Client::Connect(dir_.Path("operator.sock"));
  }
  void Stop() {
    client_.reset();
    controller_.reset();
  }
  std::string Port() const { return absl::StrCat("127.0.0.1:", enrol_); }
  std::string Agents() const { return absl::StrCat("127.0.0.1:", agents_); }

  std::string Token(const std::string& host, bool replace = false, const std::string& role = "") {
    v1::TokenRequest request;
    request.set_host(host);
    request.set_replace(replace);
    if (!role.empty()) (*request.mutable_labels())["role"] = role;
    const auto acted = client_->Act("MakeToken", request);
    EXPECT_TRUE(acted.ok() && acted->exit == 0) << acted.status() << (acted.ok() ? acted->message : "");
    return acted.ok() ? acted->json.value("token", "") : "";
  }
  absl::StatusOr<cli::Acted> Out(const std::string& method, const std::string& host) {
    v1::AgentAct request;
    request.set_host(host);
    request.set_why("a test");
    return client_->Act(method, request);
  }
  Json Hosts(bool all = false) {
    v1::GetRequest request;
    request.set_kind("hosts");
    request.set_all(all);
    const auto read = client_->Read("Get", request);
    return read.ok() ? Json((*read)["items"]) : Json();
  }
  std::unique_ptr<Member> NewMember(Clock& clock = RealClock()) {
    return std::make_unique<Member>(dir_.MakeDirectory(absl::StrCat("host-", ++members_), 0700), clock);
  }
  // One that enrolled and is connected.
  std::unique_ptr<Member> Joined(const std::string& name) {
    auto member = NewMember();
    const auto enrolled = member->Enrol(Port(), Token(name));
    EXPECT_TRUE(enrolled.ok()) << enrolled.status();
    if (!enrolled.ok()) return nullptr;
    member->Connect(Agents(), Port());
    EXPECT_TRUE(test::WaitFor([&] { return member->link->connected(); })) << member->link->last_error();
    return member;
  }
  // A bare key that shows a token; what the controller says when it has room.
  absl::StatusOr<agent::Certified> Redeem(const std::string& token, const security::TlsKey& key,
                                          const std::string& port = "") {
    const security::JoinToken parsed = *security::ParseJoinToken(token);
    while (true) {
      const std::string& to = port.empty() ? Port() : port;
      const auto trust = agent::FetchTrust(to, parsed.pin, RealClock().Wall());
      auto made = trust.ok() ? agent::Redeem(to, parsed, key, "", trust->bundle, RealClock().Wall())
                             : absl::StatusOr<agent::Certified>(trust.status());
      if (!absl::IsUnavailable(made.status())) return made;
    }
  }

  test::TempDir dir_;
  const uint16_t agents_ = test::FreePort();
  const uint16_t enrol_ = test::FreePort();
  int members_ = 0;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<cli::Client> client_;
};

TEST_F(Membership, AHostEnrolsConnectsAndIsKnownByItsTokensNameAndLabels) {
  auto member = NewMember();
  const auto enrolled = member->Enrol(Port(), Token("web-1", false, "web"));
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(enrolled->name, "web-1");
  const agent::EnrolPlaces places = member->Places();
  struct stat info {};
  ASSERT_EQ(stat(places.key.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_NE(access((places.key + ".enrolling").c_str(), F_OK), 0);
  EXPECT_EQ(test::ReadFile(places.host_id), enrolled->id + "\n");
  member->Connect(Agents(), Port());
  ASSERT_TRUE(test::WaitFor([&] { return member->link->connected(); })) << member->link->last_error();
  ASSERT_TRUE(test::WaitFor([&] {
    const Json hosts = Hosts();
    return hosts.size() == 1 && hosts[0]["liveness"] == "connected";
  }));
  EXPECT_EQ(Hosts()[0]["name"], "web-1");
  EXPECT_EQ(Hosts()[0]["labels"]["role"], "web");
  EXPECT_EQ(Hosts()[0]["membership"], "in_force");
  // The token is told nowhere any more.
  v1::GetRequest request;
  request.set_kind("tokens");
  request.set_all(true);
  const auto tokens = client_->Read("Get", request);
  ASSERT_TRUE(tokens.ok());
  EXPECT_EQ((*tokens)["items"].size(), 1u);
  EXPECT_FALSE((*tokens)["items"][0].contains("token"));
  EXPECT_FALSE((*tokens)["items"][0].contains("sha256"));
  EXPECT_EQ(member->Enrol(Port(), Token("web-2")).status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(Membership, X04_OfFiftyThatShowOneTokenAtOnceOneIsCertified) {
  const std::string token = Token("web-1");
  std::atomic<int> certified{0}, refused{0}, otherwise{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 50; ++i)
    threads.emplace_back([&] {
      const auto made = Redeem(token, security::TlsKey::Generate());
      if (made.ok())
        ++certified;
      else if (absl::IsPermissionDenied(made.status()))
        ++refused;
      else
        ++otherwise;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(certified, 1);
  EXPECT_EQ(refused, 49);
  EXPECT_EQ(otherwise, 0);
}

TEST_F(Membership, ALostReplyIsGivenAgainToTheSameKeyAlone) {
  const std::string token = Token("web-1");
  const security::TlsKey key = security::TlsKey::Generate();
  const auto first = Redeem(token, key);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto again = Redeem(token, key);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->certificate_pem, first->certificate_pem);
  EXPECT_EQ(again->id, first->id);
  const auto other = Redeem(token, security::TlsKey::Generate());
  EXPECT_THAT(std::string(other.status().message()), HasSubstr("the token was used already"));
  EXPECT_EQ(Hosts().size(), 1u);
}

TEST_F(Membership, X04_ATokenForAnotherHostOrOfNobodyIsRefusedWithItsReason) {
  auto member = NewMember();
  auto refused = member->Enrol(Port(), Token("web-1"), "db-1");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.status().message()),
              HasSubstr("the token is for the host web-1, not for db-1"));
  const std::string pin = test::ReadFile(dir_.Path("pki/root.pin")).substr(0, 64);
  const std::string made_up = security::FormatJoinToken({security::Secret(RandomBytes(32)), pin}).Reveal();
  refused = member->Enrol(Port(), made_up);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("there is no such token"));
  const auto in_file = member->Enrol(Port(), Token("old-1"));
  EXPECT_THAT(std::string(in_file.status().message()), HasSubstr("`pki` made"));
  EXPECT_NE(access(member->Places().certificate.c_str(), F_OK), 0);
}

// Takes down every token that reaches it; hands out whatever bundle a test gives it.
class MiddleDesk final : public http::EnrolDesk {
 public:
  explicit MiddleDesk(std::string bundle) : bundle_(std::move(bundle)) {}
  std::string TrustBundle() override { return bundle_; }
  std::string Challenge() override { return "challenge"; }
  absl::StatusOr<Issued> Enrol(const security::Secret&, const std::string&, const std::string&) override {
    ++tokens;
    return absl::PermissionDeniedError("caught");
  }
  absl::StatusOr<Issued> Recover(const std::string&, const std::string&, const std::string&,
                                 const std::string&) override {
    ++tokens;
    return absl::PermissionDeniedError("caught");
  }
  std::atomic<int> tokens{0};

 private:
  const std::string bundle_;
};

TEST_F(Membership, X02_AListenerInTheMiddleNeverReceivesTheToken) {
  const std::string bundle = test::ReadFile(dir_.Path("pki/trust.bundle"));
  const testing_support::TestPki other(RealClock().Wall());
  auto agent_cert = NewMember();  // a certificate of our installation, but an agent's
  ASSERT_TRUE(agent_cert->Enrol(Port(), Token("thief")).ok());
  struct Case {
    std::string name, bundle, key, certificate;
  };
  const testing_support::TestLeaf foreign = other.Controller();
  const std::vector<Case> cases = {
      {"our bundle, another authority's certificate", bundle, foreign.key_pem, foreign.certificate_pem},
      {"its own bundle and certificate", other.signed_bundle(), foreign.key_pem, foreign.certificate_pem},
      {"our bundle, an agent's certificate", bundle, test::ReadFile(agent_cert->Places().key),
       test::ReadFile(agent_cert->Places().certificate)},
  };
  const std::string token = Token("web-1");
  for (const Case& c : cases) {
    MiddleDesk desk(c.bundle);
    http::Metrics metrics;
    auto middle =
        http::EnrolServer::Start({"127.0.0.1:0", security::Secret(c.key), c.certificate}, desk, metrics);
    ASSERT_TRUE(middle.ok()) << middle.status();
    auto member = NewMember();
    const auto enrolled = member->Enrol(absl::StrCat("127.0.0.1:", (*middle)->port()), token);
    EXPECT_EQ(enrolled.status().code(), absl::StatusCode::kPermissionDenied) << c.name << enrolled.status();
    EXPECT_EQ(desk.tokens, 0) << c.name;
  }
  EXPECT_TRUE(NewMember()->Enrol(Port(), token).ok()) << "the token is still good";
}

TEST_F(Membership, X02_AControllersCertificateForAnotherNameIsNotEnough) {
  MiddleDesk desk(test::ReadFile(dir_.Path("pki/trust.bundle")));
  http::Metrics metrics;
  auto middle = http::EnrolServer::Start(
      {"127.0.0.1:0", security::Secret(test::ReadFile(dir_.Path("pki/controller/controller.key"))),
       test::ReadFile(dir_.Path("pki/controller/controller.crt"))},
      desk, metrics);
  ASSERT_TRUE(middle.ok()) << middle.status();
  const auto enrolled = NewMember()->Enrol(absl::StrCat("localhost:", (*middle)->port()), Token("web-1"));
  EXPECT_EQ(enrolled.status().code(), absl::StatusCode::kPermissionDenied) << enrolled.status();
  EXPECT_THAT(std::string(enrolled.status().message()), HasSubstr("localhost"));
  EXPECT_EQ(desk.tokens, 0);
}

TEST_F(Membership, AWrongPinEndsItBeforeAnythingIsMade) {
  std::string token = Token("web-1");
  token.back() = token.back() == '0' ? '1' : '0';
  auto member = NewMember();
  const auto enrolled = member->Enrol(Port(), token);
  EXPECT_EQ(enrolled.status().code(), absl::StatusCode::kPermissionDenied) << enrolled.status();
  EXPECT_THAT(std::string(enrolled.status().message()), HasSubstr("pinned"));
  EXPECT_NE(access((member->Places().key + ".enrolling").c_str(), F_OK), 0);
}

TEST_F(Membership, ACertificateIsRenewedOverTheStreamWhichStays) {
  Stop();
  Start(16 * kSecond);  // renewed at half of that
  auto member = Joined("web-1");
  ASSERT_NE(member, nullptr);
  const std::string first = member->Certificate();
  // The renewed one lies in the agent's state directory, which is this one here: it takes the file's place.
  ASSERT_TRUE(test::WaitFor([&] { return member->Certificate() != first; }, kMinute));
  EXPECT_TRUE(member->link->connected());
  EXPECT_TRUE(member->link->last_error().empty()) << member->link->last_error();
  EXPECT_EQ(member->identity->Tls().certificate_pem, member->Certificate());
  EXPECT_EQ(*security::PublicKeyOf(first), *security::PublicKeyOf(member->Certificate()));
  EXPECT_TRUE(member->identity->Usable(RealClock().Wall()).ok());
}

TEST_F(Membership, X11_ARevokedHostsStreamEndsWithinFiveSecondsAndItStaysOut) {
  auto member = Joined("web-1");
  auto other = Joined("web-2");
  ASSERT_TRUE(member != nullptr && other != nullptr);
  const Micros begun = RealClock().Monotonic();
  const auto revoked = Out("RevokeAgent", "web-1");
  ASSERT_TRUE(revoked.ok() && revoked->exit == 0) << revoked.status();
  ASSERT_TRUE(test::WaitFor([&] { return !member->link->connected(); }, 5 * kSecond));
  EXPECT_LT(RealClock().Monotonic() - begun, 5 * kSecond);
  ASSERT_TRUE(test::WaitFor([&] {
    return member->link->last_error().find("the agent of web-1") != std::string::npos;
  })) << member->link->last_error();
  EXPECT_FALSE(member->link->connected());
  EXPECT_TRUE(other->link->connected()) << "nobody else is touched";
  // Nor does its key get a new certificate.
  const auto key = member->identity->Key();
  const auto recovered = agent::Recover(Port(), member->identity->host_id(), *key,
                                        *member->identity->trust()->Get(), RealClock().Wall());
  EXPECT_THAT(std::string(recovered.status().message()), HasSubstr("revoked"));
  const auto again = Out("RevokeAgent", "web-1");
  EXPECT_FALSE(again.ok());
  // A restart forgets nothing of it.
  Stop();
  Start();
  ASSERT_TRUE(test::WaitFor([&] { return other->link->connected(); }));
  EXPECT_FALSE(member->link->connected());
  EXPECT_THAT(Hosts()[0]["membership"] == "revoked" || Hosts()[1]["membership"] == "revoked", true);
}

TEST_F(Membership, ADeletedHostsNameIsGivenAnewAndItsIdNever) {
  auto member = Joined("web-1");
  ASSERT_NE(member, nullptr);
  const auto deleted = Out("DeleteAgent", "web-1");
  ASSERT_TRUE(deleted.ok() && deleted->exit == 0) << deleted.status();
  EXPECT_EQ(Hosts().size(), 0u);
  EXPECT_EQ(Hosts(true)[0]["membership"], "deleted");
  ASSERT_TRUE(test::WaitFor([&] { return !member->link->connected(); }, 5 * kSecond));
  auto successor = Joined("web-1");
  ASSERT_NE(successor, nullptr);
  EXPECT_NE(successor->identity->host_id(), member->identity->host_id());
  EXPECT_FALSE(member->link->connected());
  EXPECT_EQ(Hosts().size(), 1u);
}

TEST_F(Membership, LabelsAreTheControllersAndHoldForTheLiveStream) {
  auto member = Joined("web-1");
  ASSERT_NE(member, nullptr);
  v1::AgentLabels request;
  request.set_host("web-1");
  (*request.mutable_set())["site"] = "eu";
  const auto acted = client_->Act("LabelAgent", request);
  ASSERT_TRUE(acted.ok() && acted->exit == 0) << acted.status();
  v1::QueryRequest query;
  query.set_expr("test_metric{site=\"eu\", instance=\"web-1\"}");
  EXPECT_TRUE(test::WaitFor([&] {
    member->AddSample();
    const auto read = client_->Read("Query", query);
    return read.ok() && !(*read)["result"].empty();
  }));
  EXPECT_TRUE(member->link->connected());
}

TEST_F(Membership, AHostPastItsCertificatesEndRecoversWithTheKeyItEnrolledWith) {
  Stop();
  Start(kHour);
  FakeClock late(RealClock().Wall());
  auto member = NewMember(late);
  const auto enrolled = member->Enrol(Port(), Token("web-1"));
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  Stop();
  Start(kDay);  // and remembers who enrolled
  late.Advance(2 * kHour);
  const std::string expired = member->Certificate();
  member->Connect(Agents(), Port());
  ASSERT_TRUE(test::WaitFor([&] { return member->link->connected(); })) << member->link->last_error();
  EXPECT_NE(member->identity->Tls().certificate_pem, expired);
  EXPECT_EQ(member->identity->host_id(), enrolled->id);
}

TEST_F(Membership, X05_NobodyRecoversWithAnothersKeyOrSignature) {
  auto member = NewMember();
  const auto enrolled = member->Enrol(Port(), Token("web-1"));
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  member->Load();
  const auto trust = member->identity->trust()->Get();
  const security::TlsKey thief = security::TlsKey::Generate();
  auto recovered = agent::Recover(Port(), enrolled->id, thief, *trust, RealClock().Wall());
  EXPECT_THAT(std::string(recovered.status().message()), HasSubstr("enrolled with this key"));
  const auto key = member->identity->Key();
  recovered = agent::Recover(Port(), RandomUuid(), *key, *trust, RealClock().Wall());
  EXPECT_THAT(std::string(recovered.status().message()), HasSubstr("enrolled with this key"));
  EXPECT_TRUE(agent::Recover(Port(), enrolled->id, *key, *trust, RealClock().Wall()).ok());
}

// Each is a record of the log, ahead of what signals say.
TEST_F(Membership, X07_OneHostGetsNoMoreThanItsShareOfCertificates) {
  auto member = NewMember();
  const auto enrolled = member->Enrol(Port(), Token("web-1"));
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  member->Load();
  const auto trust = member->identity->trust()->Get();
  const auto key = member->identity->Key();
  absl::Status last;
  int certified = 0;
  const Micros began = RealClock().Monotonic();
  for (int i = 0; i < 20; ++i) {
    const auto recovered = agent::Recover(Port(), enrolled->id, *key, *trust, RealClock().Wall());
    if (recovered.ok()) ++certified;
    if (!recovered.ok()) last = recovered.status();
  }
  EXPECT_GE(certified, 5);
  EXPECT_LE(certified, 6 + (RealClock().Monotonic() - began) / (10 * kSecond));
  EXPECT_THAT(std::string(last.message()), HasSubstr("asks for certificates too often"));
}

// Host A's stream asks that B's key be certified, and one of its own making.
TEST_F(Membership, X05_AStreamRenewsItsOwnKeyAlone) {
  auto a = NewMember();
  auto b = NewMember();
  ASSERT_TRUE(a->Enrol(Port(), Token("web-1")).ok());
  ASSERT_TRUE(b->Enrol(Port(), Token("web-2")).ok());
  a->Load();
  b->Load();
  for (const std::string& asked :
       {b->identity->Key()->PublicDer(), security::TlsKey::Generate().PublicDer(), std::string("no key")}) {
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    auto channel = grpc::CreateCustomChannel(
        Agents(),
        security::ControllerChannelCredentials(a->identity->Tls(), a->identity->trust(), "127.0.0.1",
                                               RealClock(), std::make_shared<security::ServerCheck>()),
        args);
    auto stub = v1::AgentLink::NewStub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    auto stream = stub->Stream(&context);
    v1::AgentFrame hello;
    hello.mutable_hello()->set_agent_start(std::string(16, 'r'));
    hello.mutable_hello()->set_boot_id("boot");
    hello.mutable_hello()->set_monotonic_us(RealClock().Monotonic());
    hello.mutable_hello()->set_wall_us(RealClock().Wall());
    hello.mutable_hello()->set_host_id(a->identity->host_id());
    ASSERT_TRUE(stream->Write(hello));
    v1::AgentFrame renew;
    renew.set_renew_key(asked);
    ASSERT_TRUE(stream->Write(renew));
    v1::ControllerFrame frame;
    while (stream->Read(&frame) && frame.renew_refused().empty()) EXPECT_TRUE(frame.certificate().empty());
    EXPECT_THAT(frame.renew_refused(), HasSubstr("not that of the stream's certificate"));
    context.TryCancel();
  }
}

TEST_F(Membership, X01_AFloodOnTheEnrolmentPortLeavesTheStreamsAlone) {
  auto member = Joined("web-1");
  ASSERT_NE(member, nullptr);
  std::vector<UniqueFd> half_open;
  for (int i = 0; i < 500; ++i) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(enrol_);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to);
    half_open.push_back(std::move(fd));
  }
  v1::ExecutorStatus status = agent::GoodStatus("nonce during the flood");
  status.set_epoch_number(0);
  status.set_held(true);
  member->executor.SetStatus(status);
  EXPECT_TRUE(test::WaitFor([&] { return Hosts()[0]["held"] == true; }));
  EXPECT_TRUE(member->link->connected());
  EXPECT_TRUE(member->link->last_error().empty());
  half_open.clear();
  EXPECT_TRUE(test::WaitFor([&] { return NewMember()->Enrol(Port(), Token("web-2", true)).ok(); }));
}

TEST_F(Membership, ARecoveredControllerIsTakenByHostsUntouched) {
  auto member = Joined("web-1");
  ASSERT_NE(member, nullptr);
  Stop();  // its keys are lost; its log was not
  security::PkiOptions pki;
  pki.directory = dir_.Path("recovered");
  pki.addresses = {"127.0.0.1"};
  pki.now = RealClock().Wall();
  const auto made = security::RecoverPki(pki, dir_.Path("pki/trust-root.key"), member->Places().trust_bundle);
  ASSERT_TRUE(made.ok()) << made.status();
  dir_.Write("recovered/controller/hosts", "", 0600);
  Start(kDay, "recovered");
  ASSERT_TRUE(test::WaitFor([&] { return member->link->connected(); }, 60 * kSecond))
      << member->link->last_error();
  EXPECT_EQ(member->identity->trust_serial(), 2u);
  EXPECT_FALSE(member->executor.bundle().empty()) << "and so the executor";
  v1::VersionRequest version;
  const auto read = client_->Read("Version", version);
  ASSERT_TRUE(read.ok());
  EXPECT_GE((*read)["epoch"].get<uint64_t>(), 1'000'000u);
}

}  // namespace
}  // namespace quell::app
