// People over a real listener of TLS: who is let in, as whom, and what each may do.
#include "controller/operator/responders.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "absl/synchronization/notification.h"
#include "common/base/ids.h"
#include "common/security/grpc_credentials.h"
#include "tests/common/security/test_pki.h"
#include "tests/controller/operator/fake_backend.h"
#include "tests/support/wait.h"

namespace quell::operators {
namespace {

using testing::HasSubstr;
using testing_support::TestLeaf;
using testing_support::TestPki;

constexpr Micros kNow = 1'795'403'887 * kSecond;

security::TlsIdentity IdentityOf(const TestLeaf& leaf) {
  return {security::Secret(leaf.key_pem), leaf.certificate_pem};
}

class Responders : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    FillExample(backend_, kNow);
    trust_ = std::make_shared<security::TrustHolder>(pki_.bundle());
    auto server =
        ResponderServer::Start("127.0.0.1:0", IdentityOf(pki_.Controller()),
                               {.backend = backend_, .clock = RealClock(), .trust = trust_, .peer_seen = {}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
  }
  void Put(const std::string& name, const std::string& role, bool revoked = false) {
    v1::Person person;
    person.set_name(name);
    person.set_role(role);
    person.set_revoked(revoked);
    backend_.Put("person", name, person, kNow, !revoked);
  }
  TestLeaf Person(const std::string& name) const {
    return pki_.Issue(pki_.ResponderSpec(name), pki_.responders());
  }
  std::shared_ptr<grpc::Channel> Open(const std::shared_ptr<grpc::ChannelCredentials>& credentials) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()), credentials, arguments);
  }
  std::shared_ptr<grpc::Channel> Open(const TestLeaf& leaf) const {
    return Open(security::ControllerChannelCredentials(
        IdentityOf(leaf), std::make_shared<security::TrustHolder>(pki_.bundle()), "127.0.0.1", RealClock(),
        std::make_shared<security::ServerCheck>()));
  }
  // Somebody who knows whom to trust, and has nothing to show.
  std::shared_ptr<grpc::Channel> OpenWithoutCertificate() const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = pki_.controllers().certificate_pem;
    return Open(grpc::SslCredentials(options));
  }
  grpc::Status Call(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                    const std::string& request = "", std::string* reply = nullptr) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    const grpc::Slice slice(request);
    const grpc::ByteBuffer sent(&slice, 1);
    grpc::ByteBuffer received;
    absl::Notification done;
    grpc::Status status;
    stub.UnaryCall(&context, method, grpc::StubOptions(), &sent, &received, [&](grpc::Status s) {
      status = std::move(s);
      done.Notify();
    });
    done.WaitForNotification();
    grpc::Slice bytes;
    if (status.ok() && reply != nullptr && received.DumpToSingleSlice(&bytes).ok())
      reply->assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
    return status;
  }
  Json WhoAmI(const std::shared_ptr<grpc::Channel>& channel) {
    std::string bytes;
    const grpc::Status status = Call(channel, "/quell.v1.Operator/WhoAmI", "", &bytes);
    EXPECT_TRUE(status.ok()) << status.error_message();
    v1::Document document;
    document.ParseFromString(bytes);
    return Json::parse(document.json(), nullptr, false);
  }
  std::string Hold() const {
    v1::HoldRequest request;
    request.set_scope("all");
    request.set_why("a look around");
    return request.SerializeAsString();
  }

  TestPki pki_{RealClock().Wall()};
  MapBackend backend_;
  std::shared_ptr<security::TrustHolder> trust_;
  std::unique_ptr<ResponderServer> server_;
};

const google::protobuf::ServiceDescriptor& Service() {
  v1::StatusRequest::descriptor();  // links the file in
  return *google::protobuf::DescriptorPool::generated_pool()->FindServiceByName("quell.v1.Operator");
}
std::vector<std::string> Methods() {
  std::vector<std::string> all;
  for (int i = 0; i < Service().method_count(); ++i)
    all.push_back("/quell.v1.Operator/" + Service().method(i)->name());
  return all;
}

