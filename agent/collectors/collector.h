// A collector measures one thing. It runs on a thread of its own (runner.h), so that one that hangs stops no
// other. Collectors read the machine under a root directory ("" in production; a recorded directory in
// tests).
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/model/labels.h"
#include "common/model/metric.h"
#include "quell/v1/telemetry.pb.h"

namespace quell::agent {

struct Series {
  std::string name;
  Labels labels;  // without __name__, instance, job
  friend bool operator==(const Series&, const Series&) = default;
};

// Shared because collector, spool and encoder all keep the same immutable list; a new list means a new
// layout.
using SeriesList = std::shared_ptr<const std::vector<Series>>;

struct Collection {
  std::string collector;  // becomes the label job
  SeriesList series;
  std::vector<double> values;  // one per series; the stale marker where one has ended
  Micros monotonic = 0;
};

// Takes what collectors produce. Any thread; never blocks on the network.
class CollectorSink {
 public:
  virtual ~CollectorSink() = default;
  virtual void Add(Collection collection) = 0;
  // seq, wall_us, monotonic_us and boot_id are filled in when they are zero.
  virtual void Add(v1::Event event) = 0;
};

class Collector {
 public:
  virtual ~Collector() = default;
  virtual std::string_view name() const = 0;
  virtual Micros every() const = 0;
  // How long one Collect may take before it is reported as hanging.
  virtual Micros patience() const { return every(); }
  // Called each `every()`, or as soon as the last call has returned when that took longer.
  virtual absl::Status Collect(Clock& clock, CollectorSink& sink) = 0;
};

// What a collector can produce: one row in registry.cpp.
struct CollectorRow {
  std::string_view name;
  std::string_view help;
  std::vector<MetricDescriptor> metrics;
};
const std::vector<CollectorRow>& CollectorRegistry();

}  // namespace quell::agent
