// /proc as a recorded tree: descriptors, sockets joined by inode, parents.
#include "agent/actions/proc.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/support/files.h"

namespace quell::agent {
namespace {

using testing::HasSubstr;

class ProcTree : public testing::Test {
 protected:
  void SetUp() override {
    test::WriteTree(
        tree_.path(),
        {{"42/status", "Name:\tnode\nPid:\t42\n"},
         {"42/wchan", "ep_poll"},
         {"42/stat", "42 (a) b (c) S 17 42 42 0 -1"},
         {"42/net/tcp",
          "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
          "   0: 0100007F:0BB8 00000000:0000 0A 00000000:00000081 00:00000000 00000000  1000        0 777 "
          "1\n"},
         {"42/net/tcp6",
          "  sl  local_address                         remote_address                        st\n"
          "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A "
          "00000000:00000000 00:00000000 00000000  1000        0 778 1\n"},
         {"42/net/unix",
          "Num       RefCount Protocol Flags    Type St Inode Path\n"
          "0000000000000000: 00000002 00000000 00010000 0001 01 779 /run/x.sock\n"}});
    tree_.MakeDirectory("42/fd");
    Link("0", "/dev/null");
    Link("3", "socket:[777]");
    Link("4", "socket:[778]");
    Link("5", "socket:[779]");
    Link("6", "socket:[780]");
    Link("7", "/var/log/app.log");
  }
  void Link(const std::string& fd, const std::string& target) {
    ASSERT_EQ(symlink(target.c_str(), tree_.Path("42/fd/" + fd).c_str()), 0);
  }
  test::TempDir tree_;
};

TEST_F(ProcTree, ListsDescriptorsAndJoinsSockets) {
  size_t total = 0;
  auto fds = ListProcFds(tree_.path(), 42, &total);
  ASSERT_TRUE(fds.ok()) << fds.status();
  EXPECT_EQ(total, 6u);
  EXPECT_EQ(fds->back().target, "/var/log/app.log");
  EXPECT_EQ(DescribeSockets(tree_.path(), 42, *fds),
            "fd 3 tcp 127.0.0.1:3000 0.0.0.0:0 LISTEN rx 129 tx 0\n"
            "fd 4 tcp6 [::1]:8080 [::]:0 LISTEN rx 0 tx 0\n"
            "fd 5 unix /run/x.sock\n"
            "fd 6 socket:[780]\n");
}

TEST_F(ProcTree, ReadsFilesAndParents) {
  EXPECT_EQ(*ReadProcFile(tree_.path(), 42, "wchan"), "ep_poll");
  EXPECT_THAT(std::string(ReadProcFile(tree_.path(), 42, "stack").status().message()),
              HasSubstr("No such file"));
  EXPECT_EQ(ParentPid(tree_.path(), 42), 17);
  EXPECT_EQ(ParentPid(tree_.path(), 43), 0);
}

TEST_F(ProcTree, SurvivesTablesThatAreNone) {
  tree_.Write("42/net/tcp", "x\n0: zz:zz 1 2 3 4 5 6 7 777\n\n0: 00:1 00:1 ZZ a:b c d e f 777\n");
  tree_.Write("42/net/unix", "1 2 3\n");
  size_t total = 0;
  auto fds = ListProcFds(tree_.path(), 42, &total);
  EXPECT_THAT(DescribeSockets(tree_.path(), 42, *fds), HasSubstr("fd 3 "));
}

}  // namespace
}  // namespace quell::agent
