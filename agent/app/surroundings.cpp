#include "agent/app/surroundings.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostApps = 100;
constexpr char kPm2Socket[] = "/rpc.sock";
constexpr char kPostgresSocket[] = "/.s.PGSQL.";
constexpr char kListening[] = "00010000";  // __SO_ACCEPTCON of the kernel's net.h

std::vector<std::string> Lines(const std::string& path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; lines.size() < 100'000 && std::getline(file, line);) lines.push_back(line);
  return lines;
}

// Inodes of the sockets that a process holds; none of another user's without root.
std::set<std::string> SocketsOf(const std::string& root, const std::string& pid) {
  std::set<std::string> inodes;
  std::error_code error;
  for (fs::directory_iterator it(absl::StrCat(root, "/proc/", pid, "/fd"), error), end; !error && it != end;
       it.increment(error)) {
    const std::string target = fs::read_symlink(it->path(), error).string();
    if (absl::StartsWith(target, "socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  return inodes;
}

// TCP ports in state LISTEN, by the socket's inode (proc(5), /proc/net/tcp).
std::map<std::string, int> TcpListeners(const std::string& root) {
  std::map<std::string, int> ports;
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    for (const std::string& line : Lines(root + file)) {
      const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
      uint32_t port = 0;
      if (words.size() < 10 || words[3] != "0A") continue;
      if (absl::SimpleHexAtoi(words[1].substr(words[1].rfind(':') + 1), &port))
        ports[words[9]] = static_cast<int>(port);
    }
  }
  return ports;
}

// PM2 writes PM2_HOME/pids/APP-ID.pid for each process that it started.
void FindApps(const std::string& root, const std::string& pm2_home, FoundPm2& found) {
  const std::map<std::string, int> listeners = TcpListeners(root);
  std::error_code error;
  for (fs::directory_iterator it(root + pm2_home + "/pids", error), end; !error && it != end;
       it.increment(error)) {
    const std::string stem = it->path().stem().string();
    const size_t dash = stem.rfind('-');
    if (it->path().extension() != ".pid" || dash == std::string::npos || dash == 0) continue;
    if (found.apps.size() >= kMostApps) return;
    const std::string app = stem.substr(0, dash);
    found.apps.insert(app);
    const std::vector<std::string> pid = Lines(it->path().string());
    int64_t number = 0;
    if (pid.empty() || !absl::SimpleAtoi(pid[0], &number)) continue;
    std::set<int> ports;
    for (const std::string& inode : SocketsOf(root, std::to_string(number))) {
      if (const auto listener = listeners.find(inode); listener != listeners.end())
        ports.insert(listener->second);
    }
    if (ports.size() == 1) found.ports[app] = *ports.begin();
  }
}

}  // namespace

std::set<std::string> ListeningSockets(const std::string& root) {
  std::set<std::string> paths;
  for (const std::string& line : Lines(root + "/proc/net/unix")) {
    // Num RefCount Protocol Flags Type St Inode Path
    const std::vector<std::string> words = absl::StrSplit(line, absl::MaxSplits(' ', 7), absl::SkipEmpty());
    if (words.size() == 8 && words[3] == kListening && words[7][0] == '/') paths.insert(words[7]);
  }
  return paths;
}

std::vector<Account> Accounts(const std::string& root) {
  std::vector<Account> accounts;
  for (const std::string& line : Lines(root + "/etc/passwd")) {
    const std::vector<std::string> fields = absl::StrSplit(line, ':');
    Account account;
    if (fields.size() != 7 || !absl::SimpleAtoi(fields[2], &account.uid) ||
        !absl::SimpleAtoi(fields[3], &account.gid))
      continue;
    account.name = fields[0];
    account.home = fields[5];
    accounts.push_back(std::move(account));
  }
  return accounts;
}

std::vector<FoundPm2> FindPm2(const std::string& root) {
  std::vector<FoundPm2> all;
  const std::vector<Account> accounts = Accounts(root);
  for (const std::string& path : ListeningSockets(root)) {
    if (!absl::EndsWith(path, kPm2Socket)) continue;
    const std::string home = path.substr(0, path.size() - sizeof kPm2Socket + 1);
    struct stat st {};
    if (lstat((root + path).c_str(), &st) != 0) continue;
    for (const Account& account : accounts) {
      if (account.uid != st.st_uid) continue;
      FoundPm2& found = all.emplace_back();
      found.user = account.name;
      if (home != account.home + "/.pm2") found.home = home;
      FindApps(root, home, found);
      break;
    }
  }
  return all;
}

std::vector<FoundPostgres> FindPostgres(const std::string& root) {
  std::vector<FoundPostgres> all;
  for (const std::string& path : ListeningSockets(root)) {
    const size_t at = path.rfind(kPostgresSocket);
    FoundPostgres found;
    if (at == std::string::npos ||
        !absl::SimpleAtoi(path.substr(at + sizeof kPostgresSocket - 1), &found.port))
      continue;
    found.directory = path.substr(0, at);
    all.push_back(std::move(found));
  }
  return all;
}

absl::Status LookAs(const std::optional<Account>& account, const std::function<absl::Status()>& look) {
  if (!account || geteuid() != 0 || account->uid == 0) return look();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "making a pipe");
  const UniqueFd reads(ends[0]);
  UniqueFd writes(ends[1]);
  const pid_t child = fork();
  if (child < 0) return ErrnoStatus(errno, "starting a process");
  if (child == 0) {
    const bool is_user = initgroups(account->name.c_str(), account->gid) == 0 &&
                         setresgid(account->gid, account->gid, account->gid) == 0 &&
                         setresuid(account->uid, account->uid, account->uid) == 0;
    const absl::Status seen = is_user ? look() : ErrnoStatus(errno, absl::StrCat("becoming ", account->name));
    const std::string said = absl::StrCat(static_cast<int>(seen.code()), " ", seen.message());
    const bool told = write(writes.get(), said.data(), std::min<size_t>(said.size(), 4096)) > 0;
    _exit(told ? 0 : 1);
  }
  writes.reset();
  const auto said = ReadDescriptor(reads.get(), 8192, "what was seen");
  int ended = 0;
  while (waitpid(child, &ended, 0) < 0 && errno == EINTR) {
  }
  const std::vector<std::string> words = absl::StrSplit(said.ok() ? *said : "", absl::MaxSplits(' ', 1));
  int code = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &code))
    return absl::InternalError("the process that looked ended without a word");
  return absl::Status(static_cast<absl::StatusCode>(code), words[1]);
}

}  // namespace quell::agent
