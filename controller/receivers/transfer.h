// One libcurl transfer with our bounds: no proxy from the environment, no .netrc, no redirects, named
// protocols only, TLS 1.2 at least with the system's authorities, one deadline for all of it. Used by the
// thread that made it, once.
#pragma once
#include <curl/curl.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/time.h"

namespace quell::receivers {

class Transfer {
 public:
  // `protocols`: as curl names them, "https" or "smtp,smtps".
  Transfer(const char* protocols, Micros deadline);
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  CURL* curl() { return curl_.get(); }
  void AddHeader(const std::string& line);     // of HTTP
  void AddRecipient(const std::string& line);  // of SMTP
  void SetPayload(std::string payload);        // sent by SMTP's DATA

  CURLcode Perform();
  long ResponseCode() const;
  // What went wrong, without the URL (it may be a secret): curl's own sentence.
  std::string ErrorText(CURLcode code) const;
  const std::string& answer() const { return answer_; }  // first 4 KiB of the body
  bool payload_sent() const { return payload_at_ == payload_.size() && payload_ended_; }

 private:
  struct Cleaner {
    void operator()(CURL* c) const { curl_easy_cleanup(c); }
    void operator()(curl_slist* l) const { curl_slist_free_all(l); }
  };
  static size_t OnAnswer(char* data, size_t size, size_t n, void* self);
  static size_t OnRead(char* out, size_t size, size_t n, void* self);

  std::unique_ptr<CURL, Cleaner> curl_;
  std::unique_ptr<curl_slist, Cleaner> headers_;
  std::unique_ptr<curl_slist, Cleaner> recipients_;
  std::string payload_;
  size_t payload_at_ = 0;
  bool payload_ended_ = false;
  std::string answer_;
  size_t answer_bytes_ = 0;
  char error_[CURL_ERROR_SIZE] = "";
};

// Whether a host is this machine by its very name or address, without asking anybody.
bool IsLoopbackHost(std::string_view host);

// Scheme and host of a URL as curl reads it.
struct UrlParts {
  std::string scheme;
  std::string host;
  bool has_credentials = false;
};
absl::StatusOr<UrlParts> ParseUrl(const std::string& url);

}  // namespace quell::receivers
