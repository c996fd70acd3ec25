#include "controller/receivers/transfer.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "common/base/status.h"

namespace quell::receivers {
namespace {

constexpr size_t kAnswerKept = 4096;
constexpr size_t kAnswerLimit = 256 << 10;  // more than this ends the transfer; the status is known by then

void InitCurl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  Require(code == CURLE_OK, "libcurl could not be initialised");
}

}  // namespace

Transfer::Transfer(const char* protocols, Micros deadline) {
  InitCurl();
  curl_.reset(curl_easy_init());
  Require(curl_ != nullptr, "libcurl could not make a handle");
  CURL* c = curl_.get();
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, protocols);
  curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "");
  curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(c, CURLOPT_PROXY, "");  // not from the environment either
  curl_easy_setopt(c, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<Micros>(deadline / kMillisecond, 1)));
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error_);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, &Transfer::OnAnswer);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, this);
}

void Transfer::AddHeader(const std::string& line) {
  headers_.reset(curl_slist_append(headers_.release(), line.c_str()));
  Require(headers_ != nullptr, "out of memory for a header");
  curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, headers_.get());
}

void Transfer::AddRecipient(const std::string& line) {
  recipients_.reset(curl_slist_append(recipients_.release(), line.c_str()));
  Require(recipients_ != nullptr, "out of memory for a recipient");
  curl_easy_setopt(curl_.get(), CURLOPT_MAIL_RCPT, recipients_.get());
}

void Transfer::SetPayload(std::string payload) {
  payload_ = std::move(payload);
  curl_easy_setopt(curl_.get(), CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl_.get(), CURLOPT_READFUNCTION, &Transfer::OnRead);
  curl_easy_setopt(curl_.get(), CURLOPT_READDATA, this);
}

CURLcode Transfer::Perform() { return curl_easy_perform(curl_.get()); }

long Transfer::ResponseCode() const {
  long code = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &code);
  return code;
}

std::string Transfer::ErrorText(CURLcode code) const {
  return error_[0] != '\0' ? error_ : curl_easy_strerror(code);
}

size_t Transfer::OnAnswer(char* data, size_t size, size_t n, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const size_t bytes = size * n;
  transfer->answer_bytes_ += bytes;
  const size_t room = kAnswerKept - std::min(kAnswerKept, transfer->answer_.size());
  transfer->answer_.append(data, std::min(bytes, room));
  return transfer->answer_bytes_ > kAnswerLimit ? 0 : bytes;
}

size_t Transfer::OnRead(char* out, size_t size, size_t n, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const size_t bytes = std::min(size * n, transfer->payload_.size() - transfer->payload_at_);
  memcpy(out, transfer->payload_.data() + transfer->payload_at_, bytes);
  transfer->payload_at_ += bytes;
  transfer->payload_ended_ = bytes == 0;
  return bytes;
}

bool IsLoopbackHost(std::string_view host) {
  std::string name = absl::AsciiStrToLower(absl::string_view(host.data(), host.size()));
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  if (name == "localhost" || name == "::1") return true;
  // 127.0.0.0/8, written in full: digits and dots alone, so that 127.example.com is not taken for it.
  return name.rfind("127.", 0) == 0 && std::count(name.begin(), name.end(), '.') == 3 &&
         name.find_first_not_of("0123456789.") == std::string::npos;
}

absl::StatusOr<UrlParts> ParseUrl(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), &curl_url_cleanup);
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return absl::InvalidArgumentError("this is not a URL with scheme and host");
  }
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), which, &text, 0) != CURLUE_OK) return std::string();
    std::string result = text;
    curl_free(text);
    return result;
  };
  UrlParts parts{part(CURLUPART_SCHEME), part(CURLUPART_HOST), false};
  parts.has_credentials = !part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty();
  return parts;
}

}  // namespace quell::receivers
