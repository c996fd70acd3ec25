// The document that a webhook receiver posts: Alertmanager's webhook format, version "4"
// (prometheus/alertmanager notify/webhook, template.Data), with our incident under `quell`. Pure.
#pragma once
#include <string>
#include <string_view>

#include "quell/v1/state.pb.h"

namespace quell::receivers {

// At most 100 alerts; `truncatedAlerts` counts the rest. Invalid UTF-8 becomes U+FFFD.
std::string WebhookBody(const v1::Notice& notice, std::string_view receiver, std::string_view installation);

}  // namespace quell::receivers
