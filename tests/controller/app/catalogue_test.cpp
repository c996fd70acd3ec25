// catalogue.yaml beside controller.yaml: at the start, when it is loaded anew, and as people read it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/client.h"
#include "common/security/pki.h"
#include "controller/app/controller.h"
#include "controller/catalogue/loader.h"
#include "tests/support/files.h"

namespace quell::app {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr char kGood[] =
    "services:\n- {name: portal, components: [{name: web, kind: pm2, app: web}]}\n"
    "people: {alice: {email: alice@example.com, phone: \"+49 30 1234567\"}}\n";

class CatalogueAtTheController : public testing::Test {
 protected:
  static void SetUpTestSuite() { security::PrepareGrpcProcess(); }
  void SetUp() override {
    security::PkiOptions pki;
    pki.directory = dir_.Path("pki");
    pki.addresses = {"127.0.0.1"};
    pki.now = RealClock().Wall();
    ASSERT_TRUE(security::InitPki(pki).ok());
    dir_.Write("controller.yaml",
               absl::StrCat("listen: {agents: \"127.0.0.1:0\", web: \"127.0.0.1:0\"}\nsocket: ",
                            dir_.Path("operator.sock"), "\nstore: {sqlite: ", dir_.Path("log.db"),
                            "}\npki: {directory: ", dir_.Path("pki/controller"), "}\n"));
  }
  Loaded Load() {
    problems_ = config::Problems();
    return LoadAll(dir_.Path("controller.yaml"), problems_);
  }
  void Start() {
    Loaded loaded = Load();
    ASSERT_TRUE(problems_.ok()) << problems_.ToString();
    controller_ = std::make_unique<Controller>(std::move(loaded), RealClock());
    const absl::Status started = controller_->Start();
    ASSERT_TRUE(started.ok()) << started;
    root_ = *cli::Client::Connect(dir_.Path("operator.sock"));
  }
  nlohmann::json Services() {
    v1::GetRequest get;
    get.set_kind("services");
    const auto read = root_->Read("Get", get);
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() ? nlohmann::json((*read)["items"]) : nlohmann::json();
  }

  test::TempDir dir_;
  config::Problems problems_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<cli::Client> root_;
};

TEST_F(CatalogueAtTheController, IsReadWhereThereIsOne) {
  const Loaded without = Load();
  ASSERT_TRUE(problems_.ok()) << problems_.ToString();
  EXPECT_EQ(without.catalogue, nullptr);
  dir_.Write("catalogue.yaml", "# nothing yet\n");
  EXPECT_EQ(Load().catalogue, nullptr);
  dir_.Write("catalogue.yaml", kGood);
  const Loaded with = Load();
  ASSERT_TRUE(problems_.ok()) << problems_.ToString();
  ASSERT_NE(with.catalogue, nullptr);
  EXPECT_EQ(with.catalogue->services.at(0).name, "portal");
  EXPECT_NE(with.config.config.sha256(), without.config.config.sha256());
  EXPECT_THAT(with.config.redacted, HasSubstr(R"("components": [{"name": "web")"));
  EXPECT_THAT(with.config.redacted, Not(HasSubstr("1234567"))) << "who lives where is not of the record";
}

TEST_F(CatalogueAtTheController, ItsMistakesAreToldWithThoseOfTheOtherFiles) {
  dir_.Write("catalogue.yaml",
             "services:\n- {name: portal, components: [{name: web, kind: pm3, app: web}]}\n");
  dir_.Write("controller.yaml", "monitoring: soon\n");
  Load();
  EXPECT_THAT(problems_.ToString(), HasSubstr(dir_.Path("catalogue.yaml") + ":2:49: "));
  EXPECT_THAT(problems_.ToString(), HasSubstr(dir_.Path("controller.yaml") + ":1:13: "));
  dir_.Write("catalogue.yaml", std::string(2 << 20, '#'));
  Load();
  EXPECT_THAT(problems_.ToString(), HasSubstr(dir_.Path("catalogue.yaml") + ":1:1: "));
}

TEST_F(CatalogueAtTheController, IsLoadedAnewAndTakenAway) {
  Start();
  EXPECT_TRUE(Services().empty());
  dir_.Write("catalogue.yaml", kGood);
  controller_->Reload(Load());
  ASSERT_EQ(Services().size(), 1u);
  EXPECT_EQ(Services()[0]["name"], "portal");
  EXPECT_EQ(Services()[0]["from"], "catalogue");
  dir_.Write("catalogue.yaml", "");
  controller_->Reload(Load());
  EXPECT_TRUE(Services().empty());
}

TEST_F(CatalogueAtTheController, ADraftOfNothingLoads) {
  Start();
  const auto draft = root_->Read("Draft", v1::DraftRequest());
  ASSERT_TRUE(draft.ok()) << draft.status();
  config::Problems problems;
  catalogue::ParseCatalogue("draft", (*draft)["catalogue"].get<std::string>(), problems);
  EXPECT_TRUE(problems.ok()) << problems.ToString();
}

}  // namespace
}  // namespace quell::app