TEST_F(Responders, ACallIsThePersonsOfTheCertificateInTheRoleOfTheRecord) {
  Put("alice", "responder");
  const auto channel = Open(Person("alice"));
  const Json me = WhoAmI(channel);
  EXPECT_EQ(me["name"], "alice");
  EXPECT_EQ(me["role"], "responder");
  EXPECT_EQ(me["via"], "certificate");
  EXPECT_TRUE(me["certificate_expires_at"].is_string());
  EXPECT_FALSE(me.contains("uid"));
  ASSERT_TRUE(Call(channel, "/quell.v1.Operator/SetHold", Hold()).ok());
  const v1::PersonAct act = backend_.acts().at(0);
  EXPECT_EQ(act.person(), "alice");
  EXPECT_EQ(act.via(), "certificate");
  EXPECT_EQ(act.role(), "responder");
  EXPECT_FALSE(act.break_glass());
}

// ---- every method, by everybody --------------------------------------------------------------------------

TEST_F(Responders, X12_EveryMethodForEveryRole) {
  std::map<std::string, Role> least;
  for (const RoleRow& row : RoleTable()) least[std::string(row.method)] = row.least;
  ASSERT_GT(Methods().size(), 20u);
  for (const Role role : {Role::kViewer, Role::kResponder, Role::kApprover, Role::kAdmin}) {
    const std::string name = "the-" + std::string(RoleName(role));
    Put(name, std::string(RoleName(role)));
    const auto channel = Open(Person(name));
    for (const std::string& method : Methods()) {
      ASSERT_EQ(least.count(method), 1u) << method;
      const size_t acts = backend_.acts().size();
      const grpc::Status status = Call(channel, method);
      const bool denied = status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
      EXPECT_EQ(denied, role < least[method]) << method << " for " << name << ": " << status.error_message();
      if (!denied) continue;
      EXPECT_THAT(status.error_message(), HasSubstr("takes the role ")) << method;
      EXPECT_EQ(backend_.acts().size(), acts) << method << " reached the engine";
    }
  }
}

TEST_F(Responders, X12_NothingForARevokedOrAnUnknownPerson) {
  Put("mallory", "admin", true);
  for (const auto& [name, says] :
       {std::pair("mallory", "mallory is revoked"), std::pair("eve", "quell responder role eve")}) {
    const auto channel = Open(Person(name));
    for (const std::string& method : Methods()) {
      const grpc::Status status = Call(channel, method);
      EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED) << method;
      EXPECT_THAT(status.error_message(), HasSubstr(says)) << method;
    }
  }
  EXPECT_EQ(server_->refused(), 2 * Methods().size());
  EXPECT_TRUE(backend_.acts().empty());
}

TEST_F(Responders, X01_NothingWithoutACertificate) {
  const auto channel = OpenWithoutCertificate();
  for (const std::string& method : Methods())
    EXPECT_EQ(Call(channel, method).error_code(), grpc::StatusCode::UNAVAILABLE) << method;
  EXPECT_TRUE(backend_.acts().empty());
}

