// What the receivers' registry is made of: each receiver's maker, and the keys that they share.
#pragma once
#include <memory>
#include <string_view>

#include "common/config/secret.h"
#include "common/config/yaml.h"
#include "controller/receivers/receiver.h"

namespace quell::receivers {

std::unique_ptr<ReceiverPlugin> MakeEmail(std::string_view name, const config::YamlNode& node,
                                          config::Problems& problems);
std::unique_ptr<ReceiverPlugin> MakeWebhook(std::string_view name, const config::YamlNode& node,
                                            config::Problems& problems);

// `type` and `wakes`: read by whoever loads the configuration.
void ReadShared(config::MapReader& map);
// A secret by the name of its file; a file that cannot be read, or that others can, is a mistake at the key.
void ReadSecret(config::MapReader& map, const config::YamlNode& node, config::Problems& problems,
                std::string_view key, config::Secret& out);

}  // namespace quell::receivers
