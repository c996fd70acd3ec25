#include "agent/pm2/messages.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <limits>
#include <optional>
#include <utility>
#include <variant>

#include "agent/pm2/json_walk.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::pm2 {
namespace {

// ---- scalars, of whatever type they came as ---------------------------------------------------------------

std::string Cut(std::string_view text, size_t most = kMaxTextBytes) {
  return std::string(CutUtf8(text, most));
}

std::string AsText(const Scalar& value, size_t most = kMaxTextBytes) {
  if (const auto* text = std::get_if<std::string_view>(&value)) return Cut(*text, most);
  return "";
}

std::optional<double> AsNumber(const Scalar& value) {
  double number = 0;
  if (const auto* d = std::get_if<double>(&value)) {
    number = *d;
  } else if (const auto* b = std::get_if<bool>(&value)) {
    number = *b ? 1 : 0;
  } else if (const auto* text = std::get_if<std::string_view>(&value)) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size() || text->empty()) return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (!std::isfinite(number)) return std::nullopt;
  return number;
}

// Every integer here fits a double's 53 bits: ids, pids, bytes, milliseconds.
int64_t AsInt(const Scalar& value, int64_t otherwise = 0) {
  const std::optional<double> number = AsNumber(value);
  if (!number || std::abs(*number) > 9007199254740992.0) return otherwise;
  return static_cast<int64_t>(*number);
}

bool AsBool(const Scalar& value, bool otherwise) {
  if (const auto* b = std::get_if<bool>(&value)) return *b;
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    if (*text == "true") return true;
    if (*text == "false") return false;
  }
  return otherwise;
}

bool Is(const Scalar& value) { return !std::holds_alternative<std::monostate>(value); }

// A pm_id is a whole number; "_old_1" (and whatever an app might make of it) is none.
std::optional<int64_t> AsId(const Scalar& value) {
  const std::optional<double> number = AsNumber(value);
  if (!number || *number < 0 || *number > 1e9 || *number != std::floor(*number)) return std::nullopt;
  return static_cast<int64_t>(*number);
}

// ---- fields

using AppField = void (*)(v1::Pm2App&, const Scalar&);
struct AppRow {
  std::string_view key;
  AppField set;
};

void LargestDelay(v1::Pm2App& app, const Scalar& value) {
  app.set_restart_delay_ms(std::max(app.restart_delay_ms(), std::max<int64_t>(0, AsInt(value))));
}

// Keys of pm2_env, and no others. restart_delay_ms is the longest of what PM2 may wait.
constexpr AppRow kEnvFields[] = {
    {"namespace", [](v1::Pm2App& a, const Scalar& v) { a.set_name_space(AsText(v)); }},
    {"status", [](v1::Pm2App& a, const Scalar& v) { a.set_status(AsText(v)); }},
    {"exec_mode", [](v1::Pm2App& a, const Scalar& v) { a.set_exec_mode(AsText(v)); }},
    {"restart_time", [](v1::Pm2App& a, const Scalar& v) { a.set_restarts(AsInt(v)); }},
    {"unstable_restarts", [](v1::Pm2App& a, const Scalar& v) { a.set_unstable_restarts(AsInt(v)); }},
    {"pm_uptime", [](v1::Pm2App& a, const Scalar& v) { a.set_started_ms(AsInt(v)); }},
    {"created_at", [](v1::Pm2App& a, const Scalar& v) { a.set_created_ms(AsInt(v)); }},
    {"exit_code", [](v1::Pm2App& a, const Scalar& v) { a.set_exit_code(AsInt(v)); }},
    {"autorestart", [](v1::Pm2App& a, const Scalar& v) { a.set_autorestart(AsBool(v, true)); }},
    {"autostart", [](v1::Pm2App& a, const Scalar& v) { a.set_autostart(AsBool(v, true)); }},
    {"max_memory_restart", [](v1::Pm2App& a, const Scalar& v) { a.set_max_memory_bytes(AsInt(v)); }},
    {"restart_delay", LargestDelay},
    {"prev_restart_delay", LargestDelay},
    {"exp_backoff_restart_delay", LargestDelay},
    {"version", [](v1::Pm2App& a, const Scalar& v) { a.set_version(AsText(v)); }},
    {"node_version", [](v1::Pm2App& a, const Scalar& v) { a.set_node_version(AsText(v)); }},
    {"pm_exec_path", [](v1::Pm2App& a, const Scalar& v) { a.set_exec_path(AsText(v, kMaxPathBytes)); }},
    {"pm_cwd", [](v1::Pm2App& a, const Scalar& v) { a.set_cwd(AsText(v, kMaxPathBytes)); }},
    {"pm_out_log_path", [](v1::Pm2App& a, const Scalar& v) { a.set_out_log_path(AsText(v, kMaxPathBytes)); }},
    {"pm_err_log_path", [](v1::Pm2App& a, const Scalar& v) { a.set_err_log_path(AsText(v, kMaxPathBytes)); }},
    {"kill_timeout", [](v1::Pm2App& a, const Scalar& v) { a.set_kill_timeout_ms(AsInt(v)); }},
    {"pmx_module", [](v1::Pm2App& a, const Scalar& v) { a.set_module(AsBool(v, Is(v))); }},
};

