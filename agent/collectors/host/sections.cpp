#include "agent/collectors/host/sections.h"

#include <dirent.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <utility>

namespace quell::agent::host {
namespace {

struct Named {
  std::string_view key;
  std::string_view metric;
};

template <size_t N>
const Named* FindNamed(const Named (&table)[N], std::string_view key) {
  for (const Named& row : table)
    if (row.key == key) return &row;
  return nullptr;
}

double TicksPerSecond() {
  static const double ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  return ticks;
}

constexpr std::string_view kModes[] = {"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};

// "cpu3 10 20 …": jiffies by mode, then guest and guest_nice (which are in user and nice as well).
void PutCpu(std::string_view cpu, std::string_view rest, SeriesTable& table) {
  double value = 0;
  for (std::string_view mode : kModes) {
    if (!ParseNumber(NextWord(&rest), &value)) return;
    table.Put("node_cpu_seconds_total", {{"cpu", cpu}, {"mode", mode}}, value / TicksPerSecond());
  }
  for (std::string_view mode : {"user", "nice"}) {
    if (!ParseNumber(NextWord(&rest), &value)) return;
    table.Put("node_cpu_guest_seconds_total", {{"cpu", cpu}, {"mode", mode}}, value / TicksPerSecond());
  }
}

constexpr Named kStat[] = {{"intr", "node_intr_total"},
                           {"ctxt", "node_context_switches_total"},
                           {"btime", "node_boot_time_seconds"},
                           {"processes", "node_forks_total"},
                           {"procs_running", "node_procs_running"},
                           {"procs_blocked", "node_procs_blocked"}};

constexpr Named kMemory[] = {{"MemTotal:", "node_memory_MemTotal_bytes"},
                             {"MemFree:", "node_memory_MemFree_bytes"},
                             {"MemAvailable:", "node_memory_MemAvailable_bytes"},
                             {"Buffers:", "node_memory_Buffers_bytes"},
                             {"Cached:", "node_memory_Cached_bytes"},
                             {"SwapTotal:", "node_memory_SwapTotal_bytes"},
                             {"SwapFree:", "node_memory_SwapFree_bytes"},
                             {"Dirty:", "node_memory_Dirty_bytes"},
                             {"Writeback:", "node_memory_Writeback_bytes"},
                             {"AnonPages:", "node_memory_AnonPages_bytes"},
                             {"Shmem:", "node_memory_Shmem_bytes"},
                             {"Slab:", "node_memory_Slab_bytes"},
                             {"SReclaimable:", "node_memory_SReclaimable_bytes"},
                             {"CommitLimit:", "node_memory_CommitLimit_bytes"},
                             {"Committed_AS:", "node_memory_Committed_AS_bytes"}};

constexpr Named kVmstat[] = {{"oom_kill", "node_vmstat_oom_kill"},
                             {"pgfault", "node_vmstat_pgfault"},
                             {"pgmajfault", "node_vmstat_pgmajfault"},
                             {"pswpin", "node_vmstat_pswpin"},
                             {"pswpout", "node_vmstat_pswpout"}};

constexpr Named kNetstat[] = {{"Tcp:CurrEstab", "node_netstat_Tcp_CurrEstab"},
                              {"Tcp:OutSegs", "node_netstat_Tcp_OutSegs"},
                              {"Tcp:RetransSegs", "node_netstat_Tcp_RetransSegs"},
                              {"Udp:RcvbufErrors", "node_netstat_Udp_RcvbufErrors"},
                              {"TcpExt:ListenOverflows", "node_netstat_TcpExt_ListenOverflows"},
                              {"TcpExt:ListenDrops", "node_netstat_TcpExt_ListenDrops"}};

// Columns of /proc/diskstats after the name (Documentation/admin-guide/iostats.rst); sectors are 512 bytes.
struct DiskColumn {
  std::string_view metric;
  double factor;
};
constexpr DiskColumn kDisk[] = {{"node_disk_reads_completed_total", 1},
                                {"", 0},
                                {"node_disk_read_bytes_total", 512},
                                {"node_disk_read_time_seconds_total", 0.001},
                                {"node_disk_writes_completed_total", 1},
                                {"", 0},
                                {"node_disk_written_bytes_total", 512},
                                {"node_disk_write_time_seconds_total", 0.001},
                                {"node_disk_io_now", 1},
                                {"node_disk_io_time_seconds_total", 0.001},
                                {"node_disk_io_time_weighted_seconds_total", 0.001}};

// Columns of /proc/net/dev after the name.
constexpr std::string_view kNetwork[] = {"node_network_receive_bytes_total",
                                         "node_network_receive_packets_total",
                                         "node_network_receive_errs_total",
                                         "node_network_receive_drop_total",
                                         "",
                                         "",
                                         "",
                                         "node_network_receive_multicast_total",
                                         "node_network_transmit_bytes_total",
                                         "node_network_transmit_packets_total",
                                         "node_network_transmit_errs_total",
                                         "node_network_transmit_drop_total"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// node_exporter's exclusion: ram, loop and floppy devices, and partitions (sda1, vdb2, nvme0n1p3).
bool IsWholeDisk(std::string_view name) {
  for (std::string_view prefix : {"ram", "loop", "fd"})
    if (name.starts_with(prefix) && name.size() > prefix.size() && IsDigit(name[prefix.size()])) return false;
  if (!IsDigit(name.back())) return true;
  std::string_view stem = name;
  while (!stem.empty() && IsDigit(stem.back())) stem.remove_suffix(1);
  if (name.starts_with("nvme")) return stem.back() != 'p';
  const bool scsi = stem.size() >= 3 && (stem.starts_with("sd") || stem.starts_with("hd") ||
                                         stem.starts_with("vd") || stem.starts_with("xvd"));
  return !scsi;
}

}  // namespace

void PutStat(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    const std::string_view key = NextWord(&line);
    if (key.starts_with("cpu")) {
      if (key.size() > 3) PutCpu(key.substr(3), line, table);
    } else if (const Named* row = FindNamed(kStat, key); row && ParseNumber(NextWord(&line), &value)) {
      table.Put(row->metric, {}, value);
    }
  }
}

void PutLoad(std::string_view text, SeriesTable& table) {
  double value = 0;
  for (std::string_view metric : {"node_load1", "node_load5", "node_load15"})
    if (ParseNumber(NextWord(&text), &value)) table.Put(metric, {}, value);
}

void PutMemory(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    const Named* row = FindNamed(kMemory, NextWord(&line));
    if (row && ParseNumber(NextWord(&line), &value)) table.Put(row->metric, {}, value * 1024);
  }
}

void PutVmstat(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    const Named* row = FindNamed(kVmstat, NextWord(&line));
    if (row && ParseNumber(NextWord(&line), &value)) table.Put(row->metric, {}, value);
  }
}

