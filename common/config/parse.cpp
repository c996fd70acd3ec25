// The text-to-nodes half of yaml.h, over yaml-cpp's events (its node API loses places, duplicates and tags).
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/disk.h"
#include "common/base/log.h"
#include "common/base/utf8.h"
#include "common/config/yaml.h"

namespace quell::config {
namespace {

constexpr size_t kLargestFile = 1 << 20;
constexpr size_t kDeepest = 32;
constexpr size_t kMostNodes = 200'000;

// Ends the parse: thrown through yaml-cpp, caught in ParseYaml.
struct GiveUp {
  YAML::Mark mark;
  std::string message;
};

class Builder final : public YAML::EventHandler {
 public:
  Builder(std::string_view file, Problems& problems) : file_(file), problems_(problems) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw GiveUp{mark, "a second document; one file holds one"};
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseAnchor(mark, anchor);
    Attach(Make(YamlNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Report(mark, "an alias (*name); write the value out");
    Attach(Make(YamlNode::Kind::kNull, mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    YamlNode node = Make(YamlNode::Kind::kScalar, mark);
    node.scalar = value;
    node.quoted = tag == "!";  // yaml-cpp's tag of an untagged scalar that is quoted or a block
    Attach(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kList, mark, tag, anchor);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(YamlNode::Kind::kMap, mark, tag, anchor);
  }
  void OnMapEnd() override { Close(); }

  YamlNode TakeRoot() { return std::move(root_); }

 private:
  struct Frame {
    YamlNode node;
    std::map<std::string, int> lines;  // of a map: each key's line
    std::optional<YamlNode> key;       // of a map: the key that waits for its value
  };

  YamlNode Make(YamlNode::Kind kind, const YAML::Mark& mark) {
    if (++nodes_ > kMostNodes) throw GiveUp{mark, absl::StrCat("more than ", kMostNodes, " values")};
    YamlNode node;
    node.kind = kind;
    node.file = file_;
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    return node;
  }
  void Report(const YAML::Mark& mark, std::string message) {
    problems_.Add({std::string(file_), mark.line + 1, mark.column + 1, std::move(message)});
  }
  void RefuseAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) Report(mark, "an anchor (&name); write the value out where it is needed");
  }
  void RefuseTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      Report(mark, absl::StrCat("a tag (", EncodeLogText(tag), "); types are known without"));
    }
  }
  void Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    RefuseAnchor(mark, anchor);
    RefuseTag(mark, tag);
    if (frames_.size() >= kDeepest)
      throw GiveUp{mark, absl::StrCat("nested deeper than ", kDeepest, " levels")};
    frames_.push_back({Make(kind, mark), {}, std::nullopt});
  }
  void Close() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    Attach(std::move(node));
  }

  void Attach(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& top = frames_.back();
    if (top.node.kind == YamlNode::Kind::kList) {
      top.node.items.push_back(std::move(node));
    } else if (!top.key.has_value()) {
      CheckKey(top, node);
      top.key = std::move(node);
    } else {
      top.node.entries.emplace_back(std::move(*top.key), std::move(node));
      top.key.reset();
    }
  }
  void CheckKey(Frame& frame, const YamlNode& key) {
    if (key.kind != YamlNode::Kind::kScalar) {
      problems_.Add(key.At("a key must be a text, followed by a colon and its value"));
      return;
    }
    const auto [it, added] = frame.lines.emplace(key.scalar, key.line);
    if (added) return;
    problems_.Add(key.At(absl::StrCat("the key \"", EncodeLogText(key.scalar),
                                      "\" is given twice; first in line ", it->second)));
  }

  const std::string_view file_;
  Problems& problems_;
  std::vector<Frame> frames_;
  YamlNode root_;
  int documents_ = 0;
  size_t nodes_ = 0;
};

// Bytes that no text file has. yaml-cpp would take UTF-16, stop at a NUL, and keep the rest.
std::optional<Mistake> CheckBytes(std::string_view file, std::string_view text) {
  Mistake mistake{std::string(file), 1, 1, ""};
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = DecodeUtf8(text.substr(i));
    const bool control = c.valid && (c.value < 0x20 || c.value == 0x7F) && c.value != '\n' &&
                         c.value != '\t' && c.value != '\r';
    if (!c.valid || control) {
      mistake.message = c.valid ? absl::StrCat("a control character, code ", static_cast<uint32_t>(c.value))
                                : "a byte that is not UTF-8";
      return mistake;
    }
    mistake.column += static_cast<int>(c.size);
    if (c.value == '\n') ++mistake.line, mistake.column = 1;
    i += c.size;
  }
  return std::nullopt;
}

}  // namespace

YamlNode ParseYaml(std::string_view file, std::string_view text, Problems& problems) {
  const std::string name(file);
  if (text.size() > kLargestFile) {
    problems.Add({name, 1, 1, absl::StrCat("larger than ", kLargestFile, " bytes")});
    return {};
  }
  if (std::optional<Mistake> mistake = CheckBytes(file, text)) {
    problems.Add(*std::move(mistake));
    return {};
  }
  Problems found;
  Builder builder(file, found);
  try {
    // yaml-cpp ends a quoted text that nobody closed at the file's last line break; a comment after it makes
    // that the mistake it is.
    std::istringstream stream(
        absl::StrCat(absl::string_view(text.data(), text.size()), text.ends_with('\n') ? "#" : "\n#"));
    YAML::Parser parser(stream);
    bool any = false;
    while (parser.HandleNextDocument(builder)) any = true;
    for (const Mistake& mistake : found.mistakes()) problems.Add(mistake);
    if (any) return builder.TakeRoot();
    YamlNode empty;
    empty.file = name;
    empty.line = empty.column = 1;
    return empty;
  } catch (const GiveUp& e) {
    problems.Add({name, e.mark.line + 1, e.mark.column + 1, e.message});
  } catch (const YAML::Exception& e) {
    problems.Add({name, std::max(1, e.mark.line + 1), std::max(1, e.mark.column + 1),
                  absl::StrCat("not YAML: ", EncodeLogText(e.msg))});
  }
  return {};
}

YamlNode ParseYamlFile(const std::string& path, Problems& problems) {
  const absl::StatusOr<std::string> text = RealDisk().Read(path, kLargestFile);
  if (text.ok()) return ParseYaml(path, *text, problems);
  problems.Add({path, 1, 1, std::string(text.status().message())});
  return {};
}

}  // namespace quell::config
