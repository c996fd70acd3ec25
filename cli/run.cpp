#include "cli/run.h"

#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "cli/approve.h"
#include "common/base/status.h"

namespace quell::cli {
namespace {

// Between looks at a command: soon at first, for most are over at once.
constexpr auto kFirstLook = std::chrono::milliseconds(10);
constexpr auto kBetweenLooks = std::chrono::milliseconds(200);

std::string Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || !found->is_string() ? "" : found->get<std::string>();
}

bool Ended(const std::string& state) {
  static const char* const kOver[] = {"denied",    "withheld", "succeeded", "failed", "refused",
                                      "cancelled", "expired",  "unknown",   "undone"};
  return std::any_of(std::begin(kOver), std::end(kOver), [&](const char* over) { return state == over; });
}

bool HasApp(const Json& host, const std::string& service) {
  for (const auto& app : host.value("apps", Json::array()))
    if (Text(app, "app") == service) return true;
  return false;
}

// Names of the hosts meant, as the controller knows them.
absl::StatusOr<std::vector<std::string>> Targets(Client& client, const RunOptions& options) {
  if (options.hosts.empty() && options.labels.empty() && options.service.empty())
    return absl::InvalidArgumentError("name the hosts: --host H[,H], --service S or -l key=value");
  v1::GetRequest request;
  request.set_kind("hosts");
  request.set_limit(1000);
  QUELL_ASSIGN_OR_RETURN(const auto labels, ParseLabels(options.labels));
  for (const auto& [key, value] : labels) (*request.mutable_labels())[key] = value;
  QUELL_ASSIGN_OR_RETURN(const Json document, client.Read("Get", request));
  std::vector<std::string> names;
  for (const auto& host : document.value("items", Json::array())) {
    const std::string name = Text(host, "name");
    const bool named =
        options.hosts.empty() || std::count(options.hosts.begin(), options.hosts.end(), name) > 0;
    if (named && (options.service.empty() || HasApp(host, options.service))) names.push_back(name);
  }
  for (const auto& name : options.hosts)
    if (std::count(names.begin(), names.end(), name) == 0)
      return absl::NotFoundError(absl::StrCat("there is no host ", name, " that fits"));
  if (names.empty()) return absl::NotFoundError("no host fits");
  std::sort(names.begin(), names.end());
  return names;
}

std::string Progress(const Json& command) {
  std::string line = Text(command, "name") + " " + Text(command, "host") + ": " + Text(command, "state");
  if (!Text(command, "reason").empty()) line += " (" + Text(command, "reason") + ")";
  if (Text(command, "state") == "awaiting_approval") line += "; quell approve " + Text(command, "name");
  return line;
}

absl::StatusOr<Json> Look(Client& client, const Json& thing) {
  v1::DescribeRequest request;
  request.set_kind("command");
  request.set_name(Text(thing, "id"));
  return client.Read("Describe", request);
}

// A host's sanction asks for two, and who asked is one of them: offered once. What came of it is said there.
absl::Status MaySign(Session& session, const RunOptions& options, const Json& thing,
                     std::set<std::string>& offered) {
  QUELL_ASSIGN_OR_RETURN(const Identity* self, session.identity());
  if (self == nullptr || !WaitsForRequester(thing, self->person)) return absl::OkStatus();
  if (offered.insert(Text(thing, "id")).second) Approve(session, {Text(thing, "id"), "", options.yes});
  return absl::OkStatus();
}

// Looks at each command until all have ended or time is up; says each change.
absl::StatusOr<Json> Follow(Session& session, Client& client, const RunOptions& options, Json commands,
                            absl::Time deadline, bool* waiting) {
  std::map<std::string, std::string> said;
  std::set<std::string> offered;
  auto pause = kFirstLook;
  while (true) {
    bool all = true;
    for (auto& command : commands) {
      if (!Ended(Text(command, "state"))) {
        QUELL_ASSIGN_OR_RETURN(command, Look(client, command));
      }
      const std::string line = Progress(command);
      std::string& last = said[Text(command, "id")];
      if (last != line) session.Say(line);
      last = line;
      QUELL_RETURN_IF_ERROR(MaySign(session, options, command, offered));
      all = all && Ended(Text(command, "state"));
    }
    *waiting = !all;
    if (all || session.around().now() >= deadline) return commands;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kBetweenLooks);
  }
}

bool PlanEnded(const Json& plan) {
  const std::string state = Text(plan, "state");
  return state != "awaiting_approval" && state != "running";
}

// Says each change of a plan's commands, and its end.
absl::StatusOr<Json> FollowPlan(Session& session, Client& client, const RunOptions& options, Json plan,
                                absl::Time deadline) {
  std::map<std::string, std::string> said;
  std::set<std::string> offered;
  auto pause = kFirstLook;
  while (true) {
    QUELL_ASSIGN_OR_RETURN(plan, Look(client, plan));
    for (const auto& command : plan.value("commands", Json::array())) {
      const std::string line = Progress(command);
      std::string& last = said[Text(command, "id")];
      if (last != line) session.Say(line);
      last = line;
    }
    if (PlanEnded(plan)) session.Say(Progress(plan));
    QUELL_RETURN_IF_ERROR(MaySign(session, options, plan, offered));
    if (PlanEnded(plan) || session.around().now() >= deadline) return plan;
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, kBetweenLooks);
  }
}

