// The collector `host` (job "node"): CPU, load, memory, filesystems, disks, network, pressure, clock, with
// node_exporter's names and labels. Reads under a root directory; files stay open and are parsed by hand.
#pragma once
#include <memory>
#include <string>

#include "agent/collectors/collector.h"
#include "agent/collectors/host/filesystems.h"

namespace quell::agent {

std::unique_ptr<Collector> MakeHostCollector(std::string root, Micros every, Clock& clock,
                                             Filesystems::StatFn stat = nullptr);

}  // namespace quell::agent
