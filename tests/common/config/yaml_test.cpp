#include "common/config/yaml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quell::config {
namespace {

struct Probe {
  std::string name;
  Micros every = kSecond;
};

struct Config {
  std::string name;
  Micros every = 0;
  bool on = false;
  int64_t port = 0;
  double share = 0;
  double factor = 0;
  int mode = 0;
  std::vector<std::string> users;
  std::map<std::string, std::string> labels;
  std::vector<Probe> probes;
};

// One reader with a key of each type.
Config Load(std::string_view text, Problems& problems) {
  Config config;
  const YamlNode root = ParseYaml("f.yaml", text, problems);
  MapReader map(root, problems, "f.yaml");
  map.String("name", &config.name, kRequired);
  map.Duration("every", &config.every);
  map.Bool("on", &config.on);
  map.Int("port", &config.port, 1, 65535);
  map.Share("share", &config.share);
  map.Double("factor", &config.factor);
  map.Choice("mode", {"observe", "ask", "automatic"}, &config.mode);
  map.Strings("users", &config.users);
  map.StringMap("labels", &config.labels);
  map.Each("probes", [&](const YamlNode& item) {
    Probe& probe = config.probes.emplace_back();
    MapReader reader(item, problems, "a probe");
    reader.String("name", &probe.name, kRequired);
    reader.Duration("every", &probe.every);
    reader.Finish();
  });
  map.Finish();
  return config;
}

TEST(YamlTest, ReadsEveryType) {
  Problems problems;
  const Config config = Load(R"(# a comment
name: NO
every: 1m30s
on: true
port: 7400
share: 12.5%
factor: -1.5e3
mode: automatic
users: [deploy, "a: b"]
labels: {site: eu, n: 1}
probes:
- {name: health}
- name: login
  every: 5s
)",
                             problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(config.name, "NO");
  EXPECT_EQ(config.every, 90 * kSecond);
  EXPECT_TRUE(config.on);
  EXPECT_EQ(config.port, 7400);
  EXPECT_DOUBLE_EQ(config.share, 0.125);
  EXPECT_DOUBLE_EQ(config.factor, -1500);
  EXPECT_EQ(config.mode, 2);
  EXPECT_EQ(config.users, (std::vector<std::string>{"deploy", "a: b"}));
  EXPECT_EQ(config.labels, (std::map<std::string, std::string>{{"n", "1"}, {"site", "eu"}}));
  ASSERT_EQ(config.probes.size(), 2u);
  EXPECT_EQ(config.probes[1].every, 5 * kSecond);
}

TEST(YamlTest, AScalarCanStandForAListOfOne) {
  Problems problems;
  EXPECT_EQ(Load("name: x\nusers: deploy\n", problems).users, std::vector<std::string>{"deploy"});
  EXPECT_TRUE(problems.ok());
}

TEST(YamlTest, AnEmptyFileMissesItsRequiredKeys) {
  for (const std::string_view text : {"", "# nothing\n", "---\n", "{}"}) {
    Problems problems;
    Load(text, problems);
    ASSERT_EQ(problems.mistakes().size(), 1u) << text << problems.ToString();
    EXPECT_THAT(problems.ToString(), testing::HasSubstr("the key \"name\" is missing in f.yaml")) << text;
  }
}

struct Bad {
  std::string_view text;
  std::string_view told;
};

TEST(YamlTest, TellsEachMistakeAtItsPlace) {
  const Bad table[] = {
      {"name: a\nevry: 5s\n", "f.yaml:2:1: unknown key \"evry\" in f.yaml; did you mean \"every\"?"},
      {"name: a\nzzzzzz: 1\n", "f.yaml:2:1: unknown key \"zzzzzz\" in f.yaml"},
      {"name: a\nname: b\n", "f.yaml:2:1: the key \"name\" is given twice; first in line 1"},
      {"name: a\nlabels: {x: 1, y: 2, x: 3}\n", "f.yaml:2:22: the key \"x\" is given twice; first in line 2"},
      {"name: &a x\n", "f.yaml:1:7: an anchor (&name); write the value out where it is needed"},
      {"name: !!str x\n", "f.yaml:1:7: a tag (tag:yaml.org,2002:str); types are known without"},
      {"name: a\n---\nname: b\n", "f.yaml:2:1: a second document; one file holds one"},
      {"name: a\nevery: 5\n",
       "f.yaml:2:8: \"every\" in f.yaml is \"5\", but must be a duration such as 30s, 5m, 24h or 1h30m"},
      {"name: a\nevery: -5s\n",
       "f.yaml:2:8: \"every\" in f.yaml is \"-5s\", but must be a duration such as 30s, 5m, 24h or 1h30m"},
      {"name: a\non: yes\n", "f.yaml:2:5: \"on\" in f.yaml is \"yes\", but must be true or false"},
      {"name: a\nport: 0\n",
       "f.yaml:2:7: \"port\" in f.yaml is \"0\", but must be a whole number from 1 to 65535"},
      {"name: a\nport: 0x50\n",
       "f.yaml:2:7: \"port\" in f.yaml is \"0x50\", but must be a whole number from 1 to 65535"},
      {"name: a\nport: 99999999999999999999\n",
       "f.yaml:2:7: \"port\" in f.yaml is \"99999999999999999999\", but must be a whole number from 1 to "
       "65535"},
      {"name: a\nshare: 0.1\n",
       "f.yaml:2:8: \"share\" in f.yaml is \"0.1\", but must be a share from 0% to 100%"},
      {"name: a\nshare: 101%\n",
       "f.yaml:2:8: \"share\" in f.yaml is \"101%\", but must be a share from 0% to 100%"},
      {"name: a\nfactor: .nan\n", "f.yaml:2:9: \"factor\" in f.yaml is \".nan\", but must be a number"},
      {"name: a\nfactor: 1e999\n", "f.yaml:2:9: \"factor\" in f.yaml is \"1e999\", but must be a number"},
      {"name: a\nmode: on\n",
       "f.yaml:2:7: \"mode\" in f.yaml is \"on\", but must be one of observe, ask, automatic"},
      {"name: [a]\n", "f.yaml:1:7: \"name\" in f.yaml must be a single value, not a list"},
      {"name: a\nprobes: {x: 1}\n", "f.yaml:2:9: \"probes\" in f.yaml must be a list, not a map"},
      {"name: a\nprobes: [health]\n",
       "f.yaml:2:10: a probe must be a map of keys and values, not a single value"},
      {"name: a\nprobes:\n- {every: 5s}\n", "f.yaml:3:3: the key \"name\" is missing in a probe"},
      {"name:\n", "the key \"name\" is empty in f.yaml"},
      {"name: a\nusers: [a, [b]]\n",
       "f.yaml:2:12: each item of \"users\" in f.yaml must be a single value, not a list"},
      {"name: a\nlabels: {x: {y: 1}}\n",
       "f.yaml:2:13: \"x\" in \"labels\" must be a single value, not a map"},
      {"name: a\n? [b]\n: c\n", "f.yaml:2:3: a key must be a text, followed by a colon and its value"},
      {"- name: a\n", "f.yaml:1:1: f.yaml must be a map of keys and values, not a list"},
      {"name: \"a\x01\"\n", "f.yaml:1:9: a control character, code 1"},
      {"name: \xff\n", "f.yaml:1:7: a byte that is not UTF-8"},
      {"\nname: {a\n", "f.yaml:2:8: not YAML: end of map flow not found"},
      {"name: a\n\tport: 1\n", "f.yaml:2:1: not YAML: "},
      {"name: 'a\n", "not YAML: "},
  };
  for (const Bad& bad : table) {
    Problems problems;
    Load(bad.text, problems);
    ASSERT_EQ(problems.mistakes().size(), 1u) << bad.text << "\n" << problems.ToString();
    EXPECT_THAT(problems.ToString(), testing::HasSubstr(std::string(bad.told))) << bad.text;
  }
}

TEST(YamlTest, AnAliasIsRefusedWithItsAnchor) {
  Problems problems;
  ParseYaml("f", "a: &x 1\nb: *x\n<<: *x\n", problems);
  EXPECT_EQ(problems.ToString(),
            "f:1:4: an anchor (&name); write the value out where it is needed\n"
            "f:2:4: an alias (*name); write the value out\n"
            "f:3:5: an alias (*name); write the value out");
  Problems undefined;
  ParseYaml("f", "a: *none\n", undefined);
  EXPECT_EQ(undefined.mistakes().size(), 1u);
}

TEST(YamlTest, TellsAllMistakesAtOnceInOrder) {
  Problems problems;
  Load("port: 0\nprobes:\n- {evry: 1}\nname: [x]\nbogus: 1\n", problems);
  EXPECT_EQ(problems.ToString(),
            "f.yaml:1:7: \"port\" in f.yaml is \"0\", but must be a whole number from 1 to 65535\n"
            "f.yaml:3:3: the key \"name\" is missing in a probe\n"
            "f.yaml:3:4: unknown key \"evry\" in a probe; did you mean \"every\"?\n"
            "f.yaml:4:7: \"name\" in f.yaml must be a single value, not a list\n"
            "f.yaml:5:1: unknown key \"bogus\" in f.yaml");
  EXPECT_EQ(problems.ToStatus().code(), absl::StatusCode::kInvalidArgument);
}

TEST(YamlTest, DepthSizeAndCountAreBounded) {
  const auto nested = [](size_t n) { return "a: " + std::string(n, '[') + std::string(n, ']'); };
  Problems fits;
  ParseYaml("f", nested(31), fits);
  EXPECT_TRUE(fits.ok()) << fits.ToString();
  for (const std::string& text :
       {nested(32), nested(100'000), std::string(500'000, '['), std::string(500'000, '{'),
        "a: [" + std::string(400'000, ',') + "]", "a: " + std::string(1 << 20, 'x')}) {
    Problems problems;
    const YamlNode node = ParseYaml("f", text, problems);
    EXPECT_EQ(problems.mistakes().size(), 1u) << text.substr(0, 40);
    EXPECT_EQ(node.kind, YamlNode::Kind::kNull);
  }
  std::string many;
  for (int i = 0; i < 1000; ++i) many += "k: 1\n";
  Problems problems;
  ParseYaml("f", many, problems);
  EXPECT_EQ(problems.mistakes().size(), 501u);
}

TEST(YamlTest, X06_ValuesInMessagesAreEncoded) {
  Problems problems;
  Load("name: a\n\"\\e[31m\\n\": 1\n", problems);
  EXPECT_EQ(problems.ToString(), "f.yaml:2:1: unknown key \"\\x1b[31m\\n\" in f.yaml");
}

TEST(YamlTest, AnUnreadableFileIsAMistake) {
  Problems problems;
  ParseYamlFile("/no/such/file.yaml", problems);
  EXPECT_THAT(problems.ToString(),
              testing::StartsWith("/no/such/file.yaml:1:1: opening /no/such/file.yaml: "));
}

TEST(YamlTest, BlockScalarsKeepTheirText) {
  Problems problems;
  const YamlNode root = ParseYaml("f", "expr: |\n  a > 1\n  and b\nother: \"q\"\nplain: q\n", problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  EXPECT_EQ(root.Find("expr")->scalar, "a > 1\nand b\n");
  EXPECT_TRUE(root.Find("other")->quoted);
  EXPECT_FALSE(root.Find("plain")->quoted);
}

}  // namespace
}  // namespace quell::config
