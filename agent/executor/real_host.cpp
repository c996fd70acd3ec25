#include "agent/executor/real_host.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/strings/str_cat.h"
#include "agent/executor/guarded_file.h"
#include "agent/executor/postgres_place.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/config/yaml.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestStack = 64 << 10;
constexpr uint64_t kLargestQuery = 64 << 10;
constexpr size_t kMostUsers = 64;

}  // namespace

bool RealHost::Held() {
  struct stat st {};
  return lstat(options_.hold_path.c_str(), &st) == 0 || errno != ENOENT;
}

SanctionsFile RealHost::ReadSanctions() { return LoadSanctions(options_.sanctions_path, options_.owner); }

// From the file, not from the name service: that would load whatever modules the host names, and they may use
// the network.
absl::StatusOr<HostUser> RealHost::FindUser(std::string_view name) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen(options_.passwd_path.c_str(), "re"), fclose);
  if (file == nullptr) return ErrnoStatus(errno, absl::StrCat("opening ", options_.passwd_path));
  passwd entry{};
  passwd* found = nullptr;
  char buffer[4096];
  while (fgetpwent_r(file.get(), &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr) {
    if (name != entry.pw_name) continue;
    HostUser user{entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, ""};
    auto home = options_.pm2_homes.find(user.name);
    const bool named = home != options_.pm2_homes.end() && !home->second.empty();
    user.pm2_home = named ? home->second : absl::StrCat(user.home, "/.pm2");
    return user;
  }
  return absl::NotFoundError(
      absl::StrCat(options_.passwd_path, " has no user ", absl::string_view(name.data(), name.size())));
}

absl::StatusOr<v1::PostgresPlace> RealHost::FindPostgres(std::string_view connection) {
  return ReadPostgresPlace(options_.agent_yaml, options_.owner, connection);
}

absl::StatusOr<std::string> RealHost::ReadQuery(const std::string& path) {
  return ReadGuardedFile(path, options_.owner, kLargestQuery);
}

absl::StatusOr<std::string> RealHost::KernelStack(int64_t pid, uid_t uid) {
  const std::string path = absl::StrCat("/proc/", pid);
  UniqueFd process(open(path.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!process.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  struct stat st {};
  if (fstat(process.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
  if (st.st_uid != uid) return absl::PermissionDeniedError(absl::StrCat(path, " is another user's process"));
  UniqueFd stack(openat(process.get(), "stack", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!stack.valid()) return ErrnoStatus(errno, absl::StrCat("opening ", path, "/stack"));
  return ReadDescriptor(stack.get(), kLargestStack, path);
}

absl::StatusOr<std::vector<Pm2User>> ReadPm2Users(const std::string& agent_yaml, uid_t owner) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadGuardedFile(agent_yaml, owner, 1 << 20));
  config::Problems problems;
  const config::YamlNode root = config::ParseYaml(agent_yaml, text, problems);
  QUELL_RETURN_IF_ERROR(problems.ToStatus());
  const config::YamlNode* node = &root;
  for (const char* key : {"collectors", "pm2", "users"}) {
    node = node->kind == config::YamlNode::Kind::kMap ? node->Find(key) : nullptr;
    if (node == nullptr) return std::vector<Pm2User>();
  }
  std::vector<Pm2User> users;
  for (const config::YamlNode& item : node->items) {
    Pm2User& user = users.emplace_back();
    if (item.kind == config::YamlNode::Kind::kScalar) {
      user.name = item.scalar;
      continue;
    }
    config::MapReader map(item, problems, "a PM2 user");
    map.String("user", &user.name, config::kRequired);
    map.String("home", &user.home);
    map.Finish();
    if (!user.home.empty() && user.home[0] != '/') problems.Add(item.At("home is not an absolute path"));
  }
  if (users.size() > kMostUsers) problems.Add(node->At(absl::StrCat("more than ", kMostUsers, " PM2 users")));
  QUELL_RETURN_IF_ERROR(problems.ToStatus());
  return users;
}

}  // namespace quell::agent
