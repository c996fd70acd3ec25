#include "agent/collectors/host/host.h"

#include <utility>

#include "agent/collectors/host/proc_file.h"
#include "agent/collectors/host/sections.h"
#include "agent/collectors/series_table.h"

namespace quell::agent {
namespace {

class HostCollector final : public Collector {
 public:
  HostCollector(std::string root, Micros every, Clock& clock, Filesystems::StatFn stat)
      : every_(every),
        stat_(root + "/proc/stat"),
        load_(root + "/proc/loadavg"),
        memory_(root + "/proc/meminfo"),
        vmstat_(root + "/proc/vmstat"),
        disks_(root + "/proc/diskstats"),
        network_(root + "/proc/net/dev"),
        snmp_(root + "/proc/net/snmp"),
        netstat_(root + "/proc/net/netstat"),
        sockstat_(root + "/proc/net/sockstat"),
        file_nr_(root + "/proc/sys/fs/file-nr"),
        entropy_(root + "/proc/sys/kernel/random/entropy_avail"),
        conntrack_(root + "/proc/sys/net/netfilter/nf_conntrack_count"),
        conntrack_max_(root + "/proc/sys/net/netfilter/nf_conntrack_max"),
        pressure_cpu_(root + "/proc/pressure/cpu"),
        pressure_memory_(root + "/proc/pressure/memory"),
        pressure_io_(root + "/proc/pressure/io"),
        interfaces_(root),
        filesystems_(root, clock, std::move(stat)) {}

  std::string_view name() const override { return "host"; }
  Micros every() const override { return every_; }
  Micros patience() const override { return every_ + 2 * kSecond; }

  absl::Status Collect(Clock& clock, CollectorSink& sink) override {
    const Micros now = clock.Monotonic();
    table_.Begin();
    const std::string_view stat = stat_.Read();
    PutProcessor(stat);
    PutMemoryAndDisks();
    PutNet();
    PutFilesystems();
    host::PutClock(clock.Wall(), table_);
    host::PutUname(table_);
    sink.Add(table_.Finish("node", now));
    if (stat_.error() != 0) return absl::UnavailableError("reading /proc/stat: it can't be read");
    return absl::OkStatus();
  }

 private:
  void PutProcessor(std::string_view stat) {
    host::PutStat(stat, table_);
    host::PutLoad(load_.Read(), table_);
    host::PutPressure(pressure_cpu_.Read(), "node_pressure_cpu_waiting_seconds_total", "", table_);
    host::PutPressure(pressure_memory_.Read(), "node_pressure_memory_waiting_seconds_total",
                      "node_pressure_memory_stalled_seconds_total", table_);
    host::PutPressure(pressure_io_.Read(), "node_pressure_io_waiting_seconds_total",
                      "node_pressure_io_stalled_seconds_total", table_);
  }
  void PutMemoryAndDisks() {
    host::PutMemory(memory_.Read(), table_);
    host::PutVmstat(vmstat_.Read(), table_);
    host::PutDisks(disks_.Read(), table_);
    host::PutFileNr(file_nr_.Read(), table_);
    host::PutNumber(entropy_.Read(), "node_entropy_available_bits", table_);
  }
  void PutNet() {
    host::PutNetwork(network_.Read(), table_);
    host::PutNetstat(snmp_.Read(), table_);
    host::PutNetstat(netstat_.Read(), table_);
    host::PutSockstat(sockstat_.Read(), table_);
    host::PutNumber(conntrack_.Read(), "node_nf_conntrack_entries", table_);
    host::PutNumber(conntrack_max_.Read(), "node_nf_conntrack_entries_limit", table_);
    interfaces_.Put(table_);
  }
  void PutFilesystem(const Filesystem& fs) {
    const auto put = [&](std::string_view metric, double value) {
      table_.Put(metric, {{"device", fs.device}, {"fstype", fs.fstype}, {"mountpoint", fs.mountpoint}},
                 value);
    };
    put("node_filesystem_device_error", fs.error ? 1 : 0);
    put("node_filesystem_readonly", fs.readonly ? 1 : 0);
    if (fs.error) return;
    put("node_filesystem_size_bytes", fs.size);
    put("node_filesystem_free_bytes", fs.free);
    put("node_filesystem_avail_bytes", fs.avail);
    put("node_filesystem_files", fs.files);
    put("node_filesystem_files_free", fs.files_free);
  }
  void PutFilesystems() {
    for (const Filesystem& fs : filesystems_.Latest()) PutFilesystem(fs);
  }

  const Micros every_;
  ProcFile stat_, load_, memory_, vmstat_, disks_, network_, snmp_, netstat_, sockstat_, file_nr_, entropy_,
      conntrack_, conntrack_max_, pressure_cpu_, pressure_memory_, pressure_io_;
  host::NetClass interfaces_;
  Filesystems filesystems_;
  SeriesTable table_;
};

}  // namespace

std::unique_ptr<Collector> MakeHostCollector(std::string root, Micros every, Clock& clock,
                                             Filesystems::StatFn stat) {
  return std::make_unique<HostCollector>(std::move(root), every, clock, std::move(stat));
}

}  // namespace quell::agent
