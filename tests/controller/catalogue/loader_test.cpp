#include "controller/catalogue/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace quell::catalogue {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The users' contract has this one.
constexpr char kContract[] = R"(services:
- name: client-portal
  components:
  - {name: web, kind: pm2, app: boutique-client-portal, hosts: {role: web}, core: true}
  - {name: websocket, kind: pm2, app: boutique-websocket-server, hosts: {role: web}}
  - {name: database, kind: postgres, database: boutique, hosts: {role: db}, core: true, capability: authentication}
  - {name: payments, kind: external, probe: payments-api}
  checks: [{probe: health, core: true, from: {role: probe}, need: 2}, {probe: login, capability: authentication}]
  depends: {web: [database, payments], websocket: [web]}
  contacts: {primary: "schedule:portal", secondary: bob, management: carol, database: dave}
  channels: {email: incidents@example.com, slack: "#incidents", conference: …}
  links: {dashboard: …, status_page: …, runbook: …}
people: {alice: {email: …, phone: …, zone: Europe/Berlin}}
schedules: {portal: {zone: Europe/Berlin, handover: "mon 09:00", rota: [alice, bob]}}
)";

TEST(CatalogueFile, IsReadAsTheContractHasIt) {
  config::Problems problems;
  const Catalogue catalogue = ParseCatalogue("catalogue.yaml", kContract, problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  ASSERT_EQ(catalogue.services.size(), 1u);
  const Service& portal = catalogue.services[0];
  EXPECT_EQ(portal.name, "client-portal");
  ASSERT_EQ(portal.components.size(), 4u);
  EXPECT_EQ(portal.components[0].kind, Kind::kPm2);
  EXPECT_EQ(portal.components[0].app, "boutique-client-portal");
  EXPECT_EQ(portal.components[0].user, "");
  EXPECT_EQ(portal.components[0].hosts, (Selector{{"role", "web"}}));
  EXPECT_TRUE(portal.components[0].core);
  EXPECT_FALSE(portal.components[1].core);
  EXPECT_EQ(portal.components[2].database, "boutique");
  EXPECT_EQ(portal.components[2].capability, "authentication");
  EXPECT_EQ(portal.components[3].kind, Kind::kExternal);
  EXPECT_EQ(portal.components[3].probe, "payments-api");
  ASSERT_EQ(portal.checks.size(), 2u);
  EXPECT_EQ(portal.checks[0].from, (Selector{{"role", "probe"}}));
  EXPECT_EQ(portal.checks[0].need, 2);
  EXPECT_EQ(portal.checks[1].capability, "authentication");
  EXPECT_THAT(portal.depends.at("web"), ElementsAre("database", "payments"));
  EXPECT_EQ(portal.contacts.at("primary"), "schedule:portal");
  EXPECT_EQ(portal.channels.at("slack"), "#incidents");
  EXPECT_EQ(portal.links.size(), 3u);
  EXPECT_EQ(portal.max_severity, v1::SEVERITY_UNSPECIFIED);
  EXPECT_EQ(catalogue.people.at("alice").zone, "Europe/Berlin");
  EXPECT_THAT(catalogue.schedules.at("portal").rota, ElementsAre("alice", "bob"));
}

TEST(CatalogueFile, AnEmptyOneHasNoServices) {
  config::Problems problems;
  EXPECT_EQ(ParseCatalogue("catalogue.yaml", "# nothing yet\n", problems), Catalogue());
  EXPECT_EQ(ParseCatalogue("catalogue.yaml", "services: []\n", problems), Catalogue());
  EXPECT_TRUE(problems.ok()) << problems.ToString();
}

struct Mistake {
  std::string name, text, place, message;
};
class CatalogueMistakes : public testing::TestWithParam<Mistake> {};

TEST_P(CatalogueMistakes, AreToldWithTheirPlace) {
  config::Problems problems;
  ParseCatalogue("c.yaml", GetParam().text, problems);
  ASSERT_EQ(problems.mistakes().size(), 1u) << problems.ToString();
  EXPECT_THAT(problems.ToString(), HasSubstr("c.yaml:" + GetParam().place + ": "));
  EXPECT_THAT(problems.ToString(), HasSubstr(GetParam().message));
}

std::string With(const std::string& component, const std::string& more = "") {
  return "services:\n- name: portal\n  components:\n  - {name: web, kind: pm2, app: portal}\n  - " +
         component + "\n" + more;
}
const char kDb[] = "{name: db, kind: postgres, database: boutique}";

INSTANTIATE_TEST_SUITE_P(
    One, CatalogueMistakes,
    testing::Values(
        Mistake{"UnknownKey", "servcies: []\n", "1:1", "did you mean \"services\"?"},
        Mistake{"DuplicateKey", With("{name: db, kind: postgres, database: a, database: b}"), "5:45",
                "twice"},
        Mistake{"UnknownKeyOfAComponent", With("{name: db, kind: postgres, database: a, host: {role: db}}"),
                "5:45", "did you mean \"hosts\"?"},
        Mistake{"NoComponents", "services: [{name: portal}]\n", "1:12", "\"components\" is missing"},
        Mistake{"EmptyComponents", "services: [{name: portal, components: []}]\n", "1:39", "at least one"},
        Mistake{"NoName", With("{kind: postgres, database: a}"), "5:5", "\"name\" is missing"},
        Mistake{"EmptyName", With("{name: \"\", kind: postgres, database: a}"), "5:12", "1 to 128 bytes"},
        Mistake{"HostileName", With("{name: \"a\\u202eb\", kind: postgres, database: a}"), "5:12",
                "without control or invisible"},
        Mistake{"LongName", With("{name: db, kind: postgres, database: " + std::string(129, 'a') + "}"),
                "5:42", "1 to 128 bytes"},
        Mistake{"NoKind", With("{name: db, database: a}"), "5:5", "\"kind\" is missing"},
        Mistake{"UnknownKind", With("{name: db, kind: oracle, database: a}"), "5:22",
                "one of pm2, postgres, external"},
        Mistake{"NoApp", With("{name: ws, kind: pm2}"), "5:5", "\"app\" is missing"},
        Mistake{"AppOfADatabase", With("{name: db, kind: postgres, database: a, app: x}"), "5:50",
                "of the kind postgres has no app"},
        Mistake{"UserOfAProbe", With("{name: pay, kind: external, probe: p, user: x}"), "5:49",
                "of the kind external has no user"},
        Mistake{"SelectorIsNoMap", With("{name: db, kind: postgres, database: a, hosts: web-1}"), "5:52",
                "must be a map"},
        Mistake{"SelectorOfALists", With("{name: db, kind: postgres, database: a, hosts: {role: [a, b]}}"),
                "5:59", "must be a single value"},
        Mistake{"CoreIsNoBool", With("{name: db, kind: postgres, database: a, core: yes}"), "5:51",
                "true or false"},
        Mistake{"TwoComponentsOfAName", With("{name: web, kind: postgres, database: a}"), "5:5",
                "two components named \"web\""},
        Mistake{"TheSameAppTwice", With("{name: web2, kind: pm2, app: portal}"), "5:5",
                "the same as \"web\" of \"portal\" in line 4"},
        Mistake{"TheSameAppOfAnyUser", With("{name: web2, kind: pm2, app: portal, user: deploy}"), "5:5",
                "the same as \"web\" of \"portal\" in line 4"},
        Mistake{
            "TheSameAppInAnotherService",
            With(kDb, "- name: other\n  components: [{name: x, kind: pm2, app: portal}]\n"), "7:16",
            "component \"x\" of \"other\" is on the same hosts the same as \"web\" of \"portal\" in line 4"},
        Mistake{"TwoServicesOfAName",
                With(kDb, "- name: portal\n  components: [{name: x, kind: pm2, app: y}]\n"), "6:3",
                "two services named \"portal\""},
        Mistake{"DependsOnNothingKnown", With(kDb, "  depends: {web: [database]}\n"), "6:19",
                "no component \"database\""},
        Mistake{"NothingKnownDepends", With(kDb, "  depends: {www: [db]}\n"), "6:13", "no component \"www\""},
        Mistake{"DependsOnItself", With(kDb, "  depends: {web: [web]}\n"), "6:13", "circle: web -> web"},
        Mistake{"DependsInACircle", With(kDb, "  depends: {db: [web], web: db}\n"), "6:13",
                "circle: db -> web -> db"},
        Mistake{"MaxSeverity", With(kDb, "  max_severity: P9\n"), "6:17", "one of P0, P1, P2, P3"},
        Mistake{"NoSchedule", With(kDb, "  contacts: {primary: \"schedule:portal\"}\n"), "6:23",
                "no schedule \"portal\""},
        Mistake{"NoPerson", With(kDb, "  contacts: {primary: Bob Smith}\n"), "6:23", "a person's name"},
        Mistake{"NeedOfACheck", With(kDb, "  checks: [{probe: health, need: 0}]\n"), "6:34",
                "from 1 to 1000"},
        Mistake{"Handover", "schedules: {portal: {zone: UTC, handover: \"monday 9\", rota: [alice]}}\n",
                "1:43", "a day and a time"},
        Mistake{"EmptyRota", "schedules: {portal: {zone: UTC, handover: \"mon 09:00\", rota: []}}\n", "1:62",
                "nobody"},
        Mistake{"PersonsKey", "people: {alice: {mail: a@example.com}}\n", "1:18", "did you mean \"email\"?"},
        Mistake{"Alias", "services: &a []\n", "1:11", "anchor"}),
    [](const auto& info) { return info.param.name; });

TEST(CatalogueFile, EveryMistakeIsToldAtOnce) {
  config::Problems problems;
  ParseCatalogue("c.yaml", With("{name: db, kind: oracle}", "  colour: red\npeople: {Bob: {}}\n"), problems);
  EXPECT_EQ(problems.mistakes().size(), 3u) << problems.ToString();
}

TEST(CatalogueFile, ALongWayIsNoCircle) {
  std::string text = "services:\n- name: s\n  components:\n", depends = "  depends:\n";
  for (size_t i = 0; i < kMostComponents; ++i) {
    absl::StrAppend(&text, "  - {name: c", i, ", kind: pm2, app: a", i, "}\n");
    if (i > 0) absl::StrAppend(&depends, "    c", i - 1, ": [c", i, "]\n");
  }
  config::Problems good, circle, many;
  ParseCatalogue("c.yaml", text + depends, good);
  EXPECT_TRUE(good.ok()) << good.ToString();
  ParseCatalogue("c.yaml", text + depends + "    c199: [c7]\n", circle);
  ASSERT_EQ(circle.mistakes().size(), 1u);
  EXPECT_THAT(circle.ToString(), HasSubstr("circle: c7 -> c8 -> "));
  ParseCatalogue("c.yaml", text + "  - {name: c200, kind: pm2, app: a200}\n", many);
  EXPECT_THAT(many.ToString(), HasSubstr("at most 200 components"));
}

TEST(CatalogueFile, OtherHostsOrAnotherUserAreNotTheSame) {
  config::Problems problems;
  ParseCatalogue("c.yaml",
                 "services:\n- name: s\n  components:\n"
                 "  - {name: a, kind: pm2, app: x, user: deploy}\n"
                 "  - {name: b, kind: pm2, app: x, user: other}\n"
                 "  - {name: c, kind: pm2, app: x, hosts: {role: web}}\n"
                 "  - {name: d, kind: pm2, app: x, hosts: {role: db}}\n",
                 problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
}

}  // namespace
}  // namespace quell::catalogue
