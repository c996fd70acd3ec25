// Another user's process at the operators' socket. Runs as root.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "controller/operator/service.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::operators {
namespace {

constexpr uid_t kNobody = 65534;

// In a child that became nobody: what the first byte read at the socket is. 0: closed by the other side.
int AsNobody(const std::string& path) {
  const pid_t child = fork();
  if (child == 0) {
    if (setgid(kNobody) != 0 || setuid(kNobody) != 0) _exit(100);
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      _exit(errno == EACCES ? 101 : 102);
    char byte = 0;
    const ssize_t n = read(fd, &byte, 1);
    _exit(n == 1 ? 103 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(OperatorSocketAsRoot, X03_AnotherUserIsRefusedBeforeAByteIsRead) {
  ASSERT_EQ(geteuid(), 0u) << "this test runs as root";
  std::string directory = ::testing::TempDir() + "quell-XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  ASSERT_EQ(chmod(directory.c_str(), 0755), 0);
  const std::string path = directory + "/operator.sock";
  MapBackend backend;
  const auto server = OperatorServer::Start(path, backend);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(AsNobody(path), 101) << "the file's mode alone keeps them out";
  // Even where the file can be opened, the kernel's word about the peer decides.
  ASSERT_EQ(chmod(path.c_str(), 0666), 0);
  EXPECT_EQ(AsNobody(path), 0) << "closed without an answer";
  EXPECT_EQ((*server)->refused(), 1u);
  const auto stub =
      v1::Operator::NewStub(grpc::CreateChannel("unix:" + path, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  v1::Document document;
  EXPECT_TRUE(stub->WhoAmI(&context, v1::WhoAmIRequest(), &document).ok()) << "all else goes on";
}

}  // namespace
}  // namespace quell::operators
