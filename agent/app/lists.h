// What this build can measure and do, as text: the descriptors are the documentation. Pure.
#pragma once
#include <string>

namespace quell::agent {

std::string ListMetrics();  // one line per metric or event, by collector
std::string ListActions();  // one line per action, then one per parameter

}  // namespace quell::agent
