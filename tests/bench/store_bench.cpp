// Commit latency of the log, p50 and p99, beside what one fsync costs on the same disk in the same run: a
// commit is one sync plus our own work. `store_bench [DIRECTORY] [COMMITS]`.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "controller/store/sqlite_log_store.h"

namespace quell::store {
namespace {

struct Samples {
  std::vector<Micros> taken;
  Micros At(double share) {
    std::sort(taken.begin(), taken.end());
    return taken[static_cast<size_t>(share * static_cast<double>(taken.size() - 1))];
  }
};

// Appends 8 KiB and syncs, as a small commit does to the WAL.
void FsyncOnce(int fd, Samples& samples) {
  static const std::string block(8192, 'b');
  const Micros begin = RealClock().Monotonic();
  Require(write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size()) && fdatasync(fd) == 0,
          "writing the file that measures the disk failed");
  samples.taken.push_back(RealClock().Monotonic() - begin);
}

// What an incident's step makes: three records and a row.
engine::CommitGroup Group(uint64_t first) {
  engine::CommitGroup group;
  for (uint64_t seq = first; seq < first + 3; ++seq) {
    engine::Record record;
    record.header.set_seq(seq);
    record.header.set_epoch(1);
    record.payload.mutable_person_act()->mutable_note()->set_text(std::string(300, 'n'));
    group.records.push_back(std::move(record));
  }
  group.rows.push_back(
      {"event", std::to_string(first), static_cast<Micros>(first), true, "", std::string(800, 'r')});
  return group;
}

int Run(const std::string& directory, uint64_t commits) {
  const security::SigningKey key = security::SigningKey::Generate();
  const KeyLookup keys = [raw = key.PublicRaw()](std::string_view) { return raw; };
  auto store = SqliteLogStore::Open({directory + "/log.db"}, key, keys);
  Require(store.ok() && (*store)->Recover().ok(), "the log could not be opened");
  const int fd = open((directory + "/fsync").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC | O_APPEND, 0600);
  Samples fsyncs;
  Samples taken;
  for (uint64_t i = 0; i < commits; ++i) {
    FsyncOnce(fd, fsyncs);  // in turn, so that both see the same disk
    const engine::CommitGroup group = Group(3 * i + 1);
    const Micros begin = RealClock().Monotonic();
    const auto head = (*store)->Commit(group);
    taken.taken.push_back(RealClock().Monotonic() - begin);
    Require(head.ok(), "a commit failed");
  }
  close(fd);
  printf("fsync   p50 %lld us  p99 %lld us\n", static_cast<long long>(fsyncs.At(0.5)),
         static_cast<long long>(fsyncs.At(0.99)));
  printf("commit  p50 %lld us  p99 %lld us  (%llu commits of 3 records and a row)\n",
         static_cast<long long>(taken.At(0.5)), static_cast<long long>(taken.At(0.99)),
         static_cast<unsigned long long>(commits));
  return 0;
}

}  // namespace
}  // namespace quell::store

int main(int argc, char** argv) {
  std::string directory = (argc > 1 ? std::string(argv[1]) : std::string(".")) + "/store-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) {
    perror(directory.c_str());
    return 1;
  }
  const uint64_t commits = argc > 2 ? strtoull(argv[2], nullptr, 10) : 500;
  const int result = quell::store::Run(directory, commits > 0 ? commits : 500);
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return result;
}
