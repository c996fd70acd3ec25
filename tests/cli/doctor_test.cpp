#include "cli/doctor.h"

#include <gmock/gmock.h>

namespace quell::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const absl::Time kNow = absl::FromUnixSeconds(1'795'403'887);

std::string At(absl::Duration from_now) {
  return absl::FormatTime(absl::RFC3339_full, kNow + from_now, absl::UTCTimeZone());
}

class DoctorTest : public testing::Test {
 protected:
  Json Host(const std::string& name) {
    return {{"name", name},
            {"membership", "in_force"},
            {"liveness", "connected"},
            {"seen_at", At(-absl::Seconds(1))},
            {"executor", "connected"},
            {"held", false},
            {"sanctions_error", nullptr},
            {"agent_version", "1.2.0"},
            {"enrolled_at", At(-absl::Hours(100))},
            {"certificate_expires_at", At(absl::Hours(20))}};
  }
  // All that is said, and that nothing else is amiss when `mend` is "".
  std::string Said() {
    for (const char* kind : {"hosts", "rules", "policies", "receivers", "notices", "commands"})
      if (!documents.contains(kind)) documents[kind] = Json{{"items", Json::array()}};
    const Json diagnosis = Diagnose(documents, kNow);
    bool well = true;
    for (const Json& finding : diagnosis["findings"]) {
      EXPECT_EQ(finding["well"].get<bool>(), finding["mend"].is_null());
      well = well && finding["well"].get<bool>();
    }
    EXPECT_EQ(diagnosis["well"], well);
    return DiagnosisView(diagnosis, {});
  }
  void Healthy() {
    documents["status"] = {
        {"controller", {{"version", "1.2.0"}}}, {"data_age_seconds", 1.0}, {"holds", Json::array()}};
    documents["hosts"]["items"] = Json::array({Host("web-1"), Host("web-2")});
    documents["rules"]["items"] = Json::array({Json{{"name", "AppHung"}, {"service", "portal"}}});
    documents["policies"]["items"] = Json::array({Json{{"name", "restart"}, {"mode", "ask"}}});
    documents["receivers"]["items"] = Json::array(
        {Json{{"name", "oncall"}, {"wakes", true}}, Json{{"name", "management"}, {"wakes", false}}});
    documents["notices"]["items"] = Json::array();
    documents["commands"]["items"] = Json::array();
  }
  Json documents = Json::object();
};

TEST_F(DoctorTest, NothingIsToBeMendedWhereAllIsWell) {
  Healthy();
  EXPECT_EQ(Said(),
            "ok  hosts: 2 hosts have nothing to mend\nok  receivers: 2, and none refused its last notice\n");
}

TEST_F(DoctorTest, AnEmptyInstallationIsToldWhatItLacks) {
  const std::string said = Said();
  EXPECT_THAT(said,
              HasSubstr("!!  hosts: there is none\n    mend: quell agent token --host NAME --out FILE"));
  EXPECT_THAT(said, HasSubstr("!!  receivers: there is none: nobody is told of anything"));
  EXPECT_THAT(said, HasSubstr("!!  rules: there is none"));
}

TEST_F(DoctorTest, AHostsTroublesAreEachALine) {
  Healthy();
  Json& lost = documents["hosts"]["items"][0];
  lost["liveness"] = "lost";
  lost["certificate_expires_at"] = At(-absl::Hours(1));
  Json& other = documents["hosts"]["items"][1];
  other["executor"] = "absent";
  other["sanctions_error"] = "sanctions.yaml:3:1: unknown key";
  other["held"] = true;
  other["agent_version"] = "1.1.0";
  other["certificate_expires_at"] = At(absl::Hours(5));
  const std::string said = Said();
  EXPECT_THAT(said, HasSubstr("host web-1: its certificate ended at"));
  EXPECT_THAT(said, HasSubstr("on web-1: systemctl start quell-agent && quell-agent doctor"));
  EXPECT_THAT(said, HasSubstr("on web-2: systemctl start quell-executor"));
  EXPECT_THAT(said, HasSubstr("host web-2: refuses everything: sanctions.yaml:3:1: unknown key"));
  EXPECT_THAT(said, HasSubstr("on web-2: rm /etc/quell/hold"));
  EXPECT_THAT(said, HasSubstr("on web-2: apt install quell-agent=1.2.0*"));
  EXPECT_THAT(said, HasSubstr("host web-2: its certificate ends at"));
  EXPECT_THAT(said, HasSubstr("0 hosts have nothing to mend"));
}

TEST_F(DoctorTest, ACertificateThatDoesNotRenewIsToldAWeekAhead) {
  Healthy();
  documents["hosts"]["items"][0]["enrolled_at"] = nullptr;
  documents["hosts"]["items"][0]["certificate_expires_at"] = At(absl::Hours(6 * 24));
  EXPECT_THAT(Said(), HasSubstr("mend: quell agent token --host web-1 --replace --out FILE"));
  documents["hosts"]["items"][0]["certificate_expires_at"] = At(absl::Hours(8 * 24));
  EXPECT_THAT(Said(), Not(HasSubstr("!!")));
}

TEST_F(DoctorTest, OfARevokedHostNothingIsSaid) {
  Healthy();
  documents["hosts"]["items"][0]["membership"] = "revoked";
  documents["hosts"]["items"][0]["liveness"] = "lost";
  EXPECT_THAT(Said(), Not(HasSubstr("!!")));
}

TEST_F(DoctorTest, AReceiverFailsWhenItsNewestNoticeWasNotTaken) {
  Healthy();
  const auto notice = [](const char* state, const char* error, absl::Duration age) {
    return Json{{"receiver", "oncall"},
                {"state", state},
                {"error", *error == 0 ? Json(nullptr) : Json(error)},
                {"queued_at", At(-age)}};
  };
  documents["notices"]["items"] =
      Json::array({notice("failed", "no route", absl::Hours(1)), notice("sent", "", absl::Hours(2))});
  EXPECT_THAT(
      Said(),
      HasSubstr(
          "receiver oncall: its newest notice was not taken: no route\n    mend: quell notify test oncall"));
  std::swap(documents["notices"]["items"][0], documents["notices"]["items"][1]);
  EXPECT_THAT(Said(), Not(HasSubstr("!!")));
  documents["notices"]["items"] = Json::array({notice("failed", "no route", absl::Hours(25))});
  EXPECT_THAT(Said(), Not(HasSubstr("!!")));
}

TEST_F(DoctorTest, WhoIsNotToldAndWhatIsOnlyObserved) {
  Healthy();
  documents["receivers"]["items"] = Json::array({Json{{"name", "chat"}, {"wakes", false}}});
  documents["policies"]["items"][0]["mode"] = "observe";
  documents["rules"]["items"] = Json::array();
  for (int i = 0; i < 7; ++i)
    documents["rules"]["items"].push_back(Json{{"name", "R" + std::to_string(i)}, {"service", nullptr}});
  const std::string said = Said();
  EXPECT_THAT(said, HasSubstr("none of them wakes anybody"));
  EXPECT_THAT(said, HasSubstr("there is none for management"));
  EXPECT_THAT(said, HasSubstr("policies: only observed: restart"));
  EXPECT_THAT(said,
              HasSubstr("rules: 7 name no service and count as P2 at most: R0, R1, R2, R3, R4 and 2 more"));
}

TEST_F(DoctorTest, HoldsAndOldDataAndRefusals) {
  Healthy();
  documents["status"]["data_age_seconds"] = 90.0;
  documents["status"]["holds"] = Json::array({Json{{"id", "H-1"},
                                                   {"scope", "all"},
                                                   {"by", "alice"},
                                                   {"since", At(-absl::Hours(1))},
                                                   {"why", "audit\x1b[2J"}}});
  const Json refused = {{"name", "C-5"},           {"state", "refused"},
                        {"refusal", "sanction"},   {"host", "web-1"},
                        {"action", "pm2.restart"}, {"user", "deploy"},
                        {"reason", "not named"},   {"proposed_at", At(-absl::Hours(2))}};
  documents["commands"]["items"] = Json::array({refused, refused});
  const std::string said = Said();
  EXPECT_THAT(said, HasSubstr("data: the newest sample is 90 s old"));
  EXPECT_THAT(said, HasSubstr("mend: quell hold end H-1"));
  EXPECT_THAT(said, Not(HasSubstr("\x1b")));
  const size_t first = said.find("its sanctions refused pm2.restart: not named");
  EXPECT_NE(first, std::string::npos);
  EXPECT_EQ(said.find("its sanctions refused", first + 1), std::string::npos);  // once is enough
}

}  // namespace
}  // namespace quell::cli
