// HostPorts: carries what agents send to the thread of the host's shard and to the engine. Owned by main;
// called by gRPC's threads, which it never makes wait.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "controller/app/input_queue.h"
#include "controller/app/shards.h"
#include "controller/ingest/ports.h"
#include "controller/ingest/registry.h"

namespace quell::app {

class HostPorts final : public ingest::ShardRouter, public ingest::ShardPort {
 public:
  HostPorts(Shards& shards, ingest::SessionRegistry& registry, PostFunction post)
      : shards_(shards), registry_(registry), post_(std::move(post)) {}

  ingest::ShardPort& Of(const std::string&) override { return *this; }

  bool Opened(const ingest::HostRecord& host, uint64_t session, const v1::Hello& hello,
              const std::string& history, Micros now) override;
  void Closed(const std::string& host_id, uint64_t session, Micros now) override;
  bool Heartbeat(const std::string& host_id, const v1::Heartbeat& heartbeat, Micros now) override;
  void Goodbye(const std::string& host_id, const std::string& why, Micros now) override;
  bool Samples(const std::string& host_id, std::vector<ingest::SampleBatch> batches) override;
  bool Events(const ingest::HostRecord& host, std::vector<ingest::TimedEvent> events,
              uint64_t through) override;
  bool Reports(const ingest::HostRecord& host, std::vector<ingest::TimedReport> reports,
               uint64_t through) override;
  void Refused(const ingest::HostRecord& host, const std::string& why, Micros now) override;

 private:
  Shards& shards_;
  ingest::SessionRegistry& registry_;
  const PostFunction post_;
};

}  // namespace quell::app
