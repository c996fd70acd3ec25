// A receiver delivers one notice to one place. Owned by the outbox thread that calls it; may block up to its
// deadline.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/config/yaml.h"
#include "quell/v1/state.pb.h"

namespace quell::receivers {

struct Delivery {
  bool sent = false;
  bool permanent = false;  // trying again is useless
  bool ambiguous = false;  // it may have arrived: the answer was lost
  std::string error;
  Micros retry_after = 0;  // the far end's wish, a duration
};

class ReceiverPlugin {
 public:
  virtual ~ReceiverPlugin() = default;
  // `installation` and the notice's key make the message id that stays the same over repeats.
  virtual Delivery Send(const v1::Notice& notice, std::string_view installation, Micros deadline) = 0;
};

struct ReceiverRow {
  std::string_view type;  // "email", "webhook"
  std::string_view help;
  // Reads the receiver's own keys from controller.yaml; mistakes go to problems, nullptr then.
  std::unique_ptr<ReceiverPlugin> (*make)(std::string_view name, const config::YamlNode& node,
                                          config::Problems& problems);
};
const std::vector<ReceiverRow>& ReceiverRegistry();
const ReceiverRow* FindReceiver(std::string_view type);

}  // namespace quell::receivers
