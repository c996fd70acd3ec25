// Each action of the protocol has its row, and its row says the name that the message has.
#include <gtest/gtest.h>

#include "agent/actions/action.h"
#include "agent/executor/action_info.h"
#include "quell/v1/options.pb.h"

namespace quell::agent {
namespace {

TEST(ActionRegistry, HasEveryActionOfTheProtocolUnderItsName) {
  const auto* oneof = v1::Action::descriptor()->FindOneofByName("kind");
  ASSERT_EQ(static_cast<size_t>(oneof->field_count()), ActionRegistry().size());
  for (int i = 0; i < oneof->field_count(); ++i) {
    const auto kind = static_cast<v1::Action::KindCase>(oneof->field(i)->number());
    const ActionRow* row = FindAction(kind);
    ASSERT_NE(row, nullptr) << oneof->field(i)->name();
    EXPECT_EQ(row->name, oneof->field(i)->message_type()->options().GetExtension(v1::action_name));
    EXPECT_NE(row->make(), nullptr);
  }
  EXPECT_EQ(FindAction(v1::Action::KIND_NOT_SET), nullptr);
  EXPECT_EQ(ActionNames().size(), ActionRegistry().size());
}

TEST(ActionInfo, DescribesAnActionByItsOptions) {
  v1::Action action;
  action.mutable_pm2_restart()->set_user("deploy");
  action.mutable_pm2_restart()->set_app("portal");
  const ActionInfo info = DescribeAction(action);
  EXPECT_EQ(info.name, "pm2.restart");
  EXPECT_EQ(info.user, "deploy");
  EXPECT_EQ(info.target, (std::vector<std::string>{"deploy", "portal"}));
  EXPECT_TRUE(info.ends_process);
  EXPECT_TRUE(CheckParameters(action).ok());
  action.mutable_pm2_restart()->clear_app();
  EXPECT_EQ(CheckParameters(action).message(), "parameter app is missing");
  EXPECT_FALSE(CheckParameters(v1::Action()).ok());
}

}  // namespace
}  // namespace quell::agent