v1::RunRequest Request(const RunOptions& options, const std::vector<std::string>& targets) {
  v1::RunRequest request;
  request.set_action(options.action);
  for (const auto& [key, value] : options.params) (*request.mutable_params())[key] = value;
  for (const auto& name : targets) request.add_hosts(name);
  request.set_service(options.service);
  request.set_incident(options.incident);
  request.set_dry_run(options.dry_run);
  return request;
}

std::string Announce(const std::vector<std::string>& targets) {
  std::string line = std::to_string(targets.size()) + (targets.size() == 1 ? " target: " : " targets: ");
  for (size_t i = 0; i < targets.size() && i < 20; ++i) line += (i == 0 ? "" : ", ") + targets[i];
  return targets.size() > 20 ? line + ", …" : line;
}

// What the answer adds to the announcement.
std::string Added(const std::string& message, const std::string& announced) {
  if (message == announced) return "";
  const size_t after = message.find("; ");
  const bool repeats = after != std::string::npos && message.find(" target") < after;
  return repeats ? message.substr(after + 2) : message;
}

std::string CommandsTable(const Json& document, const ViewOptions& options) {
  return ListView("commands", Json{{"items", document.value("commands", Json::array())}}, options);
}

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseParams(const std::vector<std::string>& words) {
  std::map<std::string, std::string> params;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() < 3 || words[i].compare(0, 2, "--") != 0)
      return absl::InvalidArgumentError(
          absl::StrCat("\"", words[i], "\" is no parameter; they are written --KEY VALUE"));
    const size_t equals = words[i].find('=');
    std::string key = words[i].substr(2, equals == std::string::npos ? equals : equals - 2);
    std::replace(key.begin(), key.end(), '-', '_');
    if (equals == std::string::npos && i + 1 >= words.size())
      return absl::InvalidArgumentError(absl::StrCat("the parameter ", words[i], " has no value"));
    const std::string value = equals == std::string::npos ? words[++i] : words[i].substr(equals + 1);
    if (!params.emplace(key, value).second)
      return absl::InvalidArgumentError(absl::StrCat("the parameter --", key, " is given twice"));
  }
  return params;
}

absl::StatusOr<std::map<std::string, std::string>> ParseLabels(const std::vector<std::string>& words) {
  std::map<std::string, std::string> labels;
  for (const auto& word : words) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos)
      return absl::InvalidArgumentError(
          absl::StrCat("\"", word, "\" is no label; they are written key=value"));
    labels[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return labels;
}

int ExitOfCommands(const Json& commands, bool waiting) {
  bool unknown = false, failed = false, withheld = false, late = waiting;
  for (const auto& command : commands) {
    const std::string state = Text(command, "state");
    unknown = unknown || state == "unknown";
    failed = failed || state == "failed" || state == "cancelled";
    withheld = withheld || state == "refused" || state == "withheld" || state == "denied";
    late = late || state == "expired";
  }
  if (unknown) return kUnknown;
  if (failed) return kFailed;
  if (withheld) return kWithheld;
  return late ? kTimedOut : kDone;
}

int ExitOfPlan(const Json& plan) {
  const std::string state = Text(plan, "state");
  if (state == "done") return kDone;
  if (state == "denied") return kWithheld;
  if (state != "stopped") return kTimedOut;  // or it goes on still
  const int of_commands = ExitOfCommands(plan.value("commands", Json::array()), false);
  // A remedy that did not help has succeeded as a command; else something withheld the rest.
  if (of_commands != kDone) return of_commands;
  for (const auto& command : plan.value("commands", Json::array())) {
    const Json verification = command.value("verification", Json(nullptr));
    if (verification.is_object() && Text(verification, "state") == "not_verified") return kFailed;
  }
  return kWithheld;
}

namespace {

int RunPlan(Session& session, Client& client, const RunOptions& options, Json plan) {
  if (!options.no_wait) {
    auto followed = FollowPlan(session, client, options, plan, session.around().now() + options.timeout);
    if (!followed.ok()) return session.Fail(followed.status());
    plan = *std::move(followed);
  }
  const Json commands = plan.value("commands", Json::array());
  session.Print(Json{{"plan", plan}, {"commands", commands}}, CommandsTable);
  return options.no_wait ? kDone : ExitOfPlan(plan);
}

}  // namespace

int Run(Session& session, const RunOptions& options) {
  const auto client = session.controller();
  if (!client.ok()) return session.Fail(client.status());
  const auto targets = Targets(**client, options);
  if (!targets.ok()) return session.Fail(targets.status());
  session.Say(Announce(*targets));
  const auto acted = (*client)->Act("Run", Request(options, *targets));
  if (!acted.ok()) return session.Fail(acted.status());
  if (const std::string more = Added(acted->message, Announce(*targets)); !more.empty()) session.Say(more);
  if (acted->json.contains("plan")) return RunPlan(session, **client, options, acted->json["plan"]);
  Json commands = acted->json.value("commands", Json::array());
  bool waiting = false;
  if (!options.no_wait && !commands.empty()) {
    auto followed =
        Follow(session, **client, options, commands, session.around().now() + options.timeout, &waiting);
    if (!followed.ok()) return session.Fail(followed.status());
    commands = *followed;
  }
  session.Print(Json{{"commands", commands}}, CommandsTable);
  if (acted->exit != kDone) return acted->exit;
  return options.no_wait ? kDone : ExitOfCommands(commands, waiting);
}

}  // namespace quell::cli
