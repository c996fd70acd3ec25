// Making receivers from YAML as controller.yaml has them, and a notice to send.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "common/config/yaml.h"
#include "controller/receivers/receiver.h"

namespace quell::receivers {

inline constexpr char kInstallation[] = "7e0c44de-8f4b-4e0e-9d5a-3f7a4c1d2b30";

// The receiver of a flow map, "{type: email, …}"; nullptr with the mistakes in *mistakes.
inline std::unique_ptr<ReceiverPlugin> Make(const std::string& yaml, std::string* mistakes = nullptr) {
  config::Problems problems;
  const config::YamlNode node = config::ParseYaml("controller.yaml", yaml, problems);
  const config::YamlNode* type = node.Find("type");
  const ReceiverRow* row = FindReceiver(type != nullptr ? type->scalar : "");
  EXPECT_NE(row, nullptr) << yaml;
  auto plugin = row != nullptr ? row->make("oncall", node, problems) : nullptr;
  EXPECT_EQ(plugin == nullptr, !problems.ok()) << problems.ToString();
  if (mistakes != nullptr) {
    *mistakes = problems.ToString();
  } else {
    EXPECT_TRUE(problems.ok()) << problems.ToString();
  }
  return plugin;
}

inline v1::Notice DeclaredNotice() {
  v1::Notice notice;
  notice.set_key("INC-20261123-031207/oncall/declared");
  notice.set_incident("INC-20261123-031207");
  notice.set_receiver("oncall");
  notice.set_transition("declared");
  notice.set_page(true);
  notice.set_severity(v1::P1);
  notice.set_subject("[P1] #417 client-portal hangs");
  notice.set_text("The portal hangs on web-1.\nquell ack 417\n");
  v1::Signal* signal = notice.add_signals();
  signal->set_key("AppHung/00112233445566aa");
  signal->set_alert("AppHung");
  signal->set_state(v1::FIRING);
  signal->set_active_since_us(1'795'000'000 * kSecond);
  for (const auto& [name, value] : {std::pair{"app", "portal"}, {"instance", "web-1"}}) {
    auto* label = signal->add_labels();
    label->set_name(name);
    label->set_value(value);
  }
  return notice;
}

}  // namespace quell::receivers
