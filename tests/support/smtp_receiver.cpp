#include "tests/support/smtp_receiver.h"

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

// What stands between < and > of "MAIL FROM:<a@b> SIZE=1".
std::string Address(const std::string& line) {
  const size_t open = line.find('<');
  const size_t close = line.find('>');
  return open == std::string::npos || close == std::string::npos ? ""
                                                                 : line.substr(open + 1, close - open - 1);
}

// The authentication id of a PLAIN response (RFC 4616): authorization NUL authentication NUL password.
std::string PlainUser(const std::string& base64) {
  std::string decoded;
  if (!absl::Base64Unescape(base64, &decoded)) return "";
  const std::vector<std::string> parts = absl::StrSplit(decoded, '\0');
  return parts.size() == 3 ? parts[1] : "";
}

}  // namespace

SmtpReceiver::SmtpReceiver() : server_([this](Connection& connection) { Serve(connection); }) {}

std::string SmtpReceiver::Address() const { return absl::StrCat("127.0.0.1:", server_.port()); }

SmtpReceiver::Mode SmtpReceiver::mode() {
  absl::MutexLock lock(&mutex_);
  return mode_;
}

void SmtpReceiver::set_mode(Mode mode) {
  absl::MutexLock lock(&mutex_);
  mode_ = mode;
}

std::vector<SmtpReceiver::Message> SmtpReceiver::messages() {
  absl::MutexLock lock(&mutex_);
  return messages_;
}

bool SmtpReceiver::WaitForMessages(size_t n, Micros deadline) {
  return WaitFor([&] { return messages().size() >= n; }, deadline);
}

void SmtpReceiver::Serve(Connection& connection) {
  if (mode() == Mode::kHang) return connection.Hang();
  Message message;
  connection.Write("220 test ESMTP\r\n");
  while (const std::optional<std::string> line = connection.Line()) {
    const std::string verb = absl::AsciiStrToUpper(line->substr(0, line->find_first_of(" :")));
    if (verb == "EHLO") {
      connection.Write("250-test\r\n250-AUTH PLAIN\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n");
    } else if (verb == "AUTH" && absl::StartsWithIgnoreCase(*line, "AUTH PLAIN")) {
      std::string response = line->substr(std::min<size_t>(line->size(), 11));
      if (response.empty()) {
        connection.Write("334 \r\n");
        response = connection.Line().value_or("");
      }
      message.user = PlainUser(response);
      connection.Write(message.user.empty() ? "535 no\r\n" : "235 ok\r\n");
    } else if (verb == "MAIL") {
      message.from = quell::test::Address(*line);
      message.to.clear();
      connection.Write("250 ok\r\n");
    } else if (verb == "RCPT") {
      const bool refuse = mode() == Mode::kRefuseRecipient;
      if (!refuse) message.to.push_back(quell::test::Address(*line));
      connection.Write(refuse ? "550 no such user\r\n" : "250 ok\r\n");
    } else if (verb == "DATA") {
      if (!TakeData(connection, message)) return;
    } else if (verb == "QUIT") {
      connection.Write("221 bye\r\n");
      return;
    } else {
      connection.Write(verb == "HELO" || verb == "RSET" || verb == "NOOP" ? "250 ok\r\n" : "502 unknown\r\n");
    }
  }
}

bool SmtpReceiver::TakeData(Connection& connection, Message message) {
  connection.Write("354 go on\r\n");
  while (true) {
    const std::optional<std::string> line = connection.Line();
    if (!line.has_value()) return false;
    if (*line == ".") break;
    message.data.append(line->starts_with('.') ? line->substr(1) : *line).append("\r\n");
  }
  const Mode now = mode();
  if (now != Mode::kRefuseForNow) {
    absl::MutexLock lock(&mutex_);
    messages_.push_back(std::move(message));
  }
  if (now == Mode::kCloseAfterData) return false;
  return connection.Write(now == Mode::kRefuseForNow ? "451 try later\r\n" : "250 queued\r\n");
}

}  // namespace quell::test
