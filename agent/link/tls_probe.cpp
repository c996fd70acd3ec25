#include "agent/link/tls_probe.h"

#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/link/address.h"

namespace quell::agent {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Deleter<SSL_free>>;
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;

struct Socket {
  int fd = -1;
  ~Socket() {
    if (fd >= 0) close(fd);
  }
};

// A connected TCP socket whose reads and writes end after `at_most`; -1 when there is none.
int Connect(const std::string& address, Micros at_most) {
  auto host = HostOfAddress(address);
  if (!host.ok()) return -1;
  const std::string port = address.substr(address.rfind(':') + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host->c_str(), port.c_str(), &hints, &found) != 0) return -1;
  std::unique_ptr<addrinfo, Deleter<freeaddrinfo>> list(found);
  for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
    Socket s{socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (s.fd < 0) continue;
    const timeval limit{static_cast<time_t>(at_most / kSecond), static_cast<suseconds_t>(at_most % kSecond)};
    setsockopt(s.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));  // bounds connect too
    setsockopt(s.fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(s.fd, a->ai_addr, a->ai_addrlen) == 0) return std::exchange(s.fd, -1);
  }
  return -1;
}

bool UseIdentity(SSL_CTX* context, const security::TlsIdentity& identity) {
  const std::string& key_pem = identity.key_pem.Reveal();
  const Bio key_bio(BIO_new_mem_buf(key_pem.data(), static_cast<int>(key_pem.size())));
  const Bio certificate_bio(
      BIO_new_mem_buf(identity.certificate_pem.data(), static_cast<int>(identity.certificate_pem.size())));
  const Key key(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, nullptr, nullptr));
  const Certificate certificate(PEM_read_bio_X509(certificate_bio.get(), nullptr, nullptr, nullptr));
  return key != nullptr && certificate != nullptr &&
         SSL_CTX_use_certificate(context, certificate.get()) == 1 &&
         SSL_CTX_use_PrivateKey(context, key.get()) == 1;
}

// What OpenSSL's newest error says; "" when it says nothing. Alerts of the far end have the reasons from 1000
// on.
std::string Reason() {
  const unsigned long error = ERR_peek_last_error();
  const char* reason = ERR_reason_error_string(error);
  return reason == nullptr ? "" : reason;
}
bool IsAlert() { return ERR_GET_REASON(ERR_peek_last_error()) >= SSL_AD_REASON_OFFSET; }

// After the handshake: the server's answer to our certificate is in what is read next.
std::string ReadAnswer(SSL* connection) {
  char byte = 0;
  const int read = SSL_read(connection, &byte, 1);
  if (read > 0) return "";
  const int error = SSL_get_error(connection, read);
  if (IsAlert()) return absl::StrCat("the controller refuses this agent in the handshake: ", Reason());
  const bool timed_out = error == SSL_ERROR_WANT_READ || (error == SSL_ERROR_SYSCALL && errno == EAGAIN);
  return timed_out ? ""
                   : "the controller refuses this agent in the handshake: it ended the connection on seeing "
                     "its certificate";
}

}  // namespace

std::string ProbeTlsAlert(const std::string& address, const security::TlsIdentity& identity, Micros at_most) {
  const Socket socket{Connect(address, at_most)};
  const Context context(SSL_CTX_new(TLS_client_method()));
  if (socket.fd < 0 || context == nullptr || !UseIdentity(context.get(), identity)) return "";
  SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  const Connection connection(SSL_new(context.get()));
  static constexpr unsigned char kHttp2[] = {2, 'h', '2'};
  SSL_set_alpn_protos(connection.get(), kHttp2, sizeof(kHttp2));
  SSL_set_fd(connection.get(), socket.fd);
  ERR_clear_error();
  std::string told;
  if (SSL_connect(connection.get()) == 1) {
    told = ReadAnswer(connection.get());
  } else if (!Reason().empty()) {
    told = absl::StrCat(
        IsAlert() ? "the controller refuses this agent in the handshake: " : "the TLS handshake fails: ",
        Reason());
  }
  ERR_clear_error();
  return told;
}

}  // namespace quell::agent
