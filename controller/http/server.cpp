#include "controller/http/server.h"

#include <httplib.h>

#include <set>

#include "absl/strings/ascii.h"
#include "common/base/status.h"
#include "controller/http/bounded_server.h"
#include "controller/http/connection.h"

namespace quell::http {
namespace {

constexpr size_t kRequestBytes = 16 << 10;
constexpr Micros kRequestTime = 5 * kSecond;

// "name", "name:port", "[::1]:port" -> the name, lower case.
std::string HostName(std::string_view header) {
  const size_t end = header.rfind(':');
  const bool bracket = !header.empty() && header.front() == '[';
  if (end != std::string_view::npos && (!bracket || header.find(']') < end)) header = header.substr(0, end);
  if (bracket && header.size() > 2 && header.back() == ']') header = header.substr(1, header.size() - 2);
  return absl::AsciiStrToLower(absl::string_view(header.data(), header.size()));
}

void Plain(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

}  // namespace

struct HttpServer::Impl {
  Impl(Metrics& m, std::function<absl::Status()> r)
      : metrics(m),
        ready(std::move(r)),
        requests(m.AddCounter("quell_http_requests_total", "Requests answered on the web port.")),
        refused_hosts(
            m.AddCounter("quell_http_refused_host_total", "Requests addressed to another host name.")),
        server(
            {}, [](int fd) { return std::make_unique<BoundedConnection>(fd, kRequestBytes, kRequestTime); },
            m.AddCounter("quell_http_refused_total", "Connections closed because too many were waiting.")) {}

  void Answer(const httplib::Request& request, httplib::Response& response);
  bool HostAllowed(const httplib::Request& request) const;

  Metrics& metrics;
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

void HttpServer::Impl::Answer(const httplib::Request& request, httplib::Response& response) {
  requests.Add();
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Cache-Control", "no-store");
  if (!HostAllowed(request)) {
    refused_hosts.Add();
    return Plain(response, 403, "This server does not answer for the host that was asked for.");
  }
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
                                                              std::function<absl::Status()> ready) {
  QUELL_ASSIGN_OR_RETURN(const HostPort place, ParseHostPort(options.listen));
  auto impl = std::make_unique<Impl>(metrics, std::move(ready));
  Impl* raw = impl.get();
  impl->hosts = {"localhost", "127.0.0.1", "::1", HostName(place.host)};
  for (const std::string& host : options.hosts) impl->hosts.insert(HostName(host));
  // Every request is answered before the library's own routing, which matches paths by regular expressions.
  impl->server.set_pre_routing_handler([raw](const httplib::Request& request, httplib::Response& response) {
    raw->Answer(request, response);
    return httplib::Server::HandlerResponse::Handled;
  });
  impl->server.set_payload_max_length(kRequestBytes);
  QUELL_RETURN_IF_ERROR(impl->server.Start(place, options.listen, "the web port"));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::Stop() { impl_->server.Stop(); }

}  // namespace quell::http
