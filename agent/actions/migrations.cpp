#include "agent/actions/migrations.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/actions/pm2_app.h"
#include "agent/actions/postgres_client.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr size_t kMostNames = 5000;
constexpr size_t kMostBytes = 128 << 10;
constexpr char kMonitor[] = "quell_monitor";
// The table is an application's, and whoever owns it could put a view or a policy in its place, whose
// functions would run with quell_monitor's rights: it is looked at under a lock that keeps it what it is.
constexpr const char* kPrismaFirst[] = {"BEGIN READ ONLY",
                                        "LOCK TABLE ONLY public._prisma_migrations IN ACCESS SHARE MODE"};
constexpr char kPrismaKind[] =
    "SELECT relkind = 'r' AND NOT relrowsecurity FROM pg_catalog.pg_class"
    " WHERE oid = 'public._prisma_migrations'::regclass";
constexpr char kPrisma[] =
    "SELECT migration_name FROM ONLY public._prisma_migrations"
    " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL LIMIT 5001";

absl::StatusOr<std::vector<PostgresRow>> ReadPrisma(PostgresClient& client) {
  for (const char* statement : kPrismaFirst) QUELL_RETURN_IF_ERROR(client.Query(statement, {}).status());
  QUELL_ASSIGN_OR_RETURN(const auto kind, client.Query(kPrismaKind, {}));
  if (kind.size() != 1 || kind[0][0] != "t") {
    return absl::FailedPreconditionError(
        "public._prisma_migrations is no ordinary table, or has row security");
  }
  return client.Query(kPrisma, {});
}

// What the server says of the query in words of ours: its own could hold what the application's owner put
// there.
std::string Refusal(const std::string& sqlstate) {
  if (sqlstate == "42501") return "permission denied";
  if (sqlstate == "42P01" || sqlstate == "3F000") return "there is no such table";
  if (sqlstate == "55P03") return "the table is locked";
  if (sqlstate == "57014") return "it took too long";
  return absl::StrCat("the server refuses the query (SQLSTATE ", sqlstate, ")");
}

absl::StatusOr<UniqueFd> OpenBelow(int at, const char* name) {
  UniqueFd fd(openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("opening the release's ", name));
  return fd;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> ReleaseMigrations(int release) {
  auto prisma = OpenBelow(release, "prisma");
  auto directory = prisma.ok() ? OpenBelow(prisma->get(), "migrations") : OpenBelow(release, "migrations");
  if (!directory.ok()) return directory.status();
  std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(directory->get()), closedir);
  if (dir == nullptr) return ErrnoStatus(errno, "listing the release's migrations");
  const int fd = directory->release();
  std::vector<std::string> names;
  while (const dirent* entry = readdir(dir.get())) {
    struct stat st {};
    const std::string name = entry->d_name;
    if (name[0] == '.' || fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISDIR(st.st_mode)) names.push_back(name);
    if (names.size() > kMostNames) {
      return absl::ResourceExhaustedError(
          absl::StrCat("the release has more than ", kMostNames, " migrations"));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

v1::WorkerResult AppliedMigrations(const v1::WorkerRequest& request, Clock&) {
  v1::WorkerResult result;
  const Micros within = Micros{request.budget_ms()} * kMillisecond / 2;
  const auto read = [&]() -> absl::Status {
    QUELL_ASSIGN_OR_RETURN(const auto client, PostgresClient::Connect(request.postgres(), kMonitor, within));
    const std::string& own = request.release().migrations_query();
    const auto rows = own.empty() ? ReadPrisma(*client) : client->Query(own, {});
    if (!rows.ok() && !client->sqlstate().empty())
      return absl::FailedPreconditionError(Refusal(client->sqlstate()));
    QUELL_RETURN_IF_ERROR(rows.status());
    std::vector<std::string> names;
    for (const PostgresRow& row : *rows) {
      if (row.size() != 1) return absl::FailedPreconditionError("the query of migrations has not one column");
      names.push_back(row[0]);
    }
    return AddMigrations(names, result);
  }();
  if (!read.ok()) return RefusedResult(absl::StrCat("applied migrations can't be read: ", read.message()));
  result.set_ok(true);
  return result;
}

absl::Status AddMigrations(const std::vector<std::string>& names, v1::WorkerResult& result) {
  if (names.size() > kMostNames) {
    return absl::ResourceExhaustedError(absl::StrCat("there are more than ", kMostNames, " migrations"));
  }
  const bool lines = std::all_of(names.begin(), names.end(), [](const std::string& name) {
    return !name.empty() && name.find('\n') == name.npos && IsUtf8(name);
  });
  if (!lines) return absl::FailedPreconditionError("a migration's name is empty or no single line of text");
  std::string text = absl::StrJoin(names, "\n");
  if (text.size() > kMostBytes) return absl::ResourceExhaustedError("the migrations' names are too long");
  v1::EvidenceItem* item = result.add_evidence();
  item->set_name(kMigrationsItem);
  item->set_content(std::move(text));
  return absl::OkStatus();
}

}  // namespace quell::agent
