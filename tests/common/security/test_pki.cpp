#include "tests/common/security/test_pki.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "common/base/disk.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/trust.h"

namespace quell::testing_support {
namespace {

using security::Authority;
using security::CertificateSpec;
using security::SigningKey;

Authority NewAuthority(const std::string& name, Micros now) {
  auto made = security::MakeAuthority(name, now - kDay, now + 365 * kDay);
  Require(made.ok(), "making a test authority failed");
  return std::move(made).value();
}

std::string Der(const Authority& authority) {
  auto der = security::PemToDer(authority.certificate_pem);
  Require(der.ok(), "encoding a test authority failed");
  return *der;
}

void AddKey(google::protobuf::RepeatedPtrField<v1::PublicKey>* keys, const SigningKey& key,
            const std::string& owner) {
  v1::PublicKey* out = keys->Add();
  out->set_id(key.Id());
  out->set_raw(key.PublicRaw());
  out->set_owner(owner);
}

void Write(const std::string& path, const std::string& content) {
  Require(RealDisk().WriteWhole(path, content).ok(), "writing a test key failed");
}

}  // namespace

TestPki::TestPki(Micros wall_now)
    : now_(wall_now),
      controller_id_(RandomUuid()),
      root_(SigningKey::Generate()),
      command_(SigningKey::Generate()),
      log_(SigningKey::Generate()),
      agents_(NewAuthority("test agents", wall_now)),
      controllers_(NewAuthority("test controllers", wall_now)),
      responders_(NewAuthority("test responders", wall_now)) {
  bundle_.set_installation(RandomUuid());
  bundle_.set_serial(1);
  bundle_.add_agents_ca(Der(agents_));
  bundle_.add_controllers_ca(Der(controllers_));
  bundle_.add_responders_ca(Der(responders_));
  AddKey(bundle_.mutable_command_keys(), command_, controller_id_);
  AddKey(bundle_.mutable_log_keys(), log_, controller_id_);
  bundle_.set_not_after_us(wall_now + 300 * kDay);
}

std::string TestPki::signed_bundle() const { return security::SignTrustBundle(bundle_, root_); }
std::string TestPki::pin() const { return HexEncode(Sha256(root_.PublicRaw())); }

std::string TestPki::Uri(const std::string& role, const std::string& id) const {
  return "spiffe://" + installation() + "/" + role + "/" + id;
}

CertificateSpec TestPki::AgentSpec(const std::string& id) const {
  CertificateSpec spec;
  spec.common_name = "test agent";
  spec.uris = {Uri("agent", id)};
  spec.client_auth = true;
  spec.not_before = now_ - 5 * kMinute;
  spec.not_after = now_ + kDay;
  return spec;
}

CertificateSpec TestPki::ControllerSpec(const std::string& id) const {
  CertificateSpec spec = AgentSpec(id);
  spec.common_name = "test controller";
  spec.uris = {Uri("controller", id)};
  spec.dns = {"localhost"};
  spec.addresses = {"127.0.0.1", "::1"};
  spec.server_auth = true;
  return spec;
}

CertificateSpec TestPki::ResponderSpec(const std::string& name) const {
  CertificateSpec spec = AgentSpec(name);
  spec.common_name = "test responder";
  spec.uris = {Uri("responder", name)};
  return spec;
}

TestLeaf TestPki::Issue(const CertificateSpec& spec, const Authority& issuer) const {
  const security::TlsKey key = security::TlsKey::Generate();
  auto certificate = security::IssueCertificate(spec, key, issuer);
  Require(certificate.ok(), "issuing a test certificate failed");
  return TestLeaf{key.ToPem().Reveal(), *certificate};
}

TestLeaf TestPki::Agent(const std::string& id) const { return Issue(AgentSpec(id), agents_); }
TestLeaf TestPki::Controller() const { return Issue(ControllerSpec(controller_id_), controllers_); }

void TestPki::WriteAgent(const std::string& directory, const std::string& id) const {
  const TestLeaf leaf = Agent(id);
  Write(directory + "/agent.key", leaf.key_pem);
  Write(directory + "/agent.crt", leaf.certificate_pem);
  Write(directory + "/host-id", id + "\n");
  Write(directory + "/trust.bundle", signed_bundle());
  Write(directory + "/root.pin", pin() + "\n");
  Write(directory + "/controllers-ca.pem", controllers_.certificate_pem);
}

void TestPki::WriteController(const std::string& directory,
                              const std::vector<std::pair<std::string, std::string>>& hosts) const {
  const TestLeaf leaf = Controller();
  std::string lines;
  for (const auto& [id, name] : hosts) lines += id + " " + name + "\n";
  Write(directory + "/controller.key", leaf.key_pem);
  Write(directory + "/controller.crt", leaf.certificate_pem);
  Write(directory + "/command.key", command_.ToPem());
  Write(directory + "/log.key", log_.ToPem());
  Write(directory + "/controller-id", controller_id_ + "\n");
  Write(directory + "/trust.bundle", signed_bundle());
  Write(directory + "/root.pin", pin() + "\n");
  Write(directory + "/agents-ca.pem", agents_.certificate_pem);
  Write(directory + "/hosts", lines);
}

std::string MakeTestDirectory() {
  std::string pattern = ::testing::TempDir() + "quell-XXXXXX";
  Require(mkdtemp(pattern.data()) != nullptr, "making a test directory failed");
  return pattern;
}

}  // namespace quell::testing_support
