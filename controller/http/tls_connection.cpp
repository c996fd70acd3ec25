#include "controller/http/tls_connection.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "controller/http/connection.h"

namespace quell::http {
namespace {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;

Bio ReadBio(const std::string& pem) { return Bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))); }

}  // namespace

absl::StatusOr<ServerContext> MakeServerContext(const security::Secret& key_pem,
                                                const std::string& certificate_pem) {
  const Key key(PEM_read_bio_PrivateKey(ReadBio(key_pem.Reveal()).get(), nullptr, nullptr, nullptr));
  const Certificate certificate(PEM_read_bio_X509(ReadBio(certificate_pem).get(), nullptr, nullptr, nullptr));
  ServerContext context(SSL_CTX_new(TLS_server_method()));
  Require(context != nullptr, "making a TLS context failed");
  const bool usable = key != nullptr && certificate != nullptr &&
                      SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) == 1 &&
                      SSL_CTX_use_certificate(context.get(), certificate.get()) == 1 &&
                      SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1 &&
                      SSL_CTX_set_num_tickets(context.get(), 0) == 1;
  ERR_clear_error();
  if (!usable)
    return absl::InvalidArgumentError("the controller's key and certificate cannot be used for HTTPS");
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  return context;
}

TlsConnection::TlsConnection(int fd, SSL* ssl, size_t byte_limit, Micros time_limit)
    : fd_(fd), ssl_(ssl), left_(byte_limit), until_(RealClock().Monotonic() + time_limit) {}

std::unique_ptr<TlsConnection> TlsConnection::Accept(int fd, SSL_CTX& context, size_t byte_limit,
                                                     Micros time_limit) {
  SSL* ssl = SSL_new(&context);
  Require(ssl != nullptr, "making a TLS connection failed");
  std::unique_ptr<TlsConnection> connection(new TlsConnection(fd, ssl, byte_limit, time_limit));
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (SSL_set_fd(ssl, fd) != 1) return nullptr;
  const bool shaken = connection->Drive([ssl] { return SSL_accept(ssl); }) == 1;
  return shaken ? std::move(connection) : nullptr;
}

TlsConnection::~TlsConnection() {
  SSL_shutdown(ssl_);  // one attempt: who went without a word gets none
  ERR_clear_error();
  SSL_free(ssl_);
  shutdown(fd_, SHUT_RDWR);
  close(fd_);
}

bool TlsConnection::Wait(short events) const {
  for (;;) {
    const Micros left = until_ - RealClock().Monotonic();
    if (left <= 0) return false;
    pollfd p{fd_, events, 0};
    const int ready = poll(&p, 1, static_cast<int>(left / kMillisecond) + 1);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

// Repeats the step until it is done, ends, or the time is up.
template <typename Step>
int TlsConnection::Drive(Step step) {
  for (;;) {
    ERR_clear_error();
    const int done = step();
    if (done > 0) return done;
    const int error = SSL_get_error(ssl_, done);
    const bool again =
        (error == SSL_ERROR_WANT_READ && Wait(POLLIN)) || (error == SSL_ERROR_WANT_WRITE && Wait(POLLOUT));
    if (!again) return error == SSL_ERROR_ZERO_RETURN ? 0 : -1;
  }
}

bool TlsConnection::is_readable() const { return SSL_pending(ssl_) > 0 || Wait(POLLIN); }
bool TlsConnection::is_writable() const { return Wait(POLLOUT); }

ssize_t TlsConnection::read(char* out, size_t size) {
  if (left_ == 0) return -1;
  const int most = static_cast<int>(std::min({size, left_, size_t{1} << 20}));
  const int n = Drive([&] { return SSL_read(ssl_, out, most); });
  if (n > 0) left_ -= static_cast<size_t>(n);
  return n;
}

ssize_t TlsConnection::write(const char* data, size_t size) {
  const int most = static_cast<int>(std::min(size, size_t{1} << 20));
  return Drive([&] { return SSL_write(ssl_, data, most); });
}

void TlsConnection::get_remote_ip_and_port(std::string& ip, int& port) const { RemoteAddress(fd_, ip, port); }

void TlsConnection::get_local_ip_and_port(std::string& ip, int& port) const { LocalAddress(fd_, ip, port); }

}  // namespace quell::http
