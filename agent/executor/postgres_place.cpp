#include "agent/executor/postgres_place.h"

#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "agent/executor/guarded_file.h"
#include "common/base/status.h"
#include "common/config/yaml.h"

namespace quell::agent {
namespace {

constexpr uint64_t kLargestFile = 1 << 20;
constexpr char kDefaultHost[] = "/var/run/postgresql";
constexpr uint32_t kDefaultPort = 5432;

class DsnReader {
 public:
  explicit DsnReader(std::string_view text) : text_(text) {}

  absl::StatusOr<std::map<std::string, std::string>> Read() {
    std::map<std::string, std::string> values;
    for (SkipBlank(); at_ < text_.size(); SkipBlank()) {
      const size_t equals = text_.find('=', at_);
      if (equals == std::string_view::npos)
        return absl::InvalidArgumentError("the dsn is not keyword=value …");
      const std::string_view keyword = text_.substr(at_, equals - at_);
      at_ = equals + 1;
      SkipBlank();
      std::string value;
      if (!ReadValue(&value)) return absl::InvalidArgumentError("a quote in the dsn is not closed");
      values[std::string(absl::StripAsciiWhitespace(absl::string_view(keyword.data(), keyword.size())))] =
          std::move(value);
    }
    return values;
  }

 private:
  bool Blank() const { return absl::ascii_isspace(static_cast<unsigned char>(text_[at_])); }
  void SkipBlank() {
    while (at_ < text_.size() && Blank()) ++at_;
  }
  bool ReadValue(std::string* value) {
    const bool quoted = at_ < text_.size() && text_[at_] == '\'';
    if (quoted) ++at_;
    for (; at_ < text_.size(); ++at_) {
      if (quoted ? text_[at_] == '\'' : Blank()) {
        if (quoted) ++at_;
        return true;
      }
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
      value->push_back(text_[at_]);
    }
    return !quoted;
  }

  const std::string_view text_;
  size_t at_ = 0;
};

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

absl::StatusOr<v1::PostgresPlace> ParsePostgresPlace(std::string_view dsn) {
  QUELL_ASSIGN_OR_RETURN(auto values, DsnReader(dsn).Read());
  const std::string host = values["host"].empty() ? kDefaultHost : values["host"];
  if (host[0] != '/' || host.find(',') != std::string::npos || !values["hostaddr"].empty() ||
      !values["service"].empty()) {
    return absl::FailedPreconditionError(
        "its dsn names no directory of a Unix socket, and remedies go by that alone");
  }
  v1::PostgresPlace place;
  place.set_host(host);
  uint32_t port = kDefaultPort;
  if (!values["port"].empty() && (!absl::SimpleAtoi(values["port"], &port) || port == 0 || port > 65535))
    return absl::FailedPreconditionError("its dsn names no port");
  place.set_port(port);
  place.set_dbname(values["dbname"]);
  if (place.dbname().empty()) return absl::FailedPreconditionError("its dsn names no database");
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
