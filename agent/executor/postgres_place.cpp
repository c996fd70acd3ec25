#include "agent/executor/postgres_place.h"

#include "absl/strings/str_cat.h"
#include "agent/executor/guarded_file.h"
#include "common/base/status.h"
#include "common/config/postgres_dsn.h"
#include "common/config/yaml.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestFile = 1 << 20;

absl::Status Told(const config::YamlNode& node, const std::string& what) {
  return absl::FailedPreconditionError(node.At(what).ToString());
}

const config::YamlNode* FindList(const config::YamlNode& root) {
  const config::YamlNode* node = &root;
  for (const char* key : {"collectors", "postgres"}) {
    node = node->kind == config::YamlNode::Kind::kMap ? node->Find(key) : nullptr;
    if (node == nullptr) return nullptr;
  }
  return node;
}

}  // namespace

absl::StatusOr<v1::PostgresPlace> ParsePostgresPlace(std::string_view text) {
  QUELL_ASSIGN_OR_RETURN(const config::PostgresDsn dsn, config::ParsePostgresDsn(text));
  if (!dsn.is_socket()) {
    return absl::FailedPreconditionError(
        "its dsn names no directory of a Unix socket, and remedies go by that alone");
  }
  v1::PostgresPlace place;
  place.set_host(dsn.host);
  place.set_port(static_cast<uint32_t>(dsn.port));
  place.set_dbname(dsn.dbname);
  return place;
}

absl::StatusOr<v1::PostgresPlace> ReadPostgresPlace(const std::string& agent_yaml, uid_t owner,
                                                    std::string_view name) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadGuardedFile(agent_yaml, owner, kLargestFile));
  config::Problems problems;
  const config::YamlNode root = config::ParseYaml(agent_yaml, text, problems);
  QUELL_RETURN_IF_ERROR(problems.ToStatus());
  const config::YamlNode* list = FindList(root);
  const config::YamlNode* dsn = nullptr;
  for (size_t i = 0; list != nullptr && i < list->items.size(); ++i) {
    const config::YamlNode& item = list->items[i];
    const config::YamlNode* named = item.kind == config::YamlNode::Kind::kMap ? item.Find("name") : nullptr;
    if (named == nullptr || named->scalar != name) continue;
    if (dsn != nullptr) return Told(item, "this name is there twice");
    dsn = item.Find("dsn");
    if (dsn == nullptr) return Told(item, "the entry has no dsn");
  }
  if (dsn == nullptr) {
    return absl::NotFoundError(absl::StrCat(agent_yaml, " has no PostgreSQL server called ",
                                            absl::string_view(name.data(), name.size())));
  }
  auto place = ParsePostgresPlace(dsn->scalar);
  if (!place.ok()) return Told(*dsn, std::string(place.status().message()));
  return place;
}

}  // namespace quell::agent
