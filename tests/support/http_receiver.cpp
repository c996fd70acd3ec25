#include "tests/support/http_receiver.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/support/wait.h"

namespace quell::test {
namespace {

bool ReadRequest(Connection& connection, HttpReceiver::Request* request) {
  const std::optional<std::string> first = connection.Line();
  if (!first.has_value()) return false;
  const std::vector<std::string> words = absl::StrSplit(*first, ' ');
  if (words.size() != 3) return false;
  request->method = words[0];
  request->path = words[1];
  while (true) {
    const std::optional<std::string> line = connection.Line();
    if (!line.has_value()) return false;
    if (line->empty()) break;
    const std::pair<std::string, std::string> header = absl::StrSplit(*line, absl::MaxSplits(": ", 1));
    request->headers[absl::AsciiStrToLower(header.first)] = header.second;
  }
  size_t length = 0;
  if (request->headers.contains("content-length") &&
      !absl::SimpleAtoi(request->headers["content-length"], &length)) {
    return false;
  }
  if (absl::AsciiStrToLower(request->headers["expect"]) == "100-continue") {
    connection.Write("HTTP/1.1 100 Continue\r\n\r\n");
  }
  std::optional<std::string> body = connection.Bytes(length);
  if (!body.has_value()) return false;
  request->body = *std::move(body);
  return true;
}

}  // namespace

HttpReceiver::HttpReceiver() : server_([this](Connection& connection) { Serve(connection); }) {}

std::string HttpReceiver::Url(std::string_view path) const {
  return absl::StrCat("http://127.0.0.1:", server_.port(), absl::string_view(path.data(), path.size()));
}

void HttpReceiver::set_answer(Answer answer) {
  absl::MutexLock lock(&mutex_);
  answer_ = std::move(answer);
}

std::vector<HttpReceiver::Request> HttpReceiver::requests() {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

bool HttpReceiver::WaitForRequests(size_t n, Micros deadline) {
  return WaitFor([&] { return requests().size() >= n; }, deadline);
}

void HttpReceiver::Serve(Connection& connection) {
  while (ServeOne(connection)) {
  }
}

bool HttpReceiver::ServeOne(Connection& connection) {
  Request request;
  if (!ReadRequest(connection, &request)) return false;
  Answer answer;
  {
    absl::MutexLock lock(&mutex_);
    requests_.push_back(std::move(request));
    answer = answer_;
  }
  if (answer.kind == Answer::Kind::kHang) connection.Hang();
  if (answer.kind != Answer::Kind::kStatus) return false;
  std::string head =
      absl::StrCat("HTTP/1.1 ", answer.status, " Answer\r\nContent-Length: ", answer.body.size(), "\r\n");
  for (const auto& [name, value] : answer.headers) absl::StrAppend(&head, name, ": ", value, "\r\n");
  return connection.Write(absl::StrCat(head, "\r\n", answer.body));
}

}  // namespace quell::test
