// One accepted TLS connection, bounded in bytes and in time as a plain one is (connection.h), the handshake
// included: the library's own counts its time anew with each byte that trickles in. Owned by the thread that
// serves it.
#pragma once
#include <httplib.h>
#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/time.h"
#include "common/security/secret.h"

namespace quell::http {

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using ServerContext = std::unique_ptr<SSL_CTX, ContextDeleter>;

// TLS 1.3 alone, no client certificate, nothing resumed.
absl::StatusOr<ServerContext> MakeServerContext(const security::Secret& key_pem,
                                                const std::string& certificate_pem);

class TlsConnection final : public httplib::Stream {
 public:
  // Takes the descriptor over and shakes hands; nullptr when that fails within the time.
  static std::unique_ptr<TlsConnection> Accept(int fd, SSL_CTX& context, size_t byte_limit,
                                               Micros time_limit);
  ~TlsConnection() override;

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* out, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return fd_; }

 private:
  TlsConnection(int fd, SSL* ssl, size_t byte_limit, Micros time_limit);
  template <typename Step>
  int Drive(Step step);
  bool Wait(short events) const;

  const int fd_;
  SSL* const ssl_;
  size_t left_;
  const Micros until_;  // monotonic
};

}  // namespace quell::http
