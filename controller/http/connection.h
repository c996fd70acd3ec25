// One accepted connection, bounded as the library's own is not: in the bytes that it may send and in the time
// that it may take, all told. Owned by the thread that serves it.
#pragma once
#include <httplib.h>

#include <array>
#include <string>

#include "common/base/time.h"

namespace quell::http {

// Of a connected descriptor; "" and 0 when it is none.
void RemoteAddress(int fd, std::string& ip, int& port);
void LocalAddress(int fd, std::string& ip, int& port);

class BoundedConnection final : public httplib::Stream {
 public:
  // Reads at most `byte_limit` and gives up after `time_limit` from now. Closes the descriptor when it goes.
  BoundedConnection(int fd, size_t byte_limit, Micros time_limit);
  ~BoundedConnection() override;

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* out, size_t size) override;
  ssize_t write(const char* data, size_t size) override;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return fd_; }

 private:
  bool Wait(short events) const;

  const int fd_;
  size_t left_;
  const Micros until_;  // monotonic
  std::array<char, 4096> buffer_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace quell::http
