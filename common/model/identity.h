// Stable keys that several rooms agree on. Pure.
#pragma once
#include <string>
#include <string_view>

#include "common/model/labels.h"

namespace quell {

// Signal key: "ALERTNAME/" + 16 hex digits of Labels::Hash() over all labels (alertname included).
std::string SignalKey(std::string_view alert, const Labels& labels);

}  // namespace quell