void PutDisks(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    NextWord(&line), NextWord(&line);  // major, minor
    const std::string_view device = NextWord(&line);
    if (device.empty() || !IsWholeDisk(device)) continue;
    for (const DiskColumn& column : kDisk) {
      if (!ParseNumber(NextWord(&line), &value)) break;
      if (!column.metric.empty()) table.Put(column.metric, {{"device", device}}, value * column.factor);
    }
  }
}

void PutNetwork(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    const size_t colon = line.find(':');
    if (colon == line.npos) continue;  // the two head lines
    std::string_view front = line.substr(0, colon);
    const std::string_view device = NextWord(&front);
    line.remove_prefix(colon + 1);
    for (std::string_view metric : kNetwork) {
      if (!ParseNumber(NextWord(&line), &value)) break;
      if (!metric.empty()) table.Put(metric, {{"device", device}}, value);
    }
  }
}

// Pairs of lines: "Tcp: Name Name …" and "Tcp: 1 2 …".
void PutNetstat(std::string_view text, SeriesTable& table) {
  Scanner scanner(text);
  char key[64];
  double value = 0;
  for (std::string_view names, values; scanner.NextLine(&names) && scanner.NextLine(&values);) {
    const std::string_view group = NextWord(&names);
    NextWord(&values);
    for (std::string_view name = NextWord(&names); !name.empty(); name = NextWord(&names)) {
      const std::string_view word = NextWord(&values);
      if (group.size() + name.size() > sizeof(key)) continue;
      std::copy(name.begin(), name.end(), std::copy(group.begin(), group.end(), key));
      const Named* row = FindNamed(kNetstat, std::string_view(key, group.size() + name.size()));
      if (row && ParseNumber(word, &value)) table.Put(row->metric, {}, value);
    }
  }
}

