// The receiver "webhook": a JSON POST by libcurl.
//
//   {type: webhook, url: U | url_file: F, token_file: F, insecure: true, ca_file: F}
//
// https, unless `insecure` is said or the host is this machine's loopback. No redirect is followed: a URL
// comes from controller.yaml or a secret file, never from an answer.
#include <utility>

#include "common/base/status.h"
#include "common/config/secret.h"
#include "common/text/encode.h"
#include "controller/receivers/rows.h"
#include "controller/receivers/transfer.h"
#include "controller/receivers/webhook_body.h"

namespace quell::receivers {
namespace {

constexpr Micros kLongestRetryAfter = kHour;

struct WebhookConfig {
  std::string name;
  config::Secret url;
  config::Secret token;
  std::string ca_file;
  bool https = true;
};

// A key as a header's value: printable ASCII stands, any other byte and the percent sign are written %XX.
std::string HeaderValue(std::string_view value) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    if (c > 0x20 && c < 0x7f && c != '%') {
      out += c;
      continue;
    }
    out += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
  }
  return out;
}

Micros RetryAfter(const Transfer& transfer, CURL* curl) {
  curl_off_t seconds = 0;
  curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &seconds);
  if (transfer.ResponseCode() < 400 || seconds <= 0) return 0;
  return seconds >= kLongestRetryAfter / kSecond ? kLongestRetryAfter : seconds * kSecond;
}

Delivery JudgeStatus(Transfer& transfer) {
  const long status = transfer.ResponseCode();
  Delivery delivery;
  delivery.sent = status >= 200 && status < 300;
  if (delivery.sent) return delivery;
  delivery.error = text::LogLine(
      absl::StrCat("posting to the webhook: it answered ", status, " ", text::Cut(transfer.answer(), 200)));
  const bool for_now = status >= 500 || status == 429 || status == 408;
  delivery.permanent = !for_now;
  if (for_now) delivery.retry_after = RetryAfter(transfer, transfer.curl());
  if (status >= 300 && status < 400) delivery.error += " (redirects are not followed)";
  return delivery;
}

class WebhookReceiver final : public ReceiverPlugin {
 public:
  explicit WebhookReceiver(WebhookConfig config) : config_(std::move(config)) {}

  Delivery Send(const v1::Notice& notice, std::string_view installation, Micros deadline) override {
    const std::string body = WebhookBody(notice, config_.name, installation);
    Transfer transfer(config_.https ? "https" : "http,https", deadline);
    CURL* c = transfer.curl();
    curl_easy_setopt(c, CURLOPT_URL, config_.url.Reveal().c_str());
    if (!config_.ca_file.empty()) curl_easy_setopt(c, CURLOPT_CAINFO, config_.ca_file.c_str());
    transfer.AddHeader("Content-Type: application/json");
    transfer.AddHeader("User-Agent: quell");
    transfer.AddHeader("Expect:");  // no "100-continue": it would cost a round trip
    transfer.AddHeader("Idempotency-Key: " + HeaderValue(notice.key()));
    if (!config_.token.empty()) transfer.AddHeader("Authorization: Bearer " + config_.token.Reveal());
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.c_str());
    const CURLcode code = transfer.Perform();
    // An answer whose body was too long, or broke off, still has its status.
    if (transfer.ResponseCode() >= 200) return JudgeStatus(transfer);
    Delivery delivery;
    delivery.error = text::LogLine(absl::StrCat("posting to the webhook: ", transfer.ErrorText(code)));
    curl_off_t uploaded = 0;
    curl_easy_getinfo(c, CURLINFO_SIZE_UPLOAD_T, &uploaded);
    delivery.ambiguous = uploaded >= static_cast<curl_off_t>(body.size());
    return delivery;
  }

 private:
  const WebhookConfig config_;
};

// The URL's own mistakes, told at `node`; a secret one is not repeated.
void CheckUrl(const config::YamlNode& node, config::Problems& problems, bool insecure, bool from_file,
              WebhookConfig& config) {
  const auto url = ParseUrl(config.url.Reveal());
  if (!url.ok()) return problems.Add(node.At(std::string(url.status().message())));
  if (url->scheme != "https" && url->scheme != "http") {
    return problems.Add(node.At("a webhook's URL must be https"));
  }
  config.https = url->scheme == "https";
  if (!config.https && !insecure && !IsLoopbackHost(url->host)) {
    problems.Add(node.At("a webhook's URL must be https; say insecure: true to send in the clear"));
  }
  if (url->has_credentials && !from_file) {
    problems.Add(node.At("a URL with a password in it belongs into url_file"));
  }
}

}  // namespace

std::unique_ptr<ReceiverPlugin> MakeWebhook(std::string_view name, const config::YamlNode& node,
                                            config::Problems& problems) {
  const size_t before = problems.mistakes().size();
  WebhookConfig config;
  config.name = std::string(name);
  config::MapReader map(node, problems, "receiver " + std::string(name));
  ReadShared(map);
  std::string url;
  bool insecure = false;
  map.String("url", &url);
  map.Bool("insecure", &insecure);
  map.String("ca_file", &config.ca_file);
  ReadSecret(map, node, problems, "url_file", config.url);
  ReadSecret(map, node, problems, "token_file", config.token);
  if (map.Has("url") == map.Has("url_file")) {
    problems.Add(node.At("a webhook needs one of url and url_file"));
  } else if (map.Has("url")) {
    config.url = config::Secret(url);
    CheckUrl(*node.Find("url"), problems, insecure, false, config);
  } else if (!config.url.empty()) {
    CheckUrl(*node.Find("url_file"), problems, insecure, true, config);
  }
  map.Finish();
  if (problems.mistakes().size() != before) return nullptr;
  return std::make_unique<WebhookReceiver>(std::move(config));
}

}  // namespace quell::receivers
