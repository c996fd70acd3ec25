#include "agent/actions/proc.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestFile = 64 << 10;
constexpr uint64_t kLargestTable = 8 << 20;  // of sockets of the whole machine
constexpr size_t kMostFds = 4096;
constexpr size_t kMostSockets = 1024;

absl::StatusOr<std::string> ReadPath(const std::string& path, uint64_t limit) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  return ReadDescriptor(fd.get(), limit, path);
}

// State numbers of /proc/net/tcp; include/net/tcp_states.h.
absl::string_view TcpState(absl::string_view hex) {
  static constexpr absl::string_view kNames[] = {"",           "ESTABLISHED", "SYN_SENT",  "SYN_RECV",
                                                 "FIN_WAIT1",  "FIN_WAIT2",   "TIME_WAIT", "CLOSE",
                                                 "CLOSE_WAIT", "LAST_ACK",    "LISTEN",    "CLOSING"};
  int state = 0;
  if (!absl::SimpleHexAtoi(hex, &state) || state < 1 || state > 11) return "?";
  return kNames[state];
}

// "0100007F:0BB8" -> "127.0.0.1:3000": 32-bit words as the kernel's memory has them, the port in hex.
std::string Address(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  uint32_t port = 0;
  if (parts.size() != 2 || !absl::SimpleHexAtoi(parts[1], &port)) return std::string(text);
  unsigned char raw[16] = {};
  const size_t words = parts[0].size() / 8;
  if (words != 1 && words != 4) return std::string(text);
  for (size_t i = 0; i < words; ++i) {
    uint32_t word = 0;
    if (!absl::SimpleHexAtoi(parts[0].substr(8 * i, 8), &word)) return std::string(text);
    memcpy(raw + 4 * i, &word, sizeof word);
  }
  char out[INET6_ADDRSTRLEN] = {};
  if (words == 1) {
    inet_ntop(AF_INET, raw, out, sizeof out);
    return absl::StrCat(out, ":", port);
  }
  inet_ntop(AF_INET6, raw, out, sizeof out);
  return absl::StrCat("[", out, "]:", port);
}

// A row of tcp, tcp6, udp, udp6: sl local remote st tx:rx tr:when retr uid timeout inode …
void AddInternetRow(absl::string_view kind, const std::vector<absl::string_view>& row,
                    std::map<std::string, std::string>& by_inode) {
  if (row.size() < 10) return;
  const std::vector<absl::string_view> queues = absl::StrSplit(row[4], ':');
  uint64_t tx = 0, rx = 0;
  if (queues.size() == 2 && absl::SimpleHexAtoi(queues[0], &tx)) (void)absl::SimpleHexAtoi(queues[1], &rx);
  const absl::string_view state = absl::StartsWith(kind, "tcp") ? TcpState(row[3]) : "";
  by_inode[std::string(row[9])] =
      absl::StrCat(kind, " ", Address(row[1]), " ", Address(row[2]), " ", state, " rx ", rx, " tx ", tx);
}

// A row of unix: num refcount protocol flags type st inode [path]
void AddUnixRow(const std::vector<absl::string_view>& row, std::map<std::string, std::string>& by_inode) {
  if (row.size() < 7) return;
  by_inode[std::string(row[6])] = absl::StrCat("unix ", row.size() > 7 ? row[7] : "(no name)");
}

std::map<std::string, std::string> SocketTables(const std::string& root, int64_t pid) {
  std::map<std::string, std::string> by_inode;
  for (const char* kind : {"tcp", "tcp6", "udp", "udp6", "unix"}) {
    auto table = ReadPath(absl::StrCat(root, "/", pid, "/net/", kind), kLargestTable);
    if (!table.ok()) continue;
    for (absl::string_view line : absl::StrSplit(*table, '\n')) {
      const std::vector<absl::string_view> row = absl::StrSplit(line, ' ', absl::SkipEmpty());
      if (absl::string_view(kind) == "unix") {
        AddUnixRow(row, by_inode);
      } else {
        AddInternetRow(kind, row, by_inode);
      }
    }
  }
  return by_inode;
}

}  // namespace

absl::StatusOr<std::string> ReadProcFile(const std::string& root, int64_t pid, const std::string& name) {
  return ReadPath(absl::StrCat(root, "/", pid, "/", name), kLargestFile);
}

absl::StatusOr<std::vector<ProcFd>> ListProcFds(const std::string& root, int64_t pid, size_t* total) {
  const std::string path = absl::StrCat(root, "/", pid, "/fd");
  std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
  if (directory == nullptr) return ErrnoStatus(errno, absl::StrCat("listing ", path));
  std::vector<ProcFd> fds;
  *total = 0;
  while (const dirent* entry = readdir(directory.get())) {
    int number = 0;
    if (!absl::SimpleAtoi(entry->d_name, &number)) continue;
    ++*total;
    if (fds.size() >= kMostFds) continue;
    char target[4096];
    const ssize_t n = readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof target);
    if (n > 0) fds.push_back({number, std::string(target, static_cast<size_t>(n))});
  }
  std::sort(fds.begin(), fds.end(), [](const ProcFd& a, const ProcFd& b) { return a.number < b.number; });
  return fds;
}

std::string DescribeSockets(const std::string& root, int64_t pid, const std::vector<ProcFd>& fds) {
  const std::map<std::string, std::string> by_inode = SocketTables(root, pid);
  std::string out;
  size_t lines = 0;
  for (const ProcFd& fd : fds) {
    if (!absl::StartsWith(fd.target, "socket:[") || !absl::EndsWith(fd.target, "]")) continue;
    if (++lines > kMostSockets) break;
    auto known = by_inode.find(fd.target.substr(8, fd.target.size() - 9));
    absl::StrAppend(&out, "fd ", fd.number, " ", known == by_inode.end() ? fd.target : known->second, "\n");
  }
  return out;
}

int64_t ParentPid(const std::string& root, int64_t pid) {
  auto stat = ReadProcFile(root, pid, "stat");
  if (!stat.ok()) return 0;
  // The name stands in parentheses and may hold anything; the fields begin behind the last one.
  const size_t end = stat->rfind(')');
  if (end == std::string::npos) return 0;
  const std::vector<absl::string_view> fields =
      absl::StrSplit(absl::string_view(*stat).substr(end + 1), ' ', absl::SkipEmpty());
  int64_t parent = 0;
  return fields.size() > 1 && absl::SimpleAtoi(fields[1], &parent) ? parent : 0;
}

}  // namespace quell::agent
