#include "controller/http/server.h"

#include <httplib.h>

#include <set>

#include "absl/strings/ascii.h"
#include "common/base/status.h"
#include "controller/http/bounded_server.h"
#include "controller/http/connection.h"
#include "controller/http/write_checks.h"

namespace quell::http {
namespace {

constexpr size_t kRequestBytes = (16 << 10) + ChangeReceiver::kMostBytes;
constexpr char kChanges[] = "/api/changes";
constexpr Micros kRequestTime = 5 * kSecond;

void Plain(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

void Send(httplib::Response& response, const WebAnswer& answer) {
  response.status = answer.status;
  if (answer.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(answer.json + "\n", "application/json");
}

}  // namespace

struct HttpServer::Impl {
  Impl(Metrics& m, ChangeReceiver& c, std::function<absl::Status()> r)
      : metrics(m),
        changes(c),
        ready(std::move(r)),
        requests(m.AddCounter("quell_http_requests_total", "Requests answered on the web port.")),
        refused_hosts(
            m.AddCounter("quell_http_refused_host_total", "Requests addressed to another host name.")),
        server(
            {}, [](int fd) { return std::make_unique<BoundedConnection>(fd, kRequestBytes, kRequestTime); },
            m.AddCounter("quell_http_refused_total", "Connections closed because too many were waiting.")) {}

  // False when the body has to be read first.
  bool Answer(const httplib::Request& request, httplib::Response& response);
  void AnswerRead(const httplib::Request& request, httplib::Response& response);
  bool AdmitChange(const httplib::Request& request, httplib::Response& response);
  void TakeChange(const httplib::Request& request, httplib::Response& response,
                  const httplib::ContentReader& read);
  bool HostAllowed(const httplib::Request& request) const;

  Metrics& metrics;
  ChangeReceiver& changes;
  std::function<absl::Status()> ready;
  Counter& requests;
  Counter& refused_hosts;
  std::set<std::string> hosts;
  BoundedServer server;
};

bool HttpServer::Impl::HostAllowed(const httplib::Request& request) const {
  return request.get_header_value_count("Host") == 1 &&
         hosts.count(HostName(request.get_header_value("Host"))) == 1;
}

bool HttpServer::Impl::Answer(const httplib::Request& request, httplib::Response& response) {
  requests.Add();
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Cache-Control", "no-store");
  if (!HostAllowed(request)) {
    refused_hosts.Add();
    Plain(response, 403, "This server does not answer for the host that was asked for.");
    return true;
  }
  if (request.path == kChanges) return !AdmitChange(request, response);
  AnswerRead(request, response);
  return true;
}

// Who writes is known, and how much comes, before anything of it is read.
bool HttpServer::Impl::AdmitChange(const httplib::Request& request, httplib::Response& response) {
  if (request.method != "POST") {
    response.set_header("Allow", "POST");
    Send(response, WebError(405, "changes are told by POST; `quell get changes` lists them"));
    return false;
  }
  auto refusal = CheckWrite(request, hosts, ChangeReceiver::kMostBytes);
  if (!refusal) refusal = changes.Admit(request.get_header_value("Authorization"));
  if (refusal) Send(response, *refusal);
  return !refusal.has_value();
}

void HttpServer::Impl::TakeChange(const httplib::Request& request, httplib::Response& response,
                                  const httplib::ContentReader& read) {
  std::string body;
  const bool whole = read([&](const char* data, size_t size) {
    if (body.size() + size > ChangeReceiver::kMostBytes) return false;
    body.append(data, size);
    return true;
  });
  if (!whole) return Send(response, WebError(400, "the body did not come whole within its length and time"));
  Send(response, changes.Take(request.get_header_value("Authorization"), body));
}

void HttpServer::Impl::AnswerRead(const httplib::Request& request, httplib::Response& response) {
  if (request.method != "GET" && request.method != "HEAD") {
    response.set_header("Allow", "GET, HEAD");
    return Plain(response, 405, "Only GET and HEAD are served here.");
  }
  if (request.path == "/metrics") {
    response.status = 200;
    return response.set_content(metrics.Render(), "text/plain; version=0.0.4; charset=utf-8");
  }
  if (request.path == "/-/healthy") return Plain(response, 200, "quell-controller is healthy.");
  if (request.path == "/-/ready") {
    const absl::Status status = ready();
    if (status.ok()) return Plain(response, 200, "quell-controller is ready.");
    return Plain(response, 503, absl::StrCat("quell-controller is not ready: ", status.message()));
  }
  Plain(response, 404, "There is nothing here.");
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }
int HttpServer::port() const { return impl_->server.port(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, Metrics& metrics,
                                                              ChangeReceiver& changes,
                                                              std::function<absl::Status()> ready) {
  QUELL_ASSIGN_OR_RETURN(const HostPort place, ParseHostPort(options.listen));
  auto impl = std::make_unique<Impl>(metrics, changes, std::move(ready));
  Impl* raw = impl.get();
  impl->hosts = {"localhost", "127.0.0.1", "::1", HostName(place.host)};
  for (const std::string& host : options.hosts) impl->hosts.insert(HostName(host));
  // Every request is answered or refused before the library's own routing, which matches paths by regular
  // expressions; what goes on to it is a change whose body is still to be read.
  impl->server.set_pre_routing_handler([raw](const httplib::Request& request, httplib::Response& response) {
    return raw->Answer(request, response) ? httplib::Server::HandlerResponse::Handled
                                          : httplib::Server::HandlerResponse::Unhandled;
  });
  impl->server.Post(kChanges,
                    [raw](const httplib::Request& request, httplib::Response& response,
                          const httplib::ContentReader& read) { raw->TakeChange(request, response, read); });
  impl->server.set_payload_max_length(ChangeReceiver::kMostBytes);
  QUELL_RETURN_IF_ERROR(impl->server.Start(place, options.listen, "the web port"));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::Stop() { impl_->server.Stop(); }

}  // namespace quell::http
