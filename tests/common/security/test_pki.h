// TestPki: an installation's keys in memory, and certificates of every wrong kind. Owned by a test; making
// one takes a few milliseconds. Times are wall time.
#pragma once
#include <string>
#include <vector>

#include "common/base/time.h"
#include "common/security/certificate.h"
#include "common/security/signing.h"
#include "quell/v1/trust.pb.h"

namespace quell::testing_support {

struct TestLeaf {
  std::string key_pem;
  std::string certificate_pem;
};

class TestPki {
 public:
  explicit TestPki(Micros wall_now);

  const std::string& installation() const { return bundle_.installation(); }
  const std::string& controller_id() const { return controller_id_; }
  const v1::TrustBundle& bundle() const { return bundle_; }
  v1::TrustBundle& bundle() { return bundle_; }  // change it, then sign again
  std::string signed_bundle() const;
  std::string pin() const;
  const security::SigningKey& root() const { return root_; }
  const security::SigningKey& command_key() const { return command_; }
  const security::SigningKey& log_key() const { return log_; }
  const security::Authority& agents() const { return agents_; }
  const security::Authority& controllers() const { return controllers_; }
  const security::Authority& responders() const { return responders_; }

  std::string Uri(const std::string& role, const std::string& id) const;
  // What a right certificate of that role says; change what is to be wrong.
  security::CertificateSpec AgentSpec(const std::string& id) const;
  security::CertificateSpec ControllerSpec(const std::string& id) const;  // localhost, 127.0.0.1, ::1
  security::CertificateSpec ResponderSpec(const std::string& name) const;
  TestLeaf Issue(const security::CertificateSpec& spec, const security::Authority& issuer) const;
  TestLeaf Agent(const std::string& id) const;
  TestLeaf Controller() const;

  // agent.key, agent.crt, host-id, trust.bundle, root.pin, controllers-ca.pem into an existing directory, as
  // `pki init` lays them out.
  void WriteAgent(const std::string& directory, const std::string& id) const;
  // controller.{key,crt}, command.key, log.key, controller-id, trust.bundle, root.pin, agents-ca.pem, hosts.
  void WriteController(const std::string& directory,
                       const std::vector<std::pair<std::string, std::string>>& hosts) const;

 private:
  Micros now_;
  std::string controller_id_;
  security::SigningKey root_;
  security::SigningKey command_;
  security::SigningKey log_;
  security::Authority agents_, controllers_, responders_;
  v1::TrustBundle bundle_;
};

// A fresh directory below the test's own, mode 0700.
std::string MakeTestDirectory();

}  // namespace quell::testing_support
