// What the tree of a rule's expression tells: what it reads, how far back, and whether one host is enough.
// Internal to the room.
#pragma once
#include "controller/rules/rule_set.h"

namespace quell::rules {

// Fills metrics, instant, window and host_local from rule.expr, and tells the retention what it needs.
void Classify(Rule& rule, Micros lookback, series::Retention& retention);

}  // namespace quell::rules
