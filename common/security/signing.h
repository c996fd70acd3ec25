// Ed25519 keys and signatures with a context string, so that a signature for one purpose never serves
// another. SigningKey is owned by one program part; signing is const and thread-safe. Private bytes are wiped
// and never printed.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quell::security {

inline constexpr std::string_view kCommandContext{"quell command v1\0", 17};
inline constexpr std::string_view kTrustContext{"quell trust v1\0", 15};
inline constexpr std::string_view kLogContext{"quell log v1\0", 13};

class SigningKey {
 public:
  static SigningKey Generate();
  // PKCS#8 PEM; with a passphrase when the file is encrypted. Refuses a file that group or others can read.
  static absl::StatusOr<SigningKey> Load(const std::string& path, std::string_view passphrase = "");
  static absl::StatusOr<SigningKey> FromPem(std::string_view pem, std::string_view passphrase = "");
  std::string ToPem(std::string_view passphrase = "") const;
  std::string PublicRaw() const;                                            // 32 bytes
  std::string Id() const;                                                   // KeyId(PublicRaw())
  std::string Sign(std::string_view context, std::string_view body) const;  // 64 bytes

  SigningKey(SigningKey&&) noexcept;
  SigningKey& operator=(SigningKey&&) noexcept;
  ~SigningKey();

 private:
  struct Impl;
  explicit SigningKey(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

bool VerifySignature(std::string_view public_raw, std::string_view context, std::string_view body,
                     std::string_view signature);
std::string KeyId(std::string_view public_raw);  // hex of the first 8 bytes of SHA-256

}  // namespace quell::security