void PutSockstat(std::string_view text, SeriesTable& table) {
  constexpr Named kTcp[] = {{"inuse", "node_sockstat_TCP_inuse"},
                            {"tw", "node_sockstat_TCP_tw"},
                            {"alloc", "node_sockstat_TCP_alloc"}};
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    if (NextWord(&line) != "TCP:") continue;
    for (std::string_view name = NextWord(&line); !name.empty(); name = NextWord(&line)) {
      const Named* row = FindNamed(kTcp, name);
      if (ParseNumber(NextWord(&line), &value) && row) table.Put(row->metric, {}, value);
    }
  }
}

void PutFileNr(std::string_view text, SeriesTable& table) {
  std::string_view line;
  if (!Scanner(text).NextLine(&line)) return;
  double allocated = 0, unused = 0, most = 0;
  if (!ParseNumber(NextWord(&line), &allocated) || !ParseNumber(NextWord(&line), &unused)) return;
  if (!ParseNumber(NextWord(&line), &most)) return;
  table.Put("node_filefd_allocated", {}, allocated);
  table.Put("node_filefd_maximum", {}, most);
}

// "some avg10=… total=12304622": total is in µs.
void PutPressure(std::string_view text, std::string_view some, std::string_view full, SeriesTable& table) {
  Scanner scanner(text);
  double value = 0;
  for (std::string_view line; scanner.NextLine(&line);) {
    const std::string_view kind = NextWord(&line);
    const std::string_view metric = kind == "some" ? some : kind == "full" ? full : "";
    const size_t total = line.rfind("total=");
    if (metric.empty() || total == line.npos || !ParseNumber(line.substr(total + 6), &value)) continue;
    table.Put(metric, {}, value / 1e6);
  }
}

void PutNumber(std::string_view text, std::string_view metric, SeriesTable& table) {
  std::string_view line;
  double value = 0;
  if (Scanner(text).NextLine(&line) && ParseNumber(NextWord(&line), &value)) table.Put(metric, {}, value);
}

void PutClock(Micros wall, SeriesTable& table) {
  table.Put("node_time_seconds", {}, static_cast<double>(wall) / 1e6);
  timex t{};
  const int state = adjtimex(&t);
  if (state < 0) return;
  const double unit = (t.status & STA_NANO) != 0 ? 1e9 : 1e6;
  table.Put("node_timex_maxerror_seconds", {}, static_cast<double>(t.maxerror) / 1e6);
  table.Put("node_timex_offset_seconds", {}, static_cast<double>(t.offset) / unit);
  table.Put("node_timex_sync_status", {}, state == TIME_ERROR ? 0 : 1);
}

void PutUname(SeriesTable& table) {
  utsname u{};
  if (uname(&u) != 0) return;
  table.Put("node_uname_info",
            {{"domainname", u.domainname},
             {"machine", u.machine},
             {"nodename", u.nodename},
             {"release", u.release},
             {"sysname", u.sysname},
             {"version", u.version}},
            1);
}

void NetClass::Put(SeriesTable& table) {
  if (rounds_++ % 10 == 0) Read();
  for (const Interface& i : interfaces_) {
    table.Put("node_network_up", {{"device", i.name}}, i.up);
    if (i.carrier >= 0) table.Put("node_network_carrier", {{"device", i.name}}, i.carrier);
    if (i.mtu >= 0) table.Put("node_network_mtu_bytes", {{"device", i.name}}, i.mtu);
    if (i.speed >= 0) table.Put("node_network_speed_bytes", {{"device", i.name}}, i.speed * 1e6 / 8);
  }
}

void NetClass::Read() {
  constexpr size_t kMostInterfaces = 256;
  interfaces_.clear();
  DIR* directory = opendir(directory_.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.' || interfaces_.size() >= kMostInterfaces) continue;
    Interface i{.name = entry->d_name};
    const std::string base = directory_ + "/" + i.name + "/";
    const auto number = [&](const char* file, double* out) {
      ProcFile f(base + file);
      std::string_view line;
      if (Scanner(f.Read()).NextLine(&line)) ParseNumber(line, out);
    };
    ProcFile state(base + "operstate");
    i.up = state.Read().starts_with("up") ? 1 : 0;
    number("carrier", &i.carrier), number("mtu", &i.mtu), number("speed", &i.speed);
    interfaces_.push_back(std::move(i));
  }
  closedir(directory);
  std::sort(interfaces_.begin(), interfaces_.end(),
            [](const Interface& a, const Interface& b) { return a.name < b.name; });
}

}  // namespace quell::agent::host
