#include "controller/app/config_parts.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/text/encode.h"

namespace quell::app {
namespace {

using config::Problems;
using config::YamlNode;
using Kind = YamlNode::Kind;

constexpr size_t kShortestToken = 16;

// The procedure's: acknowledged within 5 min; answered within 15 min, 1 h, 4 h (8 h off-hours), 24 h; an
// update every 15 min for P0, 30 min for P1.
v1::SeverityDeadlines DefaultDeadlines(v1::Severity severity) {
  static constexpr Micros kRespond[] = {15 * kMinute, kHour, 4 * kHour, 24 * kHour};
  static constexpr Micros kUpdate[] = {15 * kMinute, 30 * kMinute, 0, 0};
  v1::SeverityDeadlines deadlines;
  deadlines.set_severity(severity);
  deadlines.set_acknowledge_us(5 * kMinute);
  deadlines.set_respond_us(kRespond[severity - v1::P0]);
  deadlines.set_update_us(kUpdate[severity - v1::P0]);
  if (severity == v1::P2) deadlines.set_respond_off_hours_us(8 * kHour);
  return deadlines;
}

void ReadDeadlinesOf(const YamlNode& node, Problems& problems, v1::SeverityDeadlines& deadlines) {
  config::MapReader map(node, problems, "deadlines of " + v1::Severity_Name(deadlines.severity()));
  Micros acknowledge = deadlines.acknowledge_us();
  Micros respond = deadlines.respond_us();
  Micros update = deadlines.update_us();
  Micros off_hours = deadlines.respond_off_hours_us();
  map.Duration("acknowledge", &acknowledge);
  map.Duration("respond", &respond);
  map.Duration("update", &update);
  map.Duration("respond_off_hours", &off_hours);
  map.Finish();
  deadlines.set_acknowledge_us(acknowledge);
  deadlines.set_respond_us(respond);
  deadlines.set_update_us(update);
  deadlines.set_respond_off_hours_us(off_hours);
}

// A list of scalars, or one scalar, as nodes.
std::vector<const YamlNode*> Scalars(const YamlNode& node, Problems& problems) {
  std::vector<const YamlNode*> scalars;
  if (node.kind == Kind::kScalar) return {&node};
  if (node.kind != Kind::kList) {
    if (node.kind == Kind::kMap) problems.Add(node.At("a name or a list of names is needed here"));
    return scalars;
  }
  for (const YamlNode& item : node.items) {
    if (item.kind == Kind::kScalar) {
      scalars.push_back(&item);
    } else {
      problems.Add(item.At("a name is needed here"));
    }
  }
  return scalars;
}

// Names of receivers; each that is none is a mistake at its place.
std::vector<std::string> ReadNames(const YamlNode& node, Problems& problems, const v1::Config& config) {
  std::vector<std::string> names;
  for (const YamlNode* name : Scalars(node, problems)) {
    const bool known = std::any_of(config.receivers().begin(), config.receivers().end(),
                                   [&](const v1::Receiver& r) { return r.name() == name->scalar; });
    if (!known) problems.Add(name->At("there is no receiver " + text::Json(name->scalar)));
    names.push_back(name->scalar);
  }
  return names;
}

void ReadReceiver(const YamlNode& name, const YamlNode& node, Problems& problems, ControllerConfig& config) {
  if (!IsPersonName(name.scalar)) {
    return problems.Add(
        name.At("a receiver's name is of lower-case letters, digits and hyphens, at most 64"));
  }
  if (node.kind != Kind::kMap) return problems.Add(node.At("a receiver is a map with a type"));
  v1::Receiver& receiver = *config.config.add_receivers();
  receiver.set_name(name.scalar);
  const YamlNode* type = node.Find("type");
  if (type == nullptr) return problems.Add(node.At("receiver " + name.scalar + " has no type"));
  receiver.set_type(type->scalar);
  const YamlNode* wakes = node.Find("wakes");
  receiver.set_wakes(wakes != nullptr && wakes->scalar == "true");
  const receivers::ReceiverRow* row = receivers::FindReceiver(type->scalar);
  if (row != nullptr) {
    config.receivers[name.scalar] = row->make(name.scalar, node, problems);
    return;
  }
  std::string known;
  for (const auto& r : receivers::ReceiverRegistry()) {
    absl::StrAppend(&known, known.empty() ? "" : ", ", absl::string_view(r.type.data(), r.type.size()));
  }
  problems.Add(
      type->At("there is no receiver type " + text::Json(type->scalar) + " (there are " + known + ")"));
}

config::Secret ReadToken(const YamlNode& node, Problems& problems, const std::string& path) {
  auto token = config::ReadSecretFile(path);
  if (!token.ok()) {
    problems.Add(node.At(std::string(token.status().message())));
    return {};
  }
  if (token->Reveal().size() < kShortestToken)
    problems.Add(node.At(absl::StrCat("the token in ", path, " is shorter than ", kShortestToken, " bytes")));
  return *std::move(token);
}

http::ChangeSource ReadSource(const YamlNode& node, Problems& problems, const std::string& base) {
  http::ChangeSource source;
  config::MapReader map(node, problems, "a source");
  map.String("name", &source.name, config::kRequired);
  std::string file;
  map.String("token_file", &file, config::kRequired);
  int may = 0;
  map.Choice("may", {"observe"}, &may);
  map.Bool("changes", &source.changes);
  map.Strings("services", &source.services);
  int64_t per_minute = source.per_minute;
  map.Int("per_minute", &per_minute, 1, 600);
  source.per_minute = static_cast<uint32_t>(per_minute);
  map.Finish();
  if (!source.name.empty() && !IsPersonName(source.name))
    problems.Add(node.At("a source's name is of lower-case letters, digits and hyphens, at most 64"));
  if (!file.empty())
    source.token = ReadToken(*node.Find("token_file"), problems, file[0] == '/' ? file : base + "/" + file);
  return source;
}

bool IsYamlName(const std::string& name) {
  return name[0] != '.' && (absl::EndsWith(name, ".yml") || absl::EndsWith(name, ".yaml"));
}

void Expand(const YamlNode& item, const std::string& base, Problems& problems, std::set<std::string>& out) {
  const std::string path = item.scalar[0] == '/' ? item.scalar : base + "/" + item.scalar;
  struct stat st;
  if (stat(path.c_str(), &st) == 0) {
    if (!S_ISDIR(st.st_mode)) {
      out.insert(path);
      return;
    }
    for (const std::string& file : FilesIn(path)) out.insert(file);
    return;
  }
  glob_t found{};
  const int result = glob(path.c_str(), GLOB_ERR, nullptr, &found);
  for (size_t i = 0; result == 0 && i < found.gl_pathc; ++i) out.insert(found.gl_pathv[i]);
  globfree(&found);
  if (result != 0) problems.Add(item.At("there is no file, directory or match for " + text::Json(path)));
}

}  // namespace

v1::Severity ReadSeverity(const YamlNode& node, Problems& problems) {
  for (const v1::Severity severity : {v1::P0, v1::P1, v1::P2, v1::P3}) {
    if (node.scalar == v1::Severity_Name(severity)) return severity;
  }
  problems.Add(node.At("a severity is P0, P1, P2 or P3"));
  return v1::SEVERITY_UNSPECIFIED;
}

void ReadDeadlines(config::MapReader& map, Problems& problems, v1::Config& config) {
  for (const v1::Severity severity : {v1::P0, v1::P1, v1::P2, v1::P3}) {
    *config.add_deadlines() = DefaultDeadlines(severity);
  }
  map.Entries("deadlines", [&](const YamlNode& key, const YamlNode& value) {
    const v1::Severity severity = ReadSeverity(key, problems);
    if (severity == v1::SEVERITY_UNSPECIFIED) return;
    ReadDeadlinesOf(value, problems, *config.mutable_deadlines(severity - v1::P0));
  });
}

void ReadReceivers(config::MapReader& map, Problems& problems, ControllerConfig& config) {
  map.Entries("receivers", [&](const YamlNode& name, const YamlNode& node) {
    ReadReceiver(name, node, problems, config);
  });
}

void ReadAudience(config::MapReader& map, Problems& problems, ControllerConfig& config) {
  // Without an audience: the procedure's, of the receivers that there are.
  static const std::vector<std::string> kSteps[] = {
      {"oncall", "secondary", "management"}, {"oncall", "management"}, {"oncall"}, {}};
  std::map<v1::Severity, std::vector<std::string>> steps;
  for (int i = 0; i < 4 && !map.Has("audience"); ++i) {
    auto& list = steps[static_cast<v1::Severity>(v1::P0 + i)];
    std::copy_if(kSteps[i].begin(), kSteps[i].end(), std::back_inserter(list),
                 [&](const std::string& name) { return config.receivers.count(name) > 0; });
  }
  map.Entries("audience", [&](const YamlNode& key, const YamlNode& value) {
    const v1::Severity severity = ReadSeverity(key, problems);
    steps[severity] = ReadNames(value, problems, config.config);
  });
  for (const auto& [severity, names] : steps) {
    v1::Audience& audience = *config.config.add_audience();
    audience.set_severity(severity);
    for (const std::string& name : names) audience.add_steps(name);
  }
}

void ReadRoutes(config::MapReader& map, Problems& problems, ControllerConfig& config) {
  map.Each("routes", [&](const YamlNode& node) {
    config::MapReader reader(node, problems, "a route");
    v1::Route& route = *config.config.add_routes();
    if (const YamlNode* severities = reader.Node("severity"); severities != nullptr) {
      for (const YamlNode* s : Scalars(*severities, problems))
        route.add_severities(ReadSeverity(*s, problems));
    }
    if (const YamlNode* to = reader.Node("to", config::kRequired); to != nullptr) {
      for (const std::string& name : ReadNames(*to, problems, config.config)) route.add_to(name);
    }
    reader.Finish();
  });
}

void ReadSources(config::MapReader& map, Problems& problems, const std::string& base,
                 ControllerConfig& config) {
  map.Each("sources", [&](const YamlNode& node) {
    http::ChangeSource source = ReadSource(node, problems, base);
    for (const http::ChangeSource& other : config.sources) {
      if (other.name == source.name) problems.Add(node.At("there are two sources named " + source.name));
      if (!source.token.empty() && other.token.Reveal() == source.token.Reveal())
        problems.Add(node.At("sources " + other.name + " and " + source.name + " have the same token"));
    }
    config.sources.push_back(std::move(source));
    if (config.sources.size() == http::ChangeReceiver::kMostSources + 1)
      problems.Add(
          node.At(absl::StrCat("there are more than ", http::ChangeReceiver::kMostSources, " sources")));
  });
}

std::vector<std::string> FilesOver(const std::string& defaults, const std::string& directory) {
  std::map<std::string, std::string> by_name;
  for (const std::string& place : {defaults, directory}) {
    for (const std::string& file : FilesIn(place)) by_name[file.substr(place.size())] = file;
  }
  std::vector<std::string> files;
  for (const auto& [name, file] : by_name) {
    std::error_code error;
    if (std::filesystem::read_symlink(file, error) != "/dev/null") files.push_back(file);
  }
  return files;
}

std::vector<std::string> FilesIn(const std::string& directory) {
  std::vector<std::string> files;
  const auto names = RealDisk().List(directory);
  if (!names.ok()) return files;
  for (const std::string& name : *names) {
    if (IsYamlName(name)) files.push_back(directory + "/" + name);
  }
  return files;
}

std::vector<std::string> FindFiles(const YamlNode& list, const std::string& base, Problems& problems) {
  std::set<std::string> files;
  for (const YamlNode* item : Scalars(list, problems)) {
    if (item->scalar.empty()) {
      problems.Add(item->At("a path is needed here"));
    } else {
      Expand(*item, base, problems, files);
    }
  }
  return {files.begin(), files.end()};
}

std::string Redact(const YamlNode& node) {
  std::string out;
  switch (node.kind) {
    case Kind::kNull:
      return "null";
    case Kind::kScalar:
      return text::Json(node.scalar);
    case Kind::kList:
      for (const YamlNode& item : node.items) out += (out.empty() ? "" : ", ") + Redact(item);
      return "[" + out + "]";
    case Kind::kMap:
      for (const auto& [key, value] : node.entries) {
        out += (out.empty() ? "" : ", ") + Redact(key) + ": ";
        out += key.scalar == "url" ? "\"(not recorded)\"" : Redact(value);
      }
      return "{" + out + "}";
  }
  return out;
}

}  // namespace quell::app
