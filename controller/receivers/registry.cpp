#include "controller/receivers/rows.h"

namespace quell::receivers {

const std::vector<ReceiverRow>& ReceiverRegistry() {
  static const auto& rows = *new std::vector<ReceiverRow>{
      {"email", "a mail to one or more addresses by SMTP", &MakeEmail},
      {"webhook", "a JSON document in Alertmanager's webhook format by HTTPS POST", &MakeWebhook},
  };
  return rows;
}

const ReceiverRow* FindReceiver(std::string_view type) {
  for (const ReceiverRow& row : ReceiverRegistry()) {
    if (row.type == type) return &row;
  }
  return nullptr;
}

void ReadShared(config::MapReader& map) {
  std::string type;
  bool wakes = false;
  map.String("type", &type, config::kRequired);
  map.Bool("wakes", &wakes);
}

void ReadSecret(config::MapReader& map, const config::YamlNode& node, config::Problems& problems,
                std::string_view key, config::Secret& out) {
  std::string path;
  map.String(key, &path);
  if (path.empty()) return;
  auto secret = config::ReadSecretFile(path);
  if (secret.ok()) {
    out = *std::move(secret);
  } else {
    problems.Add(node.Find(key)->At(std::string(secret.status().message())));
  }
}

}  // namespace quell::receivers
