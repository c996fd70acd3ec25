// From what a host sends to what the engine reads: evidence contents become blobs beside the chain, their
// hashes stay in the record. Pure.
#pragma once
#include <string>

#include "common/base/time.h"
#include "controller/app/input_queue.h"
#include "quell/v1/commands.pb.h"
#include "quell/v1/telemetry.pb.h"

namespace quell::app {

// `at` is the report's time as engine time.
EngineInput InputFromReport(const std::string& host_id, v1::CommandReport report, Micros at);
// A pushed event as a record; its samples go to the series, not to the log.
EngineInput InputFromEvent(const std::string& host_id, const std::string& host, const v1::Event& event,
                           Micros at);

}  // namespace quell::app
