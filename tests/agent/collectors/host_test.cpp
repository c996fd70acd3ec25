#include "agent/collectors/host/host.h"

#include <gmock/gmock.h>

#include <atomic>
#include <set>

#include "absl/synchronization/notification.h"
#include "common/metrics/metrics.h"
#include "tests/agent/collectors/recording_sink.h"
#include "tests/support/files.h"
#include "tests/support/wait.h"

namespace quell::agent {
namespace {

using test::RecordingSink;

const std::string kRoot = std::string(QUELL_SOURCE_DIR) + "/tests/fixtures/proc-small";

int GiveSizes(const std::string&, struct statvfs* out) {
  out->f_frsize = 4096;
  out->f_blocks = 1000, out->f_bfree = 400, out->f_bavail = 300, out->f_files = 50, out->f_ffree = 20;
  return 0;
}

// Collects until the filesystems' thread has come round.
std::map<std::string, double> CollectFixture(RecordingSink& sink) {
  const auto collector = MakeHostCollector(kRoot, kSecond, RealClock(), GiveSizes);
  EXPECT_TRUE(test::WaitFor([&] {
    EXPECT_TRUE(collector->Collect(RealClock(), sink).ok());
    return sink.Values("node").count(
               R"(node_filesystem_size_bytes{device="/dev/sda1", fstype="ext4", mountpoint="/"})") != 0;
  }));
  return sink.Values("node");
}

TEST(HostTest, RecordedMachine) {
  RecordingSink sink;
  const auto values = CollectFixture(sink);
  const std::map<std::string, double> expected = {
      {R"(node_cpu_seconds_total{cpu="0", mode="user"})", 6},
      {R"(node_cpu_seconds_total{cpu="1", mode="idle"})", 450},
      {R"(node_cpu_seconds_total{cpu="0", mode="steal"})", 0.05},
      {R"(node_cpu_guest_seconds_total{cpu="0", mode="user"})", 0.07},
      {"node_context_switches_total", 654321},
      {"node_boot_time_seconds", 1795390000},
      {"node_forks_total", 4242},
      {"node_intr_total", 123456},
      {"node_procs_running", 3},
      {"node_procs_blocked", 1},
      {"node_load1", 0.75},
      {"node_load15", 2.5},
      {"node_memory_MemTotal_bytes", 8000000.0 * 1024},
      {"node_memory_Committed_AS_bytes", 4000000.0 * 1024},
      {"node_vmstat_oom_kill", 2},
      {R"(node_disk_reads_completed_total{device="sda"})", 100},
      {R"(node_disk_read_bytes_total{device="sda"})", 2000.0 * 512},
      {R"(node_disk_read_time_seconds_total{device="sda"})", 0.3},
      {R"(node_disk_written_bytes_total{device="nvme0n1"})", 32.0 * 512},
      {R"(node_disk_io_now{device="sda"})", 2},
      {R"(node_disk_io_time_seconds_total{device="sda"})", 0.6},
      {R"(node_disk_io_time_weighted_seconds_total{device="sda"})", 0.8},
      {R"(node_network_receive_bytes_total{device="eth0"})", 1000000},
      {R"(node_network_receive_multicast_total{device="eth0"})", 5},
      {R"(node_network_transmit_drop_total{device="eth0"})", 7},
      {R"(node_network_up{device="eth0"})", 1},
      {R"(node_network_up{device="lo"})", 0},
      {R"(node_network_speed_bytes{device="eth0"})", 125000000},
      {"node_netstat_Tcp_CurrEstab", 5},
      {"node_netstat_Tcp_RetransSegs", 8},
      {"node_netstat_TcpExt_ListenDrops", 13},
      {"node_netstat_Udp_RcvbufErrors", 6},
      {"node_sockstat_TCP_tw", 32},
      {"node_nf_conntrack_entries_limit", 65536},
      {"node_filefd_allocated", 1184},
      {"node_pressure_cpu_waiting_seconds_total", 12},
      {"node_pressure_memory_stalled_seconds_total", 1.5},
      {"node_pressure_io_stalled_seconds_total", 0.5},
      {R"(node_filesystem_avail_bytes{device="/dev/sda1", fstype="ext4", mountpoint="/"})", 300.0 * 4096},
      {R"(node_filesystem_files_free{device="/dev/sda1", fstype="ext4", mountpoint="/"})", 20},
      {R"(node_filesystem_readonly{device="/dev/sda1", fstype="ext4", mountpoint="/"})", 0},
      {R"(node_filesystem_readonly{device="/dev/sda2", fstype="xfs", mountpoint="/srv/a b"})", 1},
      {R"(node_filesystem_device_error{device="server:/export", fstype="nfs4", mountpoint="/mnt/nfs"})", 0}};
  for (const auto& [name, value] : expected) {
    const auto found = values.find(name);
    if (found == values.end())
      ADD_FAILURE() << "missing: " << name;
    else
      EXPECT_NEAR(found->second, value, 1e-9 * std::abs(value) + 1e-12) << name;
  }
  for (const auto& [name, value] : values) {
    EXPECT_EQ(name.find("loop0"), std::string::npos) << name;
    EXPECT_EQ(name.find("sda1\", mode"), std::string::npos) << name;
    EXPECT_EQ(name.find("nvme0n1p1"), std::string::npos) << name;
    EXPECT_EQ(name.find("docker"), std::string::npos) << name;
    EXPECT_EQ(name.find("/dev/shm"), std::string::npos) << name;
  }
  EXPECT_EQ(values.count(R"(node_disk_io_now{device="sda1"})"), 0u);
}

TEST(HostTest, EverySeriesHasARowAndEveryRowASeries) {
  RecordingSink sink;
  CollectFixture(sink);
  std::set<std::string> seen;
  for (const Series& series : *sink.Latest("node").series) {
    seen.insert(series.name);
    EXPECT_NE(FindMetric(series.name), nullptr) << series.name;
  }
  for (const MetricDescriptor& metric : HostMetrics())
    EXPECT_EQ(seen.count(std::string(metric.name)), 1u) << metric.name;
}

TEST(HostTest, AMachineWithoutMostFilesIsCollectedAllTheSame) {
  const test::TempDir dir;
  dir.Write("proc/stat", "cpu0 1 2 3\nctxt x\nbtime 5\n\n\ncpu\n");
  dir.Write("proc/meminfo", "MemTotal:\nMemFree: 1 kB");
  dir.Write("proc/diskstats", "8 0 sda 1 2\n8\n\n");
  dir.Write("proc/net/dev", "eth0:\nlo: 5");
  dir.Write("proc/net/snmp", "Tcp: CurrEstab\n");
  dir.Write("proc/1/mountinfo", "1 2\n\n3 4 5 / /x rw - \n");
  RecordingSink sink;
  const auto collector = MakeHostCollector(dir.path(), kSecond, RealClock(), GiveSizes);
  EXPECT_TRUE(collector->Collect(RealClock(), sink).ok());
  const auto values = sink.Values("node");
  EXPECT_EQ(values.at("node_boot_time_seconds"), 5);
  EXPECT_EQ(values.at("node_memory_MemFree_bytes"), 1024);
  const test::TempDir empty;
  EXPECT_FALSE(MakeHostCollector(empty.path(), kSecond, RealClock())->Collect(RealClock(), sink).ok());
}

TEST(HostTest, ThisMachine) {
  RecordingSink sink;
  const auto collector = MakeHostCollector("", kSecond, RealClock());
  ASSERT_TRUE(collector->Collect(RealClock(), sink).ok());
  const auto values = sink.Values("node");
  EXPECT_GT(values.at("node_memory_MemTotal_bytes"), 1e6);
  EXPECT_GT(values.at("node_boot_time_seconds"), 1e9);
  EXPECT_EQ(values.count(R"(node_cpu_seconds_total{cpu="0", mode="idle"})"), 1u);
}

TEST(FilesystemsTest, AMountThatHangsIsToldAndHoldsUpNoOther) {
  FakeClock clock;
  // Shared with a thread that is left to its mount.
  const auto let_go = std::make_shared<absl::Notification>();
  const auto hung = std::make_shared<std::atomic<int>>(0);
  {
    Filesystems filesystems(kRoot, clock, [=](const std::string& path, struct statvfs* out) {
      if (path.ends_with("/srv/a b") && !let_go->HasBeenNotified()) {
        ++*hung;
        let_go->WaitForNotification();
      }
      return GiveSizes(path, out);
    });
    ASSERT_TRUE(test::WaitFor([&] { return *hung == 1; }));
    EXPECT_TRUE(filesystems.Latest().empty());
    clock.Advance(Filesystems::kPatience);
    ASSERT_TRUE(test::WaitFor([&] { return filesystems.Latest().size() == 3; }));
    const auto latest = filesystems.Latest();
    EXPECT_FALSE(latest[0].error);
    EXPECT_EQ(latest[1].mountpoint, "/srv/a b");
    EXPECT_TRUE(latest[1].error);
    EXPECT_FALSE(latest[2].error);  // nfs, after it
    EXPECT_GT(latest[2].size, 0);
    EXPECT_EQ(*hung, 1);
  }
  let_go->Notify();
}

}  // namespace
}  // namespace quell::agent
