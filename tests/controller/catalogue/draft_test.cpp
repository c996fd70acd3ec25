#include "controller/catalogue/draft.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"
#include "controller/catalogue/loader.h"

namespace quell::catalogue {
namespace {

using testing::HasSubstr;

Catalogue Load(const std::string& draft) {
  config::Problems problems;
  Catalogue catalogue = ParseCatalogue("catalogue.yaml", draft, problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString() << "\n" << draft.substr(0, 20'000);
  return catalogue;
}

std::vector<SeenHost> Fleet() {
  const SeenProbe health{"health", "deploy", "portal"};
  return {{.name = "db-1",
           .labels = {{"role", "db"}},
           .apps = {},
           .databases = {"boutique", "template1"},
           .probes = {{"payments-api", "", ""}}},
          {.name = "web-1",
           .labels = {{"role", "web"}, {"site", "eu"}},
           .apps = {{"deploy", "portal"}, {"deploy", "worker"}, {"other", "worker"}},
           .databases = {},
           .probes = {health}},
          {.name = "web-2",
           .labels = {{"role", "web"}, {"site", "us"}},
           .apps = {{"deploy", "portal"}},
           .databases = {},
           .probes = {health}}};
}

TEST(CatalogueDraft, SaysWhatIsSeen) {
  const std::string draft = Draft(Fleet());
  EXPECT_EQ(draft.substr(draft.find("# host")), R"(# host "db-1", labels {"role": "db"}
# host "web-1", labels {"role": "web", "site": "eu"}
# host "web-2", labels {"role": "web", "site": "us"}
# a probe about no app: "payments-api", for a check or a component {kind: external, probe: "payments-api"}
services:
# on "web-1", "web-2"
- name: "portal"
  components:
  # to name just these hosts: hosts: {"role": "web"}
  - {name: app, kind: pm2, user: "deploy", app: "portal"}
  checks: [{probe: "health"}]
# on "web-1"
- name: "deploy/worker"
  components:
  # to name just these hosts: hosts: {"role": "web", "site": "eu"}
  - {name: app, kind: pm2, user: "deploy", app: "worker"}
# on "web-1"
- name: "other/worker"
  components:
  # to name just these hosts: hosts: {"role": "web", "site": "eu"}
  - {name: app, kind: pm2, user: "other", app: "worker"}
# on "db-1"
- name: "boutique"
  components:
  # to name just these hosts: hosts: {"role": "db"}
  - {name: database, kind: postgres, database: "boutique"}
)");
}

TEST(CatalogueDraft, LoadsAsItStandsAndGivesTheServicesThatThereAreWithoutIt) {
  const Catalogue loaded = Load(Draft(Fleet()));
  EXPECT_EQ(loaded.services.size(), 4u);
  EXPECT_EQ(loaded, OwnServices(Fleet()));
  EXPECT_EQ(Load(Draft({})), Catalogue());
}

TEST(CatalogueDraft, NamesThatAreTakenGetLonger) {
  const Catalogue own =
      OwnServices({{.name = "h", .apps = {{"a", "x"}, {"b", "x"}, {"c", "a/x"}}, .databases = {"a/x"}}});
  std::set<std::string> names;
  for (const Service& service : own.services) names.insert(service.name);
  EXPECT_EQ(names.size(), 4u);
}

// Names of apps, users and databases come from hosts: whoever runs something there chooses them.
TEST(CatalogueDraft, X9_HostileNamesAreQuotedOrLeftOut) {
  const std::set<std::string> quoted = {
      "say \"hi\"",   "it's",     "a\\b",   "x; id", "$(id)", "`id`",
      "# no comment", "- dash",   "{a: b}", "*star", "&and",  "!tag",
      "no",           "null",     "1.5",    "~",     "grün",  "\xF0\x9F\x99\x82",
      "a: b",         "trailing "};
  const std::set<std::string> left_out = {"two\nlines: [",
                                          "tab\there",
                                          "bell\x07",
                                          "del\x7f",
                                          "esc\x1b[2J",
                                          "bidi\u202Eevil",
                                          "nel\u0085",
                                          "bad\xff",
                                          "zero\u200Bwidth",
                                          "",
                                          std::string(64 << 10, 'x'),
                                          std::string("nul\0", 4)};
  std::vector<SeenHost> hosts = {{.name = "web-1", .labels = {{"role", "x\ny: \u202E"}}}};
  for (const auto* names : {&quoted, &left_out}) {
    for (const std::string& name : *names) {
      hosts[0].apps.insert({"deploy", name});
      hosts[0].apps.insert({name, "portal"});
      hosts[0].databases.insert(name);
      hosts[0].probes.insert({name, "deploy", "it's"});
      hosts[0].probes.insert({name, "", ""});
    }
  }
  const std::string draft = Draft(hosts);
  const Catalogue loaded = Load(draft);
  std::set<std::string> apps, users, databases;
  for (const Service& service : loaded.services) {
    const Component& component = service.components.at(0);
    if (component.kind == Kind::kPostgres) databases.insert(component.database);
    if (component.kind == Kind::kPm2 && component.app != "portal") apps.insert(component.app);
    if (component.kind == Kind::kPm2 && component.app == "portal") users.insert(component.user);
    if (component.app == "it's") {
      EXPECT_EQ(service.checks.size(), quoted.size());
    }
  }
  EXPECT_EQ(apps, quoted);
  EXPECT_EQ(users, quoted);
  EXPECT_EQ(databases, quoted);
  EXPECT_THAT(draft,
              HasSubstr(R"(# left out, for its name: the app "two\\x0alines: [" of "deploy" on "web-1")"));
  EXPECT_LT(draft.size(), 64u << 10) << "a long name is not repeated";
  for (std::string_view rest = draft; !rest.empty();) {
    const CodePoint c = DecodeUtf8(rest);
    ASSERT_TRUE(c.valid && (c.value == '\n' || !IsHazardous(c.value))) << rest.substr(0, 80);
    rest.remove_prefix(c.size);
  }
}

TEST(CatalogueDraft, HasABound) {
  SeenHost host{.name = "web-1"};
  for (int i = 0; i < 3'000; ++i) host.apps.insert({"deploy", absl::StrCat(std::string(100, '<'), i)});
  const std::string draft = Draft({host});
  EXPECT_LT(draft.size(), kLongestDraft + (64u << 10));
  EXPECT_GT(Load(draft).services.size(), 100u);
  EXPECT_THAT(draft, HasSubstr("# left out, for want of room: "));
}

}  // namespace
}  // namespace quell::catalogue
