// Loads all that a controller reads before it starts: controller.yaml, rule files, policies, and the
// catalogue.yaml beside controller.yaml, where there is one. Every mistake of every file is told at once;
// nothing half-loaded is returned. Called by main.
#pragma once
#include <memory>
#include <string>

#include "common/config/yaml.h"
#include "controller/app/config.h"
#include "controller/catalogue/catalogue.h"
#include "controller/rules/rule_set.h"

namespace quell::app {

struct Loaded {
  ControllerConfig config;  // with policies and alerts
  std::shared_ptr<const rules::RuleSet> rules;
  std::shared_ptr<const catalogue::Catalogue> catalogue;  // nullptr: there is none, or nothing in it
};

// Not to be used when `problems` got anything.
Loaded LoadAll(const std::string& path, config::Problems& problems);

}  // namespace quell::app
