#include "cli/agents.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "cli/run.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/base/time.h"

namespace quell::cli {
namespace {

absl::StatusOr<v1::TokenRequest> RequestOf(const TokenOptions& options) {
  v1::TokenRequest request;
  request.set_host(options.host);
  request.set_replace(options.replace);
  QUELL_ASSIGN_OR_RETURN(const auto labels, ParseLabels(options.labels));
  for (const auto& [name, value] : labels) (*request.mutable_labels())[name] = value;
  if (options.good_for.empty()) return request;
  QUELL_ASSIGN_OR_RETURN(const Micros good_for, ParseDuration(options.good_for));
  request.set_for_us(good_for);
  return request;
}

absl::Status WriteToken(int fd, const std::string& path, const std::string& token) {
  const std::string line = token + "\n";
  const ssize_t written = write(fd, line.data(), line.size());
  if (written == static_cast<ssize_t>(line.size()) && fsync(fd) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "writing " + path);
}

// Tells what was made, without the token itself.
int Tell(Session& session, Acted& acted, const std::string& where) {
  acted.json.erase("token");
  if (!session.table()) session.Print(acted.json, FieldsView);
  session.Say(acted.message);
  session.Say("it is in " + where +
              "; on that host: quell-agent enrol --controller CONTROLLER:7401 "
              "--token-file FILE");
  return acted.exit;
}

}  // namespace

int MakeToken(Session& session, const TokenOptions& options, std::ostream& out) {
  if (options.host.empty() || options.out.empty())
    return session.Fail(absl::InvalidArgumentError("a token needs --host NAME and --out FILE (or --out -)"));
  const auto request = RequestOf(options);
  if (!request.ok()) return session.Fail(request.status());
  const bool to_file = options.out != "-";
  UniqueFd file;
  if (to_file) {  // first: a token that cannot be kept is not made
    file = UniqueFd(open(options.out.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) return session.Fail(ErrnoStatus(errno, "making the file " + options.out));
  }
  const auto client = session.controller();
  auto acted = client.ok() ? (*client)->Act("MakeToken", *request) : absl::StatusOr<Acted>(client.status());
  const std::string token = acted.ok() && acted->exit == kDone ? acted->json.value("token", "") : "";
  if (token.empty()) {
    if (to_file) unlink(options.out.c_str());
    if (!acted.ok()) return session.Fail(acted.status());
    session.Say(acted->message);
    return acted->exit;
  }
  if (!to_file) {
    out << token << "\n";
    session.Say(acted->message);
    return kDone;
  }
  if (const absl::Status written = WriteToken(file.get(), options.out, token); !written.ok())
    return session.Fail(written);
  return Tell(session, *acted, options.out);
}

absl::StatusOr<v1::AgentLabels> LabelChanges(const std::string& host, const std::vector<std::string>& words) {
  v1::AgentLabels labels;
  labels.set_host(host);
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals != std::string::npos && equals > 0)
      (*labels.mutable_set())[word.substr(0, equals)] = word.substr(equals + 1);
    else if (word.size() > 1 && word.back() == '-')
      labels.add_remove(word.substr(0, word.size() - 1));
    else
      return absl::InvalidArgumentError(
          absl::StrCat("\"", word, "\" is neither key=value nor key- (which takes a label away)"));
  }
  return labels;
}

}  // namespace quell::cli
