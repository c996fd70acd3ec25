// The collector `changes`: releases, git checkouts, configuration files and packages, told as events when
// they change (watches.h), and quell_changes_dropped_total. Reads under a root directory.
//
// Bounds: 30 events a minute; more are dropped and counted. Each watch states its own. What was seen last
// lies in `memory_file` ("": nowhere), so a change while the agent was away is told when it is back, with the
// time that the kernel or the log gives it.
#pragma once
#include <memory>
#include <string>

#include "agent/collectors/collector.h"
#include "agent/collectors/config.h"
#include "common/base/disk.h"

namespace quell::agent {

std::unique_ptr<Collector> MakeChangesCollector(std::string root, ChangesConfig config, Disk& disk,
                                                std::string memory_file);

}  // namespace quell::agent
