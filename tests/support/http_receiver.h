// HttpReceiver: takes HTTP/1.1 requests on loopback, keeps them, and answers as told. Any thread.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/time.h"
#include "tests/support/loopback_server.h"

namespace quell::test {

class HttpReceiver {
 public:
  struct Request {
    std::string method;
    std::string path;
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
  };
  struct Answer {
    enum class Kind { kStatus, kHang, kClose } kind = Kind::kStatus;
    int status = 200;
    std::string body = "ok";
    std::map<std::string, std::string> headers;
  };

  HttpReceiver();
  std::string Url(std::string_view path = "/") const;  // http://127.0.0.1:PORT/…
  uint16_t port() const { return server_.port(); }
  void Stop() { server_.Stop(); }

  void set_answer(Answer answer);
  void AnswerStatus(int status) { set_answer({.status = status}); }
  void Hang() { set_answer({.kind = Answer::Kind::kHang}); }    // takes the request, never answers
  void Close() { set_answer({.kind = Answer::Kind::kClose}); }  // takes the request, closes without an answer

  std::vector<Request> requests();
  // Once there are at least n requests; false when the deadline passed first.
  bool WaitForRequests(size_t n, Micros deadline = 20 * kSecond);

 private:
  void Serve(Connection& connection);
  bool ServeOne(Connection& connection);

  absl::Mutex mutex_;
  Answer answer_ ABSL_GUARDED_BY(mutex_);
  std::vector<Request> requests_ ABSL_GUARDED_BY(mutex_);
  LoopbackServer server_;
};

}  // namespace quell::test
