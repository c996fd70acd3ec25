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

constexpr MetricKind G = MetricKind::kGauge, C = MetricKind::kCounter;
constexpr Provenance K = Provenance::kKernel;

}  // namespace

std::unique_ptr<Collector> MakeHostCollector(std::string root, Micros every, Clock& clock,
                                             Filesystems::StatFn stat) {
  return std::make_unique<HostCollector>(std::move(root), every, clock, std::move(stat));
}

const std::vector<MetricDescriptor>& HostMetrics() {
  static const auto& rows = *new std::vector<MetricDescriptor>{
      {"node_cpu_seconds_total", "seconds", C, K, "Time each processor spent in each mode."},
      {"node_cpu_guest_seconds_total", "seconds", C, K, "Time each processor spent running guests."},
      {"node_intr_total", "", C, K, "Interrupts served."},
      {"node_context_switches_total", "", C, K, "Context switches."},
      {"node_boot_time_seconds", "seconds", G, K, "When the host was booted, as Unix time."},
      {"node_forks_total", "", C, K, "Processes and threads created."},
      {"node_procs_running", "", G, K, "Processes that run or could."},
      {"node_procs_blocked", "", G, K, "Processes that wait for I/O."},
      {"node_load1", "", G, K, "Load average of one minute."},
      {"node_load5", "", G, K, "Load average of five minutes."},
      {"node_load15", "", G, K, "Load average of fifteen minutes."},
      {"node_memory_MemTotal_bytes", "bytes", G, K, "Memory that the kernel can use."},
      {"node_memory_MemFree_bytes", "bytes", G, K, "Memory that nothing uses."},
      {"node_memory_MemAvailable_bytes", "bytes", G, K, "Memory that could be had without swapping."},
      {"node_memory_Buffers_bytes", "bytes", G, K, "Memory in raw block buffers."},
      {"node_memory_Cached_bytes", "bytes", G, K, "Memory in the page cache."},
      {"node_memory_SwapTotal_bytes", "bytes", G, K, "Swap space."},
      {"node_memory_SwapFree_bytes", "bytes", G, K, "Swap space that is free."},
      {"node_memory_Dirty_bytes", "bytes", G, K, "Memory that waits to be written to disk."},
      {"node_memory_Writeback_bytes", "bytes", G, K, "Memory being written to disk."},
      {"node_memory_AnonPages_bytes", "bytes", G, K, "Memory of processes that no file backs."},
      {"node_memory_Shmem_bytes", "bytes", G, K, "Shared memory and tmpfs."},
      {"node_memory_Slab_bytes", "bytes", G, K, "Memory of the kernel's own structures."},
      {"node_memory_SReclaimable_bytes", "bytes", G, K, "The part of Slab that could be given back."},
      {"node_memory_CommitLimit_bytes", "bytes", G, K, "Memory that may be promised in all."},
      {"node_memory_Committed_AS_bytes", "bytes", G, K, "Memory that has been promised."},
      {"node_vmstat_oom_kill", "", C, K, "Processes killed for want of memory."},
      {"node_vmstat_pgfault", "", C, K, "Page faults."},
      {"node_vmstat_pgmajfault", "", C, K, "Page faults that had to read from disk."},
      {"node_vmstat_pswpin", "", C, K, "Pages swapped in."},
      {"node_vmstat_pswpout", "", C, K, "Pages swapped out."},
      {"node_disk_reads_completed_total", "", C, K, "Reads completed."},
      {"node_disk_read_bytes_total", "bytes", C, K, "Bytes read."},
      {"node_disk_read_time_seconds_total", "seconds", C, K, "Time spent by all reads."},
      {"node_disk_writes_completed_total", "", C, K, "Writes completed."},
      {"node_disk_written_bytes_total", "bytes", C, K, "Bytes written."},
      {"node_disk_write_time_seconds_total", "seconds", C, K, "Time spent by all writes."},
      {"node_disk_io_now", "", G, K, "Requests in progress."},
      {"node_disk_io_time_seconds_total", "seconds", C, K, "Time with at least one request in progress."},
      {"node_disk_io_time_weighted_seconds_total", "seconds", C, K, "Time spent by all requests."},
      {"node_filefd_allocated", "", G, K, "File handles in use."},
      {"node_filefd_maximum", "", G, K, "File handles that may be in use."},
      {"node_entropy_available_bits", "", G, K, "Entropy of the kernel's pool."},
      {"node_pressure_cpu_waiting_seconds_total", "seconds", C, K, "Time some task waited for a processor."},
      {"node_pressure_memory_waiting_seconds_total", "seconds", C, K, "Time some task waited for memory."},
      {"node_pressure_memory_stalled_seconds_total", "seconds", C, K, "Time all tasks waited for memory."},
      {"node_pressure_io_waiting_seconds_total", "seconds", C, K, "Time some task waited for I/O."},
      {"node_pressure_io_stalled_seconds_total", "seconds", C, K, "Time all tasks waited for I/O."},
      {"node_network_receive_bytes_total", "bytes", C, K, "Bytes received by interface."},
      {"node_network_receive_packets_total", "", C, K, "Packets received by interface."},
      {"node_network_receive_errs_total", "", C, K, "Receive errors by interface."},
      {"node_network_receive_drop_total", "", C, K, "Received packets dropped by interface."},
      {"node_network_receive_multicast_total", "", C, K, "Multicast packets received by interface."},
      {"node_network_transmit_bytes_total", "bytes", C, K, "Bytes sent by interface."},
      {"node_network_transmit_packets_total", "", C, K, "Packets sent by interface."},
      {"node_network_transmit_errs_total", "", C, K, "Send errors by interface."},
      {"node_network_transmit_drop_total", "", C, K, "Packets to be sent that were dropped, by interface."},
      {"node_network_up", "", G, K, "1 when the interface is operationally up."},
      {"node_network_carrier", "", G, K, "1 when the interface has a carrier."},
      {"node_network_mtu_bytes", "bytes", G, K, "The interface's largest packet."},
      {"node_network_speed_bytes", "bytes per second", G, K, "The interface's speed."},
      {"node_netstat_Tcp_CurrEstab", "", G, K, "TCP connections established."},
      {"node_netstat_Tcp_OutSegs", "", C, K, "TCP segments sent."},
      {"node_netstat_Tcp_RetransSegs", "", C, K, "TCP segments sent again."},
      {"node_netstat_Udp_RcvbufErrors", "", C, K, "UDP packets lost for a full receive buffer."},
      {"node_netstat_TcpExt_ListenOverflows", "", C, K, "Connections lost for a full accept queue."},
      {"node_netstat_TcpExt_ListenDrops", "", C, K, "Connections to listening sockets that were dropped."},
      {"node_sockstat_TCP_inuse", "", G, K, "TCP sockets in use."},
      {"node_sockstat_TCP_tw", "", G, K, "TCP sockets in TIME_WAIT."},
      {"node_sockstat_TCP_alloc", "", G, K, "TCP sockets allocated."},
      {"node_nf_conntrack_entries", "", G, K, "Connections tracked by netfilter."},
      {"node_nf_conntrack_entries_limit", "", G, K, "Connections that netfilter may track."},
      {"node_filesystem_device_error", "", G, K, "1 when the filesystem can't be asked or doesn't answer."},
      {"node_filesystem_readonly", "", G, K, "1 when the filesystem is mounted read-only."},
      {"node_filesystem_size_bytes", "bytes", G, K, "The filesystem's size."},
      {"node_filesystem_free_bytes", "bytes", G, K, "What is free for root."},
      {"node_filesystem_avail_bytes", "bytes", G, K, "What is free for everybody."},
      {"node_filesystem_files", "", G, K, "Inodes in all."},
      {"node_filesystem_files_free", "", G, K, "Inodes that are free."},
      {"node_time_seconds", "seconds", G, K, "The host's clock, as Unix time."},
      {"node_timex_maxerror_seconds", "seconds", G, K, "Largest error of the clock, as the kernel reckons."},
      {"node_timex_offset_seconds", "seconds", G, K, "Offset of the clock from its reference."},
      {"node_timex_sync_status", "", G, K, "1 when the clock is synchronised."},
      {"node_uname_info", "", G, K, "1; the kernel's release and the host's names are in its labels."}};
  return rows;
}

}  // namespace quell::agent
