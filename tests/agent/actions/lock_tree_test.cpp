// Who waits for whom, from edges.
#include "agent/actions/lock_tree.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace quell::agent {
namespace {

std::string Number(int64_t pid) { return absl::StrCat(pid); }

TEST(LockTree, TellsRootsAndVictims) {
  const LockTree tree({{2, 1}, {3, 2}, {4, 2}, {4, 1}, {6, 5}, {7, 0}});
  EXPECT_EQ(tree.Roots(), (std::vector<int64_t>{1, 0, 5}));
  EXPECT_EQ(tree.Victims(1), 3u);
  EXPECT_EQ(tree.Victims(2), 2u);
  EXPECT_EQ(tree.Victims(4), 0u);
  EXPECT_EQ(tree.WaitsFor(4), 1);
  EXPECT_EQ(tree.WaitsFor(1), -1);
  EXPECT_EQ(tree.Draw(Number, 100), "1\n  2\n    3\n    4\n0\n  7\n5\n  6\n");
}

TEST(LockTree, BearsRingsAndEndsThem) {
  const LockTree tree({{1, 2}, {2, 1}, {3, 1}, {4, 4}});
  EXPECT_TRUE(tree.Roots().empty());
  EXPECT_EQ(tree.Victims(1), 2u);
  EXPECT_EQ(tree.Draw(Number, 100), "1\n  2\n  3\n");
}

TEST(LockTree, IsDrawnInSoManyLines) {
  std::vector<LockEdge> edges;
  for (int i = 1; i < 1000; ++i) edges.push_back({i + 1, i});
  const std::string text = LockTree(edges).Draw(Number, 10);
  EXPECT_NE(text.find("\nand 990 more\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace quell::agent
