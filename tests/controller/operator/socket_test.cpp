// The service over a real Unix socket.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/clock.h"
#include "common/base/disk.h"
#include "controller/operator/service.h"
#include "tests/controller/operator/fake_backend.h"
#include "tests/support/wait.h"

namespace quell::operators {
namespace {

constexpr Micros kNow = 1'795'403'887 * kSecond;

class Socket : public ::testing::Test {
 protected:
  void SetUp() override {
    FillExample(backend_, kNow);
    directory_ = ::testing::TempDir() + "quell-XXXXXX";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    path_ = directory_ + "/operator.sock";
    auto server = OperatorServer::Start(path_, backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    stub_ = v1::Operator::NewStub(grpc::CreateChannel("unix:" + path_, grpc::InsecureChannelCredentials()));
  }
  template <typename Request>
  grpc::Status Act(grpc::Status (v1::Operator::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              v1::ActReply*),
                   const Request& request, v1::ActReply* reply) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return (stub_.get()->*method)(&context, request, reply);
  }
  v1::RunRequest RunPortal(const std::string& host) {
    v1::RunRequest request;
    request.set_action("pm2.restart");
    (*request.mutable_params())["user"] = "deploy";
    (*request.mutable_params())["app"] = "portal";
    request.add_hosts(host);
    return request;
  }
  MapBackend backend_;
  std::string directory_, path_;
  std::unique_ptr<OperatorServer> server_;
  std::unique_ptr<v1::Operator::Stub> stub_;
};

TEST_F(Socket, KnowsWhoAsks) {
  grpc::ClientContext context;
  v1::Document document;
  const grpc::Status status = stub_->WhoAmI(&context, v1::WhoAmIRequest(), &document);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const Json json = Json::parse(document.json());
  EXPECT_EQ(json["uid"], geteuid());
  EXPECT_EQ(json["name"], PersonOfUid(geteuid()));
  EXPECT_EQ(json["via"], "socket");
}

TEST_F(Socket, TheFileIsItsOwnersAlone) {
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST_F(Socket, AnActCarriesThePersonAndTheResolvedId) {
  v1::IncidentAct request;
  request.set_incident("#417");
  v1::ActReply reply;
  backend_.answer = [](const v1::PersonAct& act) {
    return engine::Answer{"", 0, "acknowledged", "incident", act.acknowledge().incident()};
  };
  const grpc::Status status = Act(&v1::Operator::Stub::Acknowledge, request, &reply);
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(backend_.acts().size(), 1u);
  EXPECT_EQ(backend_.acts()[0].person(), PersonOfUid(geteuid()));
  EXPECT_EQ(backend_.acts()[0].via(), "socket");
  EXPECT_EQ(backend_.acts()[0].role(), "admin");
  EXPECT_TRUE(backend_.acts()[0].break_glass());
  EXPECT_EQ(backend_.acts()[0].acknowledge().incident(), "INC-20261123-031207");
  EXPECT_EQ(Json::parse(reply.json())["number"], 417);
}

TEST_F(Socket, RunBindsParametersAndHosts) {
  v1::ActReply reply;
  backend_.answer = [](const v1::PersonAct&) {
    return engine::Answer{"", 0, "1 command", "command", std::string(32, 'a')};
  };
  ASSERT_TRUE(Act(&v1::Operator::Stub::Run, RunPortal("web-2"), &reply).ok());
  const v1::RunAct run = backend_.acts().at(0).run();
  EXPECT_EQ(run.action().pm2_restart().app(), "portal");
  ASSERT_EQ(run.hosts_size(), 1);
  EXPECT_EQ(run.hosts(0), "22222222-2222-4222-8222-222222222222");
  EXPECT_EQ(Json::parse(reply.json())["commands"][0]["name"], "417.1");
}

// A list's page is bounded; a selection is not what fits on one.
TEST_F(Socket, HostsBeyondTheFirstPageAreFound) {
  for (int i = 0; i < 2'500; ++i) {
    v1::Host host;
    host.set_id(absl::StrFormat("33333333-3333-4333-8333-%012d", i));
    host.set_name(absl::StrCat("many-", i));
    (*host.mutable_labels())["role"] = "many";
    backend_.Put("host", host.id(), host, Micros{i} * kSecond);
  }
  v1::ActReply reply;
  v1::RunRequest request = RunPortal("many-0");
  ASSERT_TRUE(Act(&v1::Operator::Stub::Run, request, &reply).ok());
  EXPECT_EQ(backend_.acts().at(0).run().hosts(0), "33333333-3333-4333-8333-000000000000");
  request.clear_hosts();
  (*request.mutable_labels())["role"] = "many";
  ASSERT_TRUE(Act(&v1::Operator::Stub::Run, request, &reply).ok());
  EXPECT_EQ(backend_.acts().at(1).run().hosts_size(), 2'500);
}

TEST_F(Socket, AServiceOfTheCatalogueIsTheHostsOfItsApps) {
  for (int i = 0; i < 4; ++i) {
    v1::Host host;
    host.set_id(absl::StrFormat("44444444-4444-4444-8444-%012d", i));
    host.set_name(absl::StrCat("shop-", i));
    (*host.mutable_labels())["role"] = i < 3 ? "shop" : "test";
    host.add_apps(i == 0 ? "deploy/other" : "deploy/shop-web");
    backend_.Put("host", host.id(), host, kNow);
  }
  catalogue::Component web;
  web.name = "web";
  web.app = "shop-web";
  web.hosts = {{"role", "shop"}};
  catalogue::Service shop;
  shop.name = "shop";
  shop.components = {web};
  auto catalogue = std::make_shared<catalogue::Catalogue>();
  catalogue->services = {shop};
  backend_.catalogue = catalogue;
  v1::ActReply reply;
  v1::RunRequest request = RunPortal("shop-1");
  request.clear_hosts();
  request.set_service("shop");
  ASSERT_TRUE(Act(&v1::Operator::Stub::Run, request, &reply).ok());
  EXPECT_EQ(backend_.acts().at(0).run().hosts_size(), 2)
      << "neither where it is not, nor where it is another's";
  request.set_service("shop-web");
  ASSERT_TRUE(Act(&v1::Operator::Stub::Run, request, &reply).ok());
  EXPECT_EQ(backend_.acts().at(1).run().hosts_size(), 3) << "by the app's own name, as ever";
}

TEST_F(Socket, TimesWithoutEndAreRefused) {
  v1::HoldRequest request;
  request.set_why("a drill");
  v1::ActReply reply;
  for (const int64_t time : {int64_t{-1}, std::numeric_limits<int64_t>::max()}) {
    request.set_for_us(time);
    const grpc::Status status = Act(&v1::Operator::Stub::SetHold, request, &reply);
    EXPECT_NE(status.error_message().find("longer than ten years"), std::string::npos)
        << status.error_message();
  }
  EXPECT_TRUE(backend_.acts().empty());
}

TEST_F(Socket, RunRefusesWhatItCannotBind) {
  const auto refused = [&](auto change, grpc::StatusCode code, const std::string& says) {
    v1::RunRequest request = RunPortal("web-1");
    change(request);
    v1::ActReply reply;
    const grpc::Status status = Act(&v1::Operator::Stub::Run, request, &reply);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_NE(status.error_message().find(says), std::string::npos) << status.error_message();
  };
  using grpc::StatusCode;
  refused([](auto& r) { r.set_action("pm2.dance"); }, StatusCode::INVALID_ARGUMENT, "pm2.dance");
  refused([](auto& r) { r.mutable_params()->erase("app"); }, StatusCode::INVALID_ARGUMENT, "app");
  refused([](auto& r) { (*r.mutable_params())["colour"] = "red"; }, StatusCode::INVALID_ARGUMENT, "colour");
  refused([](auto& r) { (*r.mutable_params())["expect"] = "1"; }, StatusCode::INVALID_ARGUMENT, "expect");
  refused([](auto& r) { r.set_hosts(0, "web-9"); }, StatusCode::NOT_FOUND, "web-9");
  refused([](auto& r) { r.clear_hosts(); }, StatusCode::INVALID_ARGUMENT, "--host");
  refused([](auto& r) { r.set_incident("#9"); }, StatusCode::NOT_FOUND, "#9");
  EXPECT_TRUE(backend_.acts().empty()) << "nothing of this reached the engine";
}

TEST_F(Socket, NobodyApprovesWhatTheyAskedFor) {
  auto row = backend_.Find("command", "aabb" + std::string(28, '0'));
  v1::CommandEntry command;
  ASSERT_TRUE(row.ok() && command.ParseFromString(row->message));
  v1::CommandAct request;
  request.set_command("417.2");
  v1::ActReply reply;
  EXPECT_TRUE(Act(&v1::Operator::Stub::Approve, request, &reply).ok());
  command.set_requested_by("person:" + PersonOfUid(geteuid()));
  backend_.PutCommand(command);
  EXPECT_EQ(Act(&v1::Operator::Stub::Approve, request, &reply).error_code(),
            grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(backend_.acts().size(), 1u);
}

TEST_F(Socket, AHoldHasAReasonAndAnEnd) {
  v1::HoldRequest request;
  v1::ActReply reply;
  EXPECT_EQ(Act(&v1::Operator::Stub::SetHold, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_why("moving the database");
  request.set_for_us(2 * kHour);
  ASSERT_TRUE(Act(&v1::Operator::Stub::SetHold, request, &reply).ok());
  EXPECT_EQ(backend_.acts().at(0).hold().scope(), "all");
  EXPECT_EQ(backend_.acts().at(0).hold().until_us(), kNow + 2 * kHour);
}

TEST_F(Socket, ALargeRequestEndsThatCallAlone) {
  v1::IncidentAct request;
  request.set_incident("417");
  request.set_text(std::string(1 << 20, 'x'));
  v1::ActReply reply;
  EXPECT_EQ(Act(&v1::Operator::Stub::AddNote, request, &reply).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  request.set_text(std::string(5000, 'x'));
  EXPECT_EQ(Act(&v1::Operator::Stub::AddNote, request, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  request.set_text("short");
  EXPECT_TRUE(Act(&v1::Operator::Stub::AddNote, request, &reply).ok());
}

TEST_F(Socket, AnotherProcessAtThePathIsNotReplaced) {
  MapBackend other;
  const auto second = OperatorServer::Start(path_, other);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists) << second.status();
}

TEST_F(Socket, ALeftoverIsReplacedAndAFileIsNot) {
  server_.reset();
  EXPECT_NE(access(path_.c_str(), F_OK), 0) << "removed at the end";
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(fd);
  EXPECT_TRUE(OperatorServer::Start(path_, backend_).ok());
  ASSERT_TRUE(RealDisk().WriteWhole(path_, "precious").ok());
  EXPECT_EQ(OperatorServer::Start(path_, backend_).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(*RealDisk().Read(path_, 100), "precious");
}

// All descriptors that this process may have, for as long as it lives.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit low{256, before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (int fd : taken_) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

TEST_F(Socket, OutOfDescriptorsItWaitsWithoutSpinningAndTakesThemLater) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.copy(address.sun_path, sizeof address.sun_path - 1);
  {
    NoDescriptors none;
    ASSERT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << "into the backlog";
    ASSERT_TRUE(test::WaitFor([&] { return server_->waits() >= 1; }));
    const Micros begun = RealClock().Monotonic();
    const uint64_t before = server_->waits();
    ASSERT_TRUE(test::WaitFor([&] { return server_->waits() >= before + 3; }));
    EXPECT_GE(RealClock().Monotonic() - begun, 200 * kMillisecond) << "it tries a few times a second";
    EXPECT_EQ(server_->refused(), 0u);
  }
  pollfd ready{fd, POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 20'000), 1) << "the server greets the one that waited";
  close(fd);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  v1::Document document;
  const grpc::Status status = stub_->WhoAmI(&context, v1::WhoAmIRequest(), &document);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

}  // namespace
}  // namespace quell::operators
