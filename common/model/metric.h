// Descriptors: what a metric or an event is, and who could have made it up (the design's trust table).
// Registries hold them in explicit tables; `quell-agent --list-metrics` prints them. Constant data, any
// thread.
#pragma once
#include <span>
#include <string_view>

namespace quell {

enum class MetricKind { kGauge, kCounter, kEvent };

// Who could have made a value up. Ordered from the hardest to forge to the easiest.
enum class Provenance {
  kKernel,  // the kernel's own counters
  kDaemon,  // PM2's or PostgreSQL's own views
  kRemote,  // a probe from another host
  kProbe,   // a probe by the agent of the app's own host: the app can make it up, about itself alone
  kApp,     // the app says so
  kText,    // logs, git, annotations
};
std::string_view ProvenanceName(Provenance p);  // "kernel", …

struct MetricDescriptor {
  std::string_view name;
  std::string_view unit;  // "bytes", "seconds", "" …
  MetricKind kind;
  Provenance provenance;
  std::string_view help;  // one sentence
};

}  // namespace quell
