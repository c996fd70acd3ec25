// Certificates that live for a minute, and authorities that are replaced: reliability row F21. The whole form
// goes on for half an hour: QUELL_WHOLE=1.
#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/security/issue.h"
#include "common/security/signing.h"
#include "common/security/trust.h"
#include "tests/integration/three_hosts.h"

namespace quell::test {
namespace {

bool Whole() { return getenv("QUELL_WHOLE") != nullptr; }

template <typename T>
T Must(absl::StatusOr<T> value) {
  Require(value.ok(), value.status().ToString());
  return *std::move(value);
}

// Replaces an installation's authorities by its trust root, one step at a time.
class Rotation {
 public:
  explicit Rotation(ThreeHosts& fleet) : fleet_(fleet), now_(RealClock().Wall()) {
    bundle_ = Must(security::OpenTrustBundle(Read("trust.bundle"), Read("root.pin").substr(0, 64), now_));
  }
  // The new authorities are trusted beside the old ones, and who joins or renews is certified by the new one.
  void AddAgentsAuthority() {
    const security::Authority made = Make("agents");
    *bundle_.add_agents_ca() = Must(security::PemToDer(made.certificate_pem));
    Write("agents-ca.key", made.key.ToPem().Reveal());
    Write("agents-ca.pem", made.certificate_pem);
    *bundle_.add_controllers_ca() = Must(security::PemToDer(controllers_.certificate_pem));
    Publish();
  }
  // The controller shows a certificate of the new authority; the old one is trusted no more.
  void UseControllersAuthority() {
    const std::string id = Read("controller-id").substr(0, 36);
    security::CertificateSpec spec =
        security::PeerSpec(bundle_.installation(), "controller", id, 30 * kDay, now_);
    spec.addresses = {"127.0.0.1"};
    for (int host = 1; host <= ThreeHosts::kHosts; ++host)
      spec.addresses.push_back(fleet_.network(host).here());
    const security::TlsKey key = security::TlsKey::Generate();
    Write("controller.key", key.ToPem().Reveal());
    Write("controller.crt", Must(security::IssueCertificate(spec, key, controllers_)));
    bundle_.mutable_controllers_ca()->DeleteSubrange(0, 1);
    Publish();
  }

 private:
  static security::Authority Make(const std::string& whose) {
    const Micros now = RealClock().Wall();
    return Must(security::MakeAuthority("new " + whose, now - kHour, now + 30 * kDay));
  }
  void Publish() {
    bundle_.set_serial(bundle_.serial() + 1);
    const auto root = Must(security::SigningKey::Load(fleet_.dir().Path("pki/trust-root.key")));
    Write("trust.bundle", security::SignTrustBundle(bundle_, root));
  }
  std::string Read(const std::string& name) const {
    return ReadFile(fleet_.dir().Path("pki/controller/" + name));
  }
  void Write(const std::string& name, std::string_view content) const {
    fleet_.dir().Write("pki/controller/" + name, content, 0600);
  }

  ThreeHosts& fleet_;
  const Micros now_;
  v1::TrustBundle bundle_;
  const security::Authority controllers_ = Make("controllers");
};

Micros ExpiryOf(ThreeHosts& fleet, int host) {
  for (const Json& item : fleet.Items("hosts")) {
    absl::Time time;
    if (item["name"] == ThreeHosts::Name(host) && item["certificate_expires_at"].is_string() &&
        absl::ParseTime(absl::RFC3339_full, item["certificate_expires_at"].get<std::string>(), &time,
                        nullptr))
      return absl::ToUnixMicros(time);
  }
  return 0;
}

size_t Times(const std::string& text, const std::string& what) {
  size_t count = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++count;
  return count;
}

void RestartController(ThreeHosts& fleet) {
  fleet.Kill("controller");
  fleet.StartController();
  ASSERT_TRUE(fleet.WaitForController()) << fleet.Log("controller");
  ASSERT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "2"; }))
      << fleet.Log("agent-1");
}

TEST(Rotation, F21_StreamsOutliveTheirCertificatesAuthoritiesOverlapAndALateAgentRecovers) {
  ThreeHosts fleet({.rules = false, .enrols = true, .certificate_lifetime = "1m"});
  fleet.StartAll();
  const Micros first = std::max(ExpiryOf(fleet, 1), ExpiryOf(fleet, 2));
  const Micros late = ExpiryOf(fleet, 3);
  fleet.Kill("agent-3");
  Rotation rotation(fleet);
  rotation.AddAgentsAuthority();
  RestartController(fleet);
  ASSERT_TRUE(fleet.Await([&] {
    return absl::StrContains(fleet.Log("agent-1"), "trust bundle 2") &&
           absl::StrContains(fleet.Log("agent-2"), "trust bundle 2");
  })) << fleet.Log("agent-1");
  rotation.UseControllersAuthority();
  RestartController(fleet);
  const size_t streams = Times(fleet.Log("agent-1"), "connected to 10.");
  ASSERT_LT(RealClock().Wall(), first) << "what follows is about streams that are older than their renewal";

  const Micros until = Whole() ? first + 30 * kMinute : std::max(first, late);
  ASSERT_TRUE(fleet.Await([&] { return RealClock().Wall() > until; }, until + kMinute - RealClock().Wall()));
  EXPECT_GT(ExpiryOf(fleet, 1), until) << "renewed";
  EXPECT_GT(ExpiryOf(fleet, 2), until);
  EXPECT_EQ(fleet.Metric("quell_agents_connected"), "2");
  EXPECT_EQ(Times(fleet.Log("agent-1"), "connected to 10."), streams) << fleet.Log("agent-1");

  fleet.StartAgent(3);
  ASSERT_TRUE(fleet.Await([&] { return fleet.Metric("quell_agents_connected") == "3"; }, 2 * kMinute))
      << fleet.Log("agent-3");
  EXPECT_GT(ExpiryOf(fleet, 3), until);
  std::string said;
  EXPECT_EQ(fleet.Restart(&said), 0) << said;
  EXPECT_TRUE(fleet.WaitForStarts(2)) << fleet.Starts();
}

}  // namespace
}  // namespace quell::test

int main(int argc, char** argv) {
  quell::test::EnterOwnNetwork();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
