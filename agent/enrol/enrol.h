// `quell-agent enrol`: a host becomes one of the fleet. Its key is made here and never leaves; every file is
// put in its place whole. Interrupted at any point, it is run again with the same token: the key is kept
// beside its place until the certificate is there, and the controller gives the same certificate again within
// an hour. One thread; blocks.
#pragma once
#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "agent/enrol/desk.h"
#include "common/base/clock.h"

namespace quell::agent {

struct EnrolPlaces {
  std::string key;           // 0600, the agent's
  std::string certificate;   // 0644, the agent's
  std::string trust_bundle;  // 0644, read by the executor too
  std::string root_pin;      // 0644, likewise
  std::string host_id;       // 0644, the executor's
};

struct EnrolOptions {
  std::string address;  // the enrolment port
  security::JoinToken token;
  std::string wish;  // the name to have; "": what the token says
  EnrolPlaces places;
  std::optional<uid_t> owner;  // of key and certificate; else this process's user
  bool again = false;          // although this host has a certificate
};

// AlreadyExists where a certificate lies already and `again` was not said.
absl::StatusOr<Certified> Enrol(const EnrolOptions& options, Clock& clock);

}  // namespace quell::agent
