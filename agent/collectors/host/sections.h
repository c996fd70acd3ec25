// The host collector's parts: each reads its files and puts its series. Private to the collector.
#pragma once
#include <string>
#include <vector>

#include "agent/collectors/host/proc_file.h"
#include "agent/collectors/series_table.h"
#include "common/base/clock.h"

namespace quell::agent::host {

void PutStat(std::string_view text, SeriesTable& table);      // /proc/stat
void PutLoad(std::string_view text, SeriesTable& table);      // /proc/loadavg
void PutMemory(std::string_view text, SeriesTable& table);    // /proc/meminfo
void PutVmstat(std::string_view text, SeriesTable& table);    // /proc/vmstat
void PutDisks(std::string_view text, SeriesTable& table);     // /proc/diskstats
void PutNetwork(std::string_view text, SeriesTable& table);   // /proc/net/dev
void PutNetstat(std::string_view text, SeriesTable& table);   // /proc/net/netstat, /proc/net/snmp
void PutSockstat(std::string_view text, SeriesTable& table);  // /proc/net/sockstat
void PutFileNr(std::string_view text, SeriesTable& table);    // /proc/sys/fs/file-nr
// /proc/pressure/cpu, memory, io; `full` is empty where there is no series for it.
void PutPressure(std::string_view text, std::string_view some, std::string_view full, SeriesTable& table);
void PutNumber(std::string_view text, std::string_view metric, SeriesTable& table);  // one number, one series
void PutClock(Micros wall, SeriesTable& table);  // the time, and what adjtimex(2) knows of it
void PutUname(SeriesTable& table);

// Interfaces under /sys/class/net: few change, so they are read each tenth time.
class NetClass {
 public:
  explicit NetClass(std::string root) : directory_(std::move(root) + "/sys/class/net") {}
  void Put(SeriesTable& table);

 private:
  struct Interface {
    std::string name;
    double up = 0, carrier = -1, mtu = -1, speed = -1;  // negative: not told
  };
  void Read();

  const std::string directory_;
  std::vector<Interface> interfaces_;
  unsigned rounds_ = 0;
};

}  // namespace quell::agent::host
