#include "agent/collectors/changes/changes.h"

#include <utility>

#include "agent/collectors/changes/watches.h"
#include "agent/collectors/series_table.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kMostEvents = 30;          // a minute
constexpr Micros kPatience = 30 * kSecond;  // a file may lie on a slow filesystem

class ChangesCollector final : public Collector {
 public:
  ChangesCollector(std::string root, ChangesConfig config, Disk& disk, std::string memory_file)
      : root_(std::move(root)), config_(std::move(config)), memory_(disk, std::move(memory_file)) {}

  std::string_view name() const override { return "changes"; }
  Micros every() const override { return config_.every; }
  Micros patience() const override { return kPatience; }

  // What is told goes out before it is remembered: a crash between the two tells it twice, never not at all.
  absl::Status Collect(Clock& clock, CollectorSink& sink) override {
    const ChangeContext context{root_, memory_, clock.Wall(),
                                [&](const ChangeEvent& event) { Tell(event, clock, sink); }};
    absl::Status first;
    for (const ChangePlace& place : config_.releases) first.Update(LookAtReleases(place, context));
    for (const ChangePlace& place : config_.git) first.Update(LookAtGit(place, context));
    for (const ChangePlace& place : config_.files)
      first.Update(Annotate(LookAtFiles(place, context), place.path));
    if (config_.packages) first.Update(LookAtPackages(context));
    first.Update(memory_.Save());
    table_.Begin();
    table_.Put("quell_changes_dropped_total", {}, static_cast<double>(dropped_));
    sink.Add(table_.Finish("changes", clock.Monotonic()));
    return first;
  }

 private:
  void Tell(const ChangeEvent& event, Clock& clock, CollectorSink& sink) {
    const Micros now = clock.Monotonic();
    if (told_ == 0 || now - since_ >= kMinute) since_ = now, told_ = 0;
    if (told_ >= kMostEvents) {
      ++dropped_;
      return;
    }
    ++told_;
    sink.Add(MakeEvent(event, clock));
  }

  const std::string root_;
  const ChangesConfig config_;
  KeyMemory memory_;
  SeriesTable table_;
  Micros since_ = 0;  // of the minute that is counted
  size_t told_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace

std::unique_ptr<Collector> MakeChangesCollector(std::string root, ChangesConfig config, Disk& disk,
                                                std::string memory_file) {
  return std::make_unique<ChangesCollector>(std::move(root), std::move(config), disk, std::move(memory_file));
}

}  // namespace quell::agent