// PM2's own metrics, by name: others in the same map are the app's.
constexpr std::string_view kBuiltInMetrics[] = {
    "Used Heap Size",   "Heap Size",        "Heap Usage", "Event Loop Latency",
    "Active handles",   "Active requests",  "HTTP",       "Event Loop Latency p95",
    "HTTP P95 Latency", "HTTP Mean Latency"};

bool IsBuiltIn(std::string_view name) {
  for (std::string_view known : kBuiltInMetrics)
    if (name == known) return true;
  return false;
}

constexpr size_t kMaxStopCodes = 16;

template <typename Message>
void AddStopCode(Message& message, const Scalar& value) {
  if (AsNumber(value) && static_cast<size_t>(message.stop_exit_codes_size()) < kMaxStopCodes)
    message.add_stop_exit_codes(AsInt(value));
}

v1::Pm2Metric& MetricNamed(v1::Pm2App& app, std::string_view name) {
  for (v1::Pm2Metric& metric : *app.mutable_metrics())
    if (metric.name() == name) return metric;
  v1::Pm2Metric* metric = app.add_metrics();
  metric->set_name(std::string(name));
  metric->set_value(std::numeric_limits<double>::quiet_NaN());
  return *metric;
}

// path[0] is a key of pm2_env.
void TakeEnv(v1::Pm2App& app, Path path, const Scalar& value) {
  if (path.size() == 1) {
    for (const AppRow& row : kEnvFields)
      if (path[0] == row.key) row.set(app, value);
    if (path[0] == "stop_exit_codes") AddStopCode(app, value);
  } else if (path.size() == 2 && path[0] == "stop_exit_codes") {
    AddStopCode(app, value);
  } else if (path.size() == 3 && path[0] == "axm_monitor" && IsBuiltIn(path[1])) {
    if (path[2] == "value" && AsNumber(value)) MetricNamed(app, path[1]).set_value(*AsNumber(value));
    if (path[2] == "unit") MetricNamed(app, path[1]).set_unit(Cut(AsText(value), 16));
  }
}

// An element of the list under construction: name, pm_id and pid are those of the top level, where no
// environment variable can lie.
struct Element {
  v1::Pm2App app;
  std::optional<int64_t> id;
};

void TakeElement(Element& element, Path path, const Scalar& value) {
  if (path.size() == 1) {
    if (path[0] == "name") element.app.set_name(AsText(value));
    if (path[0] == "pm_id") element.id = AsId(value);
    if (path[0] == "pid") element.app.set_pid(std::max<int64_t>(0, AsInt(value)));
  } else if (path[0] == "pm2_env") {
    TakeEnv(element.app, path.subspan(1), value);
  }
}

