// Services as people read them, with a catalogue and without, and the draft of one.
#include "controller/operator/services.h"

#include <gtest/gtest.h>

#include "controller/catalogue/loader.h"
#include "controller/operator/documents.h"
#include "controller/promql/parser.h"
#include "quell/v1/operator.pb.h"
#include "tests/controller/operator/fake_backend.h"

namespace quell::operators {
namespace {

constexpr Micros kNow = 1'795'403'887 * kSecond;
constexpr char kCatalogue[] = R"(services:
- name: client-portal
  max_severity: P1
  components:
  - {name: web, kind: pm2, app: portal, hosts: {role: web}, core: true}
  - {name: database, kind: postgres, database: boutique, hosts: {role: db}}
  - {name: payments, kind: external, probe: payments-api}
  depends: {web: [database]}
  contacts: {primary: bob}
- name: nowhere
  components: [{name: app, kind: pm2, app: portal, hosts: {role: none}}]
)";

class ServicesTest : public testing::Test {
 protected:
  void SetUp() override {
    FillExample(backend_, kNow);
    backend_.query = [](const std::string& expr, Micros, Micros) {
      EXPECT_TRUE(promql::Parse(expr).ok()) << expr;
      std::vector<QuerySeries> out;
      const auto add = [&](Labels labels) { out.push_back({std::move(labels), {{kNow, 1}}}); };
      if (expr.find("datname") != std::string::npos) {
        add(Labels{{"instance", "db-1"}, {"datname", "boutique"}});
        add(Labels{{"instance", "gone-1"}, {"datname", "other"}});  // of no host that is known
      } else {
        add(Labels{{"instance", "web-2"}, {"probe", "payments-api"}});
        add(Labels{{"instance", "web-1"}, {"probe", "health"}, {"user", "deploy"}, {"app", "portal"}});
      }
      return out;
    };
  }
  void SetCatalogue() {
    config::Problems problems;
    backend_.catalogue = std::make_shared<catalogue::Catalogue>(
        catalogue::ParseCatalogue("catalogue.yaml", kCatalogue, problems));
    ASSERT_TRUE(problems.ok()) << problems.ToString();
  }
  // #417 is about these services, on web-1.
  void About(const std::vector<std::string>& services) {
    v1::Incident incident;
    ASSERT_TRUE(incident.ParseFromString(backend_.Find("incident", "INC-20261123-031207")->message));
    incident.clear_services();
    for (const std::string& service : services) incident.add_services(service);
    backend_.PutIncident(incident);
  }
  Json Items() {
    v1::GetRequest get;
    get.set_kind("services");
    const auto listed = ListDocument(backend_, get);
    EXPECT_TRUE(listed.ok()) << listed.status();
    return listed.ok() ? listed->json["items"] : Json::array({Json(), Json()});
  }
  MapBackend backend_;
};

TEST_F(ServicesTest, OfACatalogueWithTheHostsThatTheyAreOnNow) {
  SetCatalogue();
  About({"client-portal"});
  const Json items = Items();
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[0].dump(1), R"({
 "name": "client-portal",
 "from": "catalogue",
 "max_severity": "P1",
 "components": [
  {
   "name": "web",
   "kind": "pm2",
   "user": null,
   "app": "portal",
   "database": null,
   "probe": null,
   "core": true,
   "capability": null,
   "selector": {
    "role": "web"
   },
   "hosts": [
    "web-1"
   ]
  },
  {
   "name": "database",
   "kind": "postgres",
   "user": null,
   "app": null,
   "database": "boutique",
   "probe": null,
   "core": false,
   "capability": null,
   "selector": {
    "role": "db"
   },
   "hosts": [
    "db-1"
   ]
  },
  {
   "name": "payments",
   "kind": "external",
   "user": null,
   "app": null,
   "database": null,
   "probe": "payments-api",
   "core": false,
   "capability": null,
   "selector": {},
   "hosts": [
    "web-2"
   ]
  }
 ],
 "hosts": [
  "db-1",
  "web-1",
  "web-2"
 ],
 "incidents": [
  {
   "id": "INC-20261123-031207",
   "number": 417,
   "severity": "P0",
   "status": "investigating",
   "title": "client-portal down"
  }
 ],
 "depends": {
  "web": [
   "database"
  ]
 },
 "contacts": {
  "primary": "bob"
 },
 "channels": {},
 "links": {}
})");
  EXPECT_TRUE(items[1]["hosts"].empty());
  EXPECT_TRUE(items[1]["incidents"].empty());
}

TEST_F(ServicesTest, AnIncidentFromBeforeTheServiceHadItsNameIsItsToo) {
  SetCatalogue();
  About({"portal"});
  const Json items = Items();
  EXPECT_EQ(items[0]["incidents"].size(), 1u);
  EXPECT_TRUE(items[1]["incidents"].empty()) << "the same app, and on none of its hosts";
}

TEST_F(ServicesTest, WithoutACatalogueEachAppAndDatabaseIsOne) {
  About({"portal"});
  const Json items = Items();
  ASSERT_EQ(items.size(), 2u) << items.dump(1);
  EXPECT_EQ(items[0]["name"], "portal");
  EXPECT_EQ(items[0]["from"], "hosts");
  EXPECT_EQ(items[0]["components"][0]["user"], "deploy");
  EXPECT_EQ(items[0]["hosts"], Json::array({"web-1"}));
  EXPECT_EQ(items[0]["incidents"][0]["number"], 417);
  EXPECT_EQ(items[1]["name"], "boutique");
  EXPECT_EQ(items[1]["hosts"], Json::array({"db-1"}));
  EXPECT_TRUE(items[1]["incidents"].empty());
}

TEST_F(ServicesTest, OneIsDescribedByItsName) {
  SetCatalogue();
  v1::DescribeRequest request;
  request.set_kind("service");
  request.set_name("client-portal");
  const Caller viewer{"eve", Role::kViewer, "socket", 0};
  const auto one = DescribeDocument(backend_, request, viewer);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_EQ((*one)["name"], "client-portal");
  request.set_name("shop");
  EXPECT_EQ(DescribeDocument(backend_, request, viewer).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ServicesTest, WhatCantBeReadIsNotAnEmptyList) {
  backend_.query = [](const std::string&, Micros, Micros) -> absl::StatusOr<std::vector<QuerySeries>> {
    return absl::UnavailableError("not every shard answered in time; ask again or for less");
  };
  EXPECT_EQ(Services(backend_).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(DraftDocument(backend_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ServicesTest, TheDraftIsOfWhatIsSeenWhateverTheCatalogueSays) {
  SetCatalogue();
  const auto document = DraftDocument(backend_);
  ASSERT_TRUE(document.ok()) << document.status();
  config::Problems problems;
  const catalogue::Catalogue loaded =
      catalogue::ParseCatalogue("draft", (*document)["catalogue"].get<std::string>(), problems);
  ASSERT_TRUE(problems.ok()) << problems.ToString();
  backend_.catalogue = nullptr;
  const Json own = Items();
  ASSERT_EQ(loaded.services.size(), own.size());
  for (size_t i = 0; i < own.size(); ++i) EXPECT_EQ(loaded.services[i].name, own[i]["name"]);
  EXPECT_EQ(loaded.services[0].checks.at(0).probe, "health");
}

}  // namespace
}  // namespace quell::operators
