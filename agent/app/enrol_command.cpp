#include "agent/app/enrol_command.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdio>
#include <optional>

#include "agent/enrol/enrol.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/text/encode.h"

namespace quell::agent {
namespace {

constexpr char kOwnUser[] = "quell-agent";
constexpr uint64_t kLongestToken = 4096;

absl::StatusOr<security::JoinToken> ReadToken(const std::string& path) {
  if (path == "-") {
    QUELL_ASSIGN_OR_RETURN(const std::string text,
                           ReadDescriptor(STDIN_FILENO, kLongestToken, "standard input"));
    return security::ParseJoinToken(text);
  }
  QUELL_ASSIGN_OR_RETURN(const security::Secret text, security::ReadSecretFile(path));
  auto token = security::ParseJoinToken(text.Reveal());
  if (!token.ok()) return Annotate(token.status(), path);
  return token;
}

// Who runs the agent: nobody special, where root enrols the host.
absl::StatusOr<std::optional<uid_t>> OwnerOf(const std::string& user) {
  if (user.empty() && geteuid() != 0) return std::optional<uid_t>();
  const passwd* found = getpwnam(user.empty() ? kOwnUser : user.c_str());
  if (found == nullptr && user.empty()) return std::optional<uid_t>();
  if (found == nullptr) return absl::InvalidArgumentError(absl::StrCat("there is no user ", user));
  return std::optional<uid_t>(found->pw_uid);
}

int ExitOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return 2;
    case absl::StatusCode::kPermissionDenied:
      return 4;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 6;
    default:
      return 1;
  }
}

absl::StatusOr<Certified> EnrolWith(const EnrolFlags& flags, const AgentConfig& config, Clock& clock) {
  EnrolOptions options;
  options.address = flags.controller;
  options.wish = flags.host;
  options.again = flags.again;
  options.places = {config.key, config.certificate, config.trust_bundle, config.root_pin, config.host_id};
  QUELL_ASSIGN_OR_RETURN(options.owner, OwnerOf(flags.user));
  QUELL_ASSIGN_OR_RETURN(options.token, ReadToken(flags.token_file));
  return Enrol(options, clock);
}

}  // namespace

int RunEnrol(const EnrolFlags& flags, const AgentConfig& config, Clock& clock) {
  const auto certified = EnrolWith(flags, config, clock);
  if (!certified.ok()) {
    const std::string why(certified.status().message());
    fprintf(stderr, "quell-agent enrol: %s\n", text::Terminal(why).c_str());
    return ExitOf(certified.status());
  }
  printf("enrolled as %s, id %s, certified until %s\n", certified->name.c_str(), certified->id.c_str(),
         FormatRfc3339(certified->not_after).c_str());
  return 0;
}

}  // namespace quell::agent
