// Strict YAML: one pass over a file that gathers every mistake with file:line:column (1-based) and loads
// nothing halfway. Unknown and duplicate keys, aliases, anchors, tags and several documents in one file are
// refused; a scalar is taken by the type that is asked for (`NO` is a string). At most 1 MiB, 32 levels and
// 200,000 values; the first 500 mistakes are kept.
// Values; one thread per Problems.
//
//   Problems problems;
//   auto root = ParseYaml(path, text, problems);
//   MapReader map(root, problems, "agent.yaml");
//   map.String("name", &config.name, kRequired);
//   map.Duration("every", &config.every);
//   map.Each("probes", [&](const YamlNode& item) { … });
//   map.Finish();                       // reports keys nobody asked for, with the nearest known one
//   if (!problems.ok()) return problems.ToStatus();
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace quell::config {

struct Mistake {
  std::string file;
  int line = 0;    // 1-based
  int column = 0;  // 1-based
  std::string message;
  std::string ToString() const;  // file:line:column: message
};

class Problems {
 public:
  void Add(Mistake mistake);
  bool ok() const { return mistakes_.empty(); }
  const std::vector<Mistake>& mistakes() const { return mistakes_; }
  std::string ToString() const;   // one line each, in order of place
  absl::Status ToStatus() const;  // InvalidArgument with ToString(); OK when there are none

 private:
  std::vector<Mistake> mistakes_;
};

// A parsed node: scalar, list or map, with its place. Immutable.
class YamlNode {
 public:
  enum class Kind { kNull, kScalar, kList, kMap };
  // Out of line: a pair of an unfinished type can't be destroyed where clang 14 would look at it.
  YamlNode();
  YamlNode(const YamlNode&);
  YamlNode(YamlNode&&) noexcept;
  YamlNode& operator=(const YamlNode&);
  YamlNode& operator=(YamlNode&&) noexcept;
  ~YamlNode();
  Kind kind = Kind::kNull;
  std::string file;
  int line = 0;
  int column = 0;
  std::string scalar;
  bool quoted = false;
  std::vector<YamlNode> items;                         // of a list
  std::vector<std::pair<YamlNode, YamlNode>> entries;  // of a map, in order
  const YamlNode* Find(std::string_view key) const;    // of a map
  Mistake At(std::string message) const;
};

// A syntax error is one mistake and ends this file's list: the answer is then a null node without a place, of
// which a MapReader misses nothing. An empty file is a null node at 1:1.
YamlNode ParseYaml(std::string_view file, std::string_view text, Problems& problems);
// Reads and parses; an unreadable file is a mistake at 1:1.
YamlNode ParseYamlFile(const std::string& path, Problems& problems);

inline constexpr bool kRequired = true;

// Reads one map; an empty value counts as an absent one. Each getter reports a wrong type at its place and
// leaves *out alone then. `node` must outlive the reader; `what` names the map in messages.
class MapReader {
 public:
  MapReader(const YamlNode& node, Problems& problems, std::string_view what);
  bool Has(std::string_view key) const;
  void String(std::string_view key, std::string* out, bool required = false);
  void Strings(std::string_view key, std::vector<std::string>* out,
               bool required = false);  // a list, or one scalar
  void StringMap(std::string_view key, std::map<std::string, std::string>* out, bool required = false);
  void Bool(std::string_view key, bool* out, bool required = false);
  void Int(std::string_view key, int64_t* out, int64_t least, int64_t most, bool required = false);
  void Double(std::string_view key, double* out, bool required = false);
  void Share(std::string_view key, double* out, bool required = false);  // "10%" -> 0.1
  void Duration(std::string_view key, Micros* out, bool required = false);
  void Choice(std::string_view key, const std::vector<std::string_view>& names, int* out,
              bool required = false);
  void Map(std::string_view key, const std::function<void(const YamlNode&)>& read, bool required = false);
  void Each(std::string_view key, const std::function<void(const YamlNode&)>& read,
            bool required = false);  // a list
  void Entries(std::string_view key,
               const std::function<void(const YamlNode& key, const YamlNode& value)>& read,
               bool required = false);  // a map with free keys
  const YamlNode* Node(std::string_view key, bool required = false);
  void Finish();
  const YamlNode& node() const { return node_; }

 private:
  const YamlNode* Typed(std::string_view key, YamlNode::Kind kind, bool required);
  void WrongValue(const YamlNode& value, std::string_view key, std::string_view needed);

  const YamlNode& node_;
  Problems& problems_;
  std::string what_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace quell::config
