// RecordingSink: keeps what collectors produce. Any thread.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "agent/collectors/collector.h"
#include "common/model/sample.h"

namespace quell::test {

class RecordingSink final : public agent::CollectorSink {
 public:
  void Add(agent::Collection collection) override {
    absl::MutexLock lock(&mutex_);
    EXPECT_EQ(collection.series->size(), collection.values.size());
    latest_[collection.collector] = collection;
    ++collections_[collection.collector];
  }
  void Add(v1::Event event) override {
    absl::MutexLock lock(&mutex_);
    events_.push_back(std::move(event));
  }
  agent::Collection Latest(const std::string& collector) {
    absl::MutexLock lock(&mutex_);
    return latest_[collector];
  }
  int Collections(const std::string& collector) {
    absl::MutexLock lock(&mutex_);
    return collections_[collector];
  }
  std::vector<v1::Event> Events() {
    absl::MutexLock lock(&mutex_);
    return events_;
  }
  int EventsOf(std::string_view kind, std::string_view app = "") {
    int n = 0;
    for (const v1::Event& e : Events()) {
      if (e.kind() != kind) continue;
      bool match = app.empty();
      for (const v1::Label& l : e.labels()) match = match || (l.name() == "app" && l.value() == app);
      n += match;
    }
    return n;
  }
  // Live series of the latest collection as text: name{labels} -> value.
  std::map<std::string, double> Values(const std::string& collector) {
    const agent::Collection c = Latest(collector);
    std::map<std::string, double> out;
    if (c.series == nullptr) return out;
    for (size_t i = 0; i < c.values.size(); ++i) {
      if (IsStale(c.values[i])) continue;
      Labels labels = (*c.series)[i].labels;
      const std::string text = labels.empty() ? "" : labels.ToString();
      const bool added = out.emplace((*c.series)[i].name + text, c.values[i]).second;
      EXPECT_TRUE(added) << "twice: " << (*c.series)[i].name << text;
    }
    return out;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, agent::Collection> latest_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> collections_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Event> events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quell::test
