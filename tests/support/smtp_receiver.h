// SmtpReceiver: takes mail on loopback, keeps it, and answers as told. Speaks as much of RFC 5321 as clients
// use, with AUTH PLAIN and without TLS. Any thread.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/time.h"
#include "tests/support/loopback_server.h"

namespace quell::test {

class SmtpReceiver {
 public:
  struct Message {
    std::string from;  // of MAIL FROM, without <>
    std::vector<std::string> to;
    std::string data;  // as sent, dots unstuffed, CRLF line ends
    std::string user;  // of AUTH PLAIN; "" without
  };
  enum class Mode {
    kAccept,
    kRefuseRecipient,  // 550 to RCPT
    kRefuseForNow,     // 451 after the data
    kCloseAfterData,   // keeps the message and closes without an answer: the sender cannot know
    kHang,             // never greets
  };

  SmtpReceiver();
  uint16_t port() const { return server_.port(); }
  std::string Address() const;  // 127.0.0.1:PORT
  void Stop() { server_.Stop(); }
  void set_mode(Mode mode);

  std::vector<Message> messages();
  bool WaitForMessages(size_t n, Micros deadline = 20 * kSecond);

 private:
  void Serve(Connection& connection);
  // The rest of one DATA command; false ends the connection.
  bool TakeData(Connection& connection, Message message);
  Mode mode();

  absl::Mutex mutex_;
  Mode mode_ ABSL_GUARDED_BY(mutex_) = Mode::kAccept;
  std::vector<Message> messages_ ABSL_GUARDED_BY(mutex_);
  LoopbackServer server_;
};

}  // namespace quell::test