void DropEmptyMetrics(v1::Pm2App& app) {
  auto* metrics = app.mutable_metrics();
  for (int i = metrics->size() - 1; i >= 0; --i)
    if (std::isnan(metrics->Get(i).value())) metrics->DeleteSubrange(i, 1);
}

// {"error": text}, or what a reply's error may be otherwise.
class ErrorSeen {
 public:
  void Look(Path path, const Scalar& value) {
    if (path.empty() || path[0] != "error") return;
    seen_ = Is(value);
    if (path.size() == 1) text_ = AsText(value);
  }
  absl::Status ToStatus() const {
    if (!seen_) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat("the PM2 daemon says: ", text_.empty() ? "(no text)" : text_));
  }

 private:
  bool seen_ = false;
  std::string text_;
};

absl::Status NotAReply() { return absl::InvalidArgumentError("reading a PM2 reply: it has no args"); }

}  // namespace

absl::StatusOr<std::vector<v1::Pm2App>> ParseListReply(std::string_view json) {
  std::vector<v1::Pm2App> apps;
  Element element;
  ErrorSeen error;
  bool list_seen = false, too_many = false;
  JsonWalk walk;
  walk.on_open = [&](Path path) {
    if (path.size() == 2 && path[0] == "args") list_seen = true;
    if (path.size() != 3 || path[0] != "args") return;
    element = Element();
    element.app.set_autorestart(true);
    element.app.set_autostart(true);
  };
  walk.on_scalar = [&](Path path, const Scalar& value) {
    error.Look(path, value);
    if (path.size() > 3 && path[0] == "args") TakeElement(element, path.subspan(3), value);
  };
  walk.on_close = [&](Path path) {
    if (path.size() != 3 || path[0] != "args" || !element.id) return;
    if (apps.size() >= kMaxApps) {
      too_many = true;
      return;
    }
    element.app.set_pm_id(*element.id);
    DropEmptyMetrics(element.app);
    apps.push_back(std::move(element.app));
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  QUELL_RETURN_IF_ERROR(error.ToStatus());
  if (!list_seen) return NotAReply();
  if (too_many)
    return absl::ResourceExhaustedError(absl::StrCat("the PM2 daemon lists more than ", kMaxApps, " apps"));
  return apps;
}

absl::StatusOr<std::string> ParseTextReply(std::string_view json) {
  std::optional<std::string> text;
  ErrorSeen error;
  JsonWalk walk;
  walk.on_scalar = [&](Path path, const Scalar& value) {
    error.Look(path, value);
    if (path.size() == 2 && path[0] == "args" && !text) text = AsText(value);
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  QUELL_RETURN_IF_ERROR(error.ToStatus());
  if (!text) return NotAReply();
  return *text;
}

absl::Status ParseDoneReply(std::string_view json) {
  bool seen = false;
  ErrorSeen error;
  JsonWalk walk;
  walk.on_open = [&](Path path) { seen = seen || (path.size() == 1 && path[0] == "args"); };
  walk.on_scalar = [&](Path path, const Scalar& value) {
    error.Look(path, value);
    // A stop that could not be done is told as a success whose value has `error`.
    if (path.size() == 3 && path[0] == "args" && path[2] == "error") error.Look(path.subspan(2), value);
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  QUELL_RETURN_IF_ERROR(error.ToStatus());
  return seen ? absl::OkStatus() : NotAReply();
}

absl::StatusOr<std::vector<MethodShape>> ParseMethodsReply(std::string_view json) {
  constexpr size_t kMaxMethods = 256;
  std::vector<MethodShape> shapes;
  bool seen = false;
  JsonWalk walk;
  walk.on_open = [&](Path path) {
    if (path.size() == 1 && path[0] == "methods") seen = true;
    if (path.size() == 2 && path[0] == "methods" && shapes.size() < kMaxMethods)
      shapes.push_back({Cut(path[1]), 0});
  };
  walk.on_scalar = [&](Path path, const Scalar&) {
    const bool param = path.size() == 4 && path[0] == "methods" && path[2] == "params";
    if (param && !shapes.empty() && shapes.back().name == path[1]) ++shapes.back().params;
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  if (!seen) return absl::InvalidArgumentError("reading PM2's list of methods: it has none");
  return shapes;
}

absl::StatusOr<v1::Pm2Event> ParseProcessEvent(std::string_view json) {
  v1::Pm2Event event;
  event.set_autorestart(true);
  std::optional<int64_t> id;
  JsonWalk walk;
  walk.on_scalar = [&](Path path, const Scalar& value) {
    if (path.size() == 1) {
      if (path[0] == "event") event.set_event(AsText(value));
      if (path[0] == "manually") event.set_manually(AsBool(value, false));
      if (path[0] == "at") event.set_at_ms(AsInt(value));
    } else if (path.size() == 2 && path[0] == "process") {
      if (path[1] == "pm_id") id = AsId(value);
      if (path[1] == "name") event.set_app(AsText(value));
      if (path[1] == "status") event.set_status(AsText(value));
      if (path[1] == "exit_code") event.set_exit_code(AsInt(value));
      if (path[1] == "restart_time") event.set_restarts(AsInt(value));
      if (path[1] == "pm_uptime") event.set_started_ms(std::max<int64_t>(0, AsInt(value)));
      if (path[1] == "autorestart") event.set_autorestart(AsBool(value, true));
      if (path[1] == "stop_exit_codes") AddStopCode(event, value);
    } else if (path.size() == 3 && path[0] == "process" && path[1] == "stop_exit_codes") {
      AddStopCode(event, value);
    }
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  if (event.event().empty()) return absl::InvalidArgumentError("reading a PM2 event: it has no name");
  if (!id) return absl::NotFoundError("this PM2 event is about the old worker of a reload");
  event.set_pm_id(*id);
  return event;
}

namespace {

// Reads the line from its end: only the app's name, which its owner chose, can hold brackets.
std::optional<ExitLine> ParseExitLine(std::string_view line) {
  constexpr std::string_view kBegin = "App [", kCode = "] exited with code [", kSignal = "] via signal [";
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  const size_t begin = line.find(kBegin);
  const size_t code = line.rfind(kCode);
  const size_t signal = line.rfind(kSignal);
  if (begin == line.npos || code == line.npos || signal == line.npos || signal < code + kCode.size())
    return std::nullopt;
  if (line.back() != ']' || code < begin + kBegin.size()) return std::nullopt;
  const std::string_view name_and_id = line.substr(begin + kBegin.size(), code - begin - kBegin.size());
  const size_t colon = name_and_id.rfind(':');
  if (colon == name_and_id.npos) return std::nullopt;
  ExitLine result;
  const auto id = AsId(Scalar(name_and_id.substr(colon + 1)));
  if (!id) return std::nullopt;
  result.pm_id = *id;
  result.exit_code = AsInt(Scalar(line.substr(code + kCode.size(), signal - code - kCode.size())));
  const size_t name = signal + kSignal.size();
  result.signal = Cut(line.substr(name, line.size() - 1 - name), 16);
  return result;
}

}  // namespace

absl::StatusOr<std::vector<ExitLine>> ParseDaemonLog(std::string_view json) {
  constexpr size_t kMaxLines = 256;
  std::vector<ExitLine> lines;
  JsonWalk walk;
  walk.on_scalar = [&](Path path, const Scalar& value) {
    const auto* data = std::get_if<std::string_view>(&value);
    if (path.size() != 1 || path[0] != "data" || data == nullptr) return;
    for (std::string_view rest = *data; !rest.empty() && lines.size() < kMaxLines;) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      if (auto line = ParseExitLine(rest.substr(0, end))) lines.push_back(*std::move(line));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  };
  QUELL_RETURN_IF_ERROR(walk.Run(json, kMaxJsonDepth));
  return lines;
}

}  // namespace quell::pm2
