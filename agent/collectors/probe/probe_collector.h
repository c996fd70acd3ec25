// The collector of one probe: its series each `every` (job "probe", blackbox_exporter's names, labels probe,
// and user and app from `about`), and an event when it begins or ceases to succeed.
#pragma once
#include <memory>
#include <vector>

#include "agent/collectors/collector.h"
#include "agent/collectors/config.h"

namespace quell::agent {

std::unique_ptr<Collector> MakeProbeCollector(ProbeConfig config);

}  // namespace quell::agent
