#include "agent/pm2/rpc.h"

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "agent/pm2/messages.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::pm2 {
namespace {

// Methods this client knows how to call, and how many parameters each takes with its callback. A method that
// is listed with another number would be handed its callback in the wrong place, which ends the daemon.
constexpr std::pair<std::string_view, size_t> kKnown[] = {
    {"getMonitorData", 2}, {"getVersion", 2}, {"restartProcessId", 2}};

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

// As JSON in ASCII alone. The text is UTF-8 (IsStartPath).
std::string Quoted(const std::string& text) { return nlohmann::json(text).dump(-1, ' ', true); }

bool IsStartPath(const std::string& path) {
  return !path.empty() && path[0] == '/' && path.size() <= kMaxPathBytes && IsUtf8(path) &&
         path.find('\0') == path.npos;
}

}  // namespace

std::string MethodsJson() { return R"({"type":"methods"})"; }
std::string ListJson() { return R"({"type":"call","method":"getMonitorData","args":[{}]})"; }
std::string VersionJson() { return R"({"type":"call","method":"getVersion","args":[{}]})"; }
// An empty current_conf keeps configuration and environment as they are. One with `env` inside would replace
// the app's whole environment.
std::string RestartJson(int64_t pm_id) {
  return absl::StrCat(R"({"type":"call","method":"restartProcessId","args":[{"id":)", pm_id,
                      R"(,"env":{"current_conf":{}}}]})");
}

// Keys of current_conf replace those of the stored configuration; plain keys of env are merged into the
// stored environment.
std::string RestartFromJson(int64_t pm_id, const StartPaths& paths) {
  const std::string pwd = paths.pwd.empty() ? "" : absl::StrCat(R"("PWD":)", Quoted(paths.pwd), ",");
  const std::string cwd_key = paths.cwd_key.empty() ? "" : absl::StrCat(R"(,"cwd":)", Quoted(paths.cwd_key));
  return absl::StrCat(R"({"type":"call","method":"restartProcessId","args":[{"id":)", pm_id, R"(,"env":{)",
                      pwd, R"("current_conf":{"pm_exec_path":)", Quoted(paths.exec_path), R"(,"pm_cwd":)",
                      Quoted(paths.cwd), cwd_key, "}}}]}");
}

absl::StatusOr<std::unique_ptr<Pm2Client>> Pm2Client::Connect(const std::string& home, uid_t uid,
                                                              Micros within, Clock& clock) {
  const Micros deadline = clock.Monotonic() + within;
  auto socket = Pm2Socket::Connect(home, "rpc.sock", uid, within, clock);
  if (!socket.ok()) return socket.status();
  std::unique_ptr<Pm2Client> client(new Pm2Client(std::move(*socket), clock));
  QUELL_RETURN_IF_ERROR(client->LearnMethods(deadline - clock.Monotonic()));
  return client;
}

absl::Status Pm2Client::LearnMethods(Micros within) {
  QUELL_ASSIGN_OR_RETURN(const std::string reply, Exchange(MethodsJson(), within));
  QUELL_ASSIGN_OR_RETURN(const std::vector<MethodShape> shapes, ParseMethodsReply(reply));
  for (const MethodShape& shape : shapes) {
    for (const auto& [name, params] : kKnown)
      if (shape.name == name && (shape.params == params || shape.params == 0)) methods_.insert(shape.name);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Pm2Client::Exchange(std::string_view json, Micros within) {
  QUELL_RETURN_IF_ERROR(broken_);
  const Micros deadline = clock_.Monotonic() + within;
  const int64_t id = ++next_id_;
  const std::string want = std::to_string(id);
  broken_ = socket_.Write(EncodeRequest(json, id), deadline, clock_);
  QUELL_RETURN_IF_ERROR(broken_);

  std::optional<std::string> reply;
  // A reply to an earlier call that ran out of time, or to nobody, is dropped.
  const auto on_frame = [&](AmpFrame&& frame) {
    const bool ours = frame.size() == 2 && frame[1].kind == AmpArgument::Kind::kJson && frame[1].data == want;
    if (ours && !reply && frame[0].kind == AmpArgument::Kind::kJson) reply = std::move(frame[0].data);
  };
  std::string bytes;
  while (!reply) {
    absl::Status read = socket_.Read(&bytes, deadline, clock_);
    if (read.code() == absl::StatusCode::kDeadlineExceeded) return read;  // the connection stays usable
    if (read.ok()) read = parser_.Feed(bytes, on_frame);
    broken_ = read;
    QUELL_RETURN_IF_ERROR(broken_);
    if (!reply && clock_.Monotonic() >= deadline)
      return absl::DeadlineExceededError("waiting for the PM2 daemon: other answers, not ours, came");
  }
  return *std::move(reply);
}

absl::StatusOr<std::string> Pm2Client::Call(std::string_view method, std::string_view json, Micros within) {
  if (methods_.find(method) == methods_.end())
    return absl::UnimplementedError(
        absl::StrCat("this PM2 daemon has no ", View(method), " of the known shape: it is not called"));
  auto reply = Exchange(json, within);
  if (!reply.ok()) return Annotate(reply.status(), absl::StrCat("calling PM2's ", View(method)));
  return reply;
}

absl::StatusOr<std::vector<v1::Pm2App>> Pm2Client::ListApps(Micros within) {
  QUELL_ASSIGN_OR_RETURN(const std::string reply, Call("getMonitorData", ListJson(), within));
  return ParseListReply(reply);
}

absl::StatusOr<std::string> Pm2Client::Version(Micros within) {
  QUELL_ASSIGN_OR_RETURN(const std::string reply, Call("getVersion", VersionJson(), within));
  return ParseTextReply(reply);
}

absl::Status Pm2Client::Restart(int64_t pm_id, Micros within) {
  if (pm_id < 0) return absl::InvalidArgumentError(absl::StrCat("restarting PM2 process ", pm_id, ": no id"));
  QUELL_ASSIGN_OR_RETURN(const std::string reply, Call("restartProcessId", RestartJson(pm_id), within));
  return Annotate(ParseDoneReply(reply), absl::StrCat("restarting PM2 process ", pm_id));
}

absl::Status Pm2Client::RestartFrom(int64_t pm_id, const StartPaths& paths, Micros within) {
  const auto usable_or_empty = [](const std::string& path) { return path.empty() || IsStartPath(path); };
  const bool usable = IsStartPath(paths.exec_path) && IsStartPath(paths.cwd) &&
                      usable_or_empty(paths.cwd_key) && usable_or_empty(paths.pwd);
  if (pm_id < 0 || !usable) {
    return absl::InvalidArgumentError(
        absl::StrCat("starting PM2 process ", pm_id, " from another directory: its paths can't be used"));
  }
  QUELL_ASSIGN_OR_RETURN(const std::string reply,
                         Call("restartProcessId", RestartFromJson(pm_id, paths), within));
  return Annotate(ParseDoneReply(reply), absl::StrCat("restarting PM2 process ", pm_id));
}

absl::StatusOr<std::vector<StartConfig>> Pm2Client::ListStartConfigs(std::string_view mention,
                                                                     Micros within) {
  QUELL_ASSIGN_OR_RETURN(const std::string reply, Call("getMonitorData", ListJson(), within));
  return ParseStartConfigs(reply, mention);
}

}  // namespace quell::pm2
