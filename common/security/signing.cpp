#include "common/security/signing.h"

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/security/openssl.h"

namespace quell::security {
namespace {

constexpr size_t kRawKey = 32;
constexpr size_t kSignature = 64;

const unsigned char* Bytes(std::string_view s) { return reinterpret_cast<const unsigned char*>(s.data()); }

std::string Joined(std::string_view context, std::string_view body) {
  std::string message;
  message.reserve(context.size() + body.size());
  message.append(context).append(body);
  return message;
}

}  // namespace

struct SigningKey::Impl {
  PkeyPtr key;
};

SigningKey::SigningKey(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey& SigningKey::operator=(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

SigningKey SigningKey::Generate() {
  PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  Require(key != nullptr, "making an Ed25519 key failed");
  return SigningKey(std::make_unique<Impl>(Impl{std::move(key)}));
}

absl::StatusOr<SigningKey> SigningKey::Load(const std::string& path, std::string_view passphrase) {
  QUELL_ASSIGN_OR_RETURN(const Secret pem, ReadSecretFile(path));
  auto key = FromPem(pem.Reveal(), passphrase);
  if (!key.ok()) return Annotate(key.status(), "loading signing key " + path);
  return key;
}

absl::StatusOr<SigningKey> SigningKey::FromPem(std::string_view pem, std::string_view passphrase) {
  QUELL_ASSIGN_OR_RETURN(PkeyPtr key, KeyFromPem(pem, passphrase));
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519)
    return absl::InvalidArgumentError("reading a signing key: it is not an Ed25519 key");
  return SigningKey(std::make_unique<Impl>(Impl{std::move(key)}));
}

std::string SigningKey::ToPem(std::string_view passphrase) const {
  return KeyToPem(impl_->key.get(), passphrase).Reveal();
}

std::string SigningKey::PublicRaw() const {
  std::string raw(kRawKey, '\0');
  size_t size = raw.size();
  Require(EVP_PKEY_get_raw_public_key(impl_->key.get(), reinterpret_cast<unsigned char*>(raw.data()),
                                      &size) == 1 &&
              size == kRawKey,
          "reading an Ed25519 public key failed");
  return raw;
}

std::string SigningKey::Id() const { return KeyId(PublicRaw()); }

std::string SigningKey::Sign(std::string_view context, std::string_view body) const {
  const std::string message = Joined(context, body);
  DigestPtr digest(EVP_MD_CTX_new());
  std::string signature(kSignature, '\0');
  size_t size = signature.size();
  const bool done = EVP_DigestSignInit(digest.get(), nullptr, nullptr, nullptr, impl_->key.get()) == 1 &&
                    EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                                   Bytes(message), message.size()) == 1;
  Require(done && size == kSignature, "signing failed");
  return signature;
}

bool VerifySignature(std::string_view public_raw, std::string_view context, std::string_view body,
                     std::string_view signature) {
  if (public_raw.size() != kRawKey || signature.size() != kSignature) return false;
  PkeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(public_raw), public_raw.size()));
  DigestPtr digest(EVP_MD_CTX_new());
  const std::string message = Joined(context, body);
  const bool holds =
      key != nullptr && digest != nullptr &&
      EVP_DigestVerifyInit(digest.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(digest.get(), Bytes(signature), signature.size(), Bytes(message), message.size()) == 1;
  ERR_clear_error();
  return holds;
}

std::string KeyId(std::string_view public_raw) { return HexEncode(Sha256(public_raw).substr(0, 8)); }

}  // namespace quell::security