TEST_F(Responders, X12_NothingForAnAgentOrAController) {
  Put("alice", "admin");
  for (const TestLeaf& leaf : {pki_.Agent(RandomUuid()), pki_.Controller()}) {
    const auto channel = Open(leaf);
    for (const std::string& method : Methods())
      EXPECT_EQ(Call(channel, method).error_code(), grpc::StatusCode::UNAVAILABLE) << method;
  }
  // A person's name from the agents' authority, and an agent's from the responders'.
  EXPECT_EQ(Call(Open(pki_.Issue(pki_.ResponderSpec("alice"), pki_.agents())), Methods()[0]).error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(
      Call(Open(pki_.Issue(pki_.AgentSpec(RandomUuid()), pki_.responders())), Methods()[0]).error_code(),
      grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(backend_.acts().empty());
}

TEST_F(Responders, X12_NoOtherServiceIsThere) {
  Put("alice", "admin");
  const auto channel = Open(Person("alice"));
  for (const char* method : {"/quell.v1.Operator/Unlisted", "/quell.v1.AgentLink/Stream",
                             "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/"})
    EXPECT_EQ(Call(channel, method).error_code(), grpc::StatusCode::UNIMPLEMENTED) << method;
}

// ---- while a connection lives ----------------------------------------------------------------------------

TEST_F(Responders, X11_ARoleTakenAwayIsGoneAtTheNextCall) {
  Put("alice", "responder");
  const auto channel = Open(Person("alice"));
  EXPECT_TRUE(Call(channel, "/quell.v1.Operator/SetHold", Hold()).ok());
  Put("alice", "viewer");
  EXPECT_EQ(Call(channel, "/quell.v1.Operator/SetHold", Hold()).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(WhoAmI(channel)["role"], "viewer");
  Put("alice", "viewer", true);
  const grpc::Status status = Call(channel, "/quell.v1.Operator/Status");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(status.error_message(), HasSubstr("alice is revoked"));
}

TEST_F(Responders, X11_ANameThatTheTrustBundleRevokesIsRefusedAtTheNextCall) {
  Put("alice", "admin");
  const auto channel = Open(Person("alice"));
  EXPECT_TRUE(Call(channel, "/quell.v1.Operator/Status").ok());
  v1::TrustBundle next = pki_.bundle();
  next.set_serial(next.serial() + 1);
  next.add_revoked("alice");
  ASSERT_TRUE(trust_->Replace(next).ok());
  EXPECT_EQ(Call(channel, "/quell.v1.Operator/Status").error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

// Of this process, from /proc/self/statm (proc(5)).
int64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// ---- bounds ----------------------------------------------------------------------------------------------

TEST_F(Responders, X01_ConnectionsThatSayNothingAreClosedAndKeepNobodyOut) {
  Put("alice", "viewer");
  constexpr int kSilent = 200;
  const int64_t before = ResidentBytes();
  std::vector<pollfd> silent;
  for (int i = 0; i < kSilent; ++i) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(server_->port()));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    silent.push_back({fd, POLLIN, 0});
  }
  EXPECT_TRUE(Call(Open(Person("alice")), "/quell.v1.Operator/Status").ok());
  EXPECT_LT(ResidentBytes() - before, 64 << 20);
  const auto all_closed = [&] {
    if (poll(silent.data(), silent.size(), 0) < 0) return false;
    char byte = 0;
    return std::all_of(silent.begin(), silent.end(), [&](const pollfd& p) {
      return p.revents != 0 && recv(p.fd, &byte, 1, MSG_DONTWAIT) <= 0;
    });
  };
  EXPECT_TRUE(test::WaitFor(all_closed));
  EXPECT_TRUE(test::WaitFor([&] {
    return security::FailedHandshakes().by_reason["handshake not finished"] >= kSilent;
  })) << "they are counted, and fill no log";
  for (const pollfd& p : silent) close(p.fd);
}

TEST_F(Responders, X01_ATooLargeMessageEndsItsCallAlone) {
  Put("alice", "admin");
  const auto channel = Open(Person("alice"));
  v1::IncidentAct note;
  note.set_incident("#417");
  note.set_text(std::string(1 << 20, 'x'));
  EXPECT_EQ(Call(channel, "/quell.v1.Operator/AddNote", note.SerializeAsString()).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Call(channel, "/quell.v1.Operator/Status").ok());
  EXPECT_TRUE(backend_.acts().empty());
}

TEST_F(Responders, AdministrationOfPeopleReachesTheEngine) {
  Put("alice", "admin");
  const auto channel = Open(Person("alice"));
  v1::ResponderRole role;
  role.set_name("bob");
  role.set_role("approver");
  EXPECT_TRUE(Call(channel, "/quell.v1.Operator/SetResponder", role.SerializeAsString()).ok());
  v1::PersonRevoke revoke;
  revoke.set_name("bob");
  EXPECT_EQ(Call(channel, "/quell.v1.Operator/RevokeResponder", revoke.SerializeAsString()).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT)
      << "without a reason";
  revoke.set_why("left");
  EXPECT_TRUE(Call(channel, "/quell.v1.Operator/RevokeResponder", revoke.SerializeAsString()).ok());
  ASSERT_EQ(backend_.acts().size(), 2u);
  EXPECT_EQ(backend_.acts()[0].person_set().role(), "approver");
  EXPECT_EQ(backend_.acts()[1].person_revoke().why(), "left");
}

TEST_F(Responders, AnAddressThatIsTakenIsSaid) {
  const auto again =
      ResponderServer::Start("127.0.0.1:" + std::to_string(server_->port()), IdentityOf(pki_.Controller()),
                             {.backend = backend_, .clock = RealClock(), .trust = trust_, .peer_seen = {}});
  EXPECT_THAT(again.status().message(), HasSubstr("can't listen for responders on 127.0.0.1:"));
}

}  // namespace
}  // namespace quell::operators
