// The receiver "email": SMTP by libcurl.
//
//   {type: email, smtp: "host:587", from: a@b, to: c@d | [c@d, …], user_file: F, password_file: F,
//    tls: required | off, ca_file: F}
//
// TLS (STARTTLS, or from the first byte on port 465) is required; `off` is for a server on this host alone.
#include "controller/receivers/email.h"

#include <utility>

#include "absl/strings/match.h"
#include "common/base/clock.h"
#include "common/base/status.h"
#include "common/config/secret.h"
#include "common/text/encode.h"
#include "controller/receivers/rows.h"
#include "controller/receivers/transfer.h"

namespace quell::receivers {
namespace {

struct EmailConfig {
  std::string smtp;
  std::string host;
  std::string from;
  std::vector<std::string> to;
  config::Secret user;
  config::Secret password;
  bool tls = true;
  std::string ca_file;
};

// What the server meant. By RFC 5321 4.2.1 4xx is for now and 5xx for good; without an answer to the whole
// message (the last one was 354, "go on") nobody knows.
Delivery Judge(const Transfer& transfer, CURLcode code) {
  Delivery delivery;
  if (code == CURLE_OK) {
    delivery.sent = true;
    return delivery;
  }
  const long reply = transfer.ResponseCode();
  delivery.error = text::LogLine(absl::StrCat("sending mail: ", transfer.ErrorText(code),
                                              reply > 0 ? absl::StrCat(" (reply ", reply, ")") : ""));
  delivery.ambiguous = transfer.payload_sent() && reply == 354;
  delivery.permanent = !delivery.ambiguous && reply >= 500 && reply < 600 && code != CURLE_OPERATION_TIMEDOUT;
  return delivery;
}

class EmailReceiver final : public ReceiverPlugin {
 public:
  explicit EmailReceiver(EmailConfig config) : config_(std::move(config)) {}

  Delivery Send(const v1::Notice& notice, std::string_view installation, Micros deadline) override {
    Transfer transfer("smtp,smtps", deadline);
    CURL* c = transfer.curl();
    const bool implicit = config_.tls && absl::EndsWith(config_.smtp, ":465");
    curl_easy_setopt(c, CURLOPT_URL, ((implicit ? "smtps://" : "smtp://") + config_.smtp).c_str());
    curl_easy_setopt(c, CURLOPT_USE_SSL, static_cast<long>(config_.tls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    if (!config_.ca_file.empty()) curl_easy_setopt(c, CURLOPT_CAINFO, config_.ca_file.c_str());
    if (!config_.user.empty()) {
      curl_easy_setopt(c, CURLOPT_USERNAME, config_.user.Reveal().c_str());
      curl_easy_setopt(c, CURLOPT_PASSWORD, config_.password.Reveal().c_str());
    }
    curl_easy_setopt(c, CURLOPT_MAIL_FROM, ("<" + config_.from + ">").c_str());
    for (const std::string& to : config_.to) transfer.AddRecipient("<" + to + ">");
    // One address that is gone does not keep the others from being told.
    curl_easy_setopt(c, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    transfer.SetPayload(ComposeMail(notice, installation, config_.from, config_.to, RealClock().Wall()));
    const CURLcode code = transfer.Perform();
    return Judge(transfer, code);
  }

 private:
  const EmailConfig config_;
};

void ReadAddresses(config::MapReader& map, const config::YamlNode& node, config::Problems& problems,
                   EmailConfig& config) {
  map.String("from", &config.from, config::kRequired);
  if (!config.from.empty() && !IsMailAddress(config.from)) {
    problems.Add(node.Find("from")->At("from must be one plain address, name@host"));
  }
  map.Strings("to", &config.to, config::kRequired);
  const config::YamlNode* to = node.Find("to");
  if (to != nullptr && to->kind == config::YamlNode::Kind::kList && config.to.empty()) {
    problems.Add(to->At("to must name somebody"));
  }
  for (const std::string& address : config.to) {
    if (!IsMailAddress(address)) problems.Add(to->At("to must be plain addresses, name@host"));
  }
}

void ReadServer(config::MapReader& map, const config::YamlNode& node, config::Problems& problems,
                EmailConfig& config) {
  map.String("smtp", &config.smtp, config::kRequired);
  const size_t colon = config.smtp.rfind(':');
  config.host = config.smtp.substr(0, colon);
  if (!config.smtp.empty()) {
    const auto url = ParseUrl("smtp://" + config.smtp);
    const bool plain = config.smtp.find_first_of("/@?# ") == std::string::npos;
    if (colon == std::string::npos || !url.ok() || !plain) {
      problems.Add(node.Find("smtp")->At("smtp must be host:port"));
    }
  }
  int tls = 0;
  map.Choice("tls", {"required", "off"}, &tls);
  config.tls = tls == 0;
  if (!config.tls && !IsLoopbackHost(config.host)) {
    problems.Add(node.Find("tls")->At("tls may be off only for a server on this host's loopback"));
  }
  map.String("ca_file", &config.ca_file);
}

}  // namespace

std::unique_ptr<ReceiverPlugin> MakeEmail(std::string_view name, const config::YamlNode& node,
                                          config::Problems& problems) {
  const size_t before = problems.mistakes().size();
  EmailConfig config;
  config::MapReader map(node, problems, "receiver " + std::string(name));
  ReadShared(map);
  ReadServer(map, node, problems, config);
  ReadAddresses(map, node, problems, config);
  ReadSecret(map, node, problems, "user_file", config.user);
  ReadSecret(map, node, problems, "password_file", config.password);
  if (map.Has("password_file") && !map.Has("user_file")) {
    problems.Add(node.At("password_file needs user_file"));
  }
  map.Finish();
  if (problems.mistakes().size() != before) return nullptr;
  return std::make_unique<EmailReceiver>(std::move(config));
}

}  // namespace quell::receivers
