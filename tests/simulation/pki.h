// One installation's keys for all seeds of a process: making them is slow, and no trace contains their bytes.
#pragma once
#include <string>

#include "common/security/approval.h"
#include "tests/common/security/test_pki.h"

namespace quell::simulation {

inline constexpr Micros kBegin = 1'795'403'527 * kSecond;
const testing_support::TestPki& Pki();
const std::string& PkiBundle();
// A person's signature under these bytes.
v1::Approval SignedBy(const std::string& person, const std::string& intent);

}  // namespace quell::simulation
