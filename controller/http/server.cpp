#include "controller/http/server.h"

#include <httplib.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/clock.h"
#include "common/base/queue.h"
#include "common/base/status.h"
#include "common/base/thread.h"
#include "controller/http/connection.h"
#include "controller/http/write_checks.h"

namespace quell::http {
namespace {

constexpr size_t kRequestBytes = (16 << 10) + ChangeReceiver::kMostBytes;
constexpr char kChanges[] = "/api/changes";
constexpr Micros kRequestTime = 5 * kSecond;
constexpr size_t kThreads = 4;
constexpr size_t kWaiting = 32;

void Plain(httplib::Response& response, int status, const std::string& text) {
  response.status = status;
  response.set_content(text + "\n", "text/plain; charset=utf-8");
}

void Send(httplib::Response& response, const WebAnswer& answer) {
  response.status = answer.status;
  if (answer.status == 401) response.set_header("WWW-Authenticate", "Bearer");
  response.set_content(answer.json + "\n", "application/json");
}

// The library's server, but each connection within our bounds.
class BoundedServer final : public httplib::Server {
 public:
  explicit BoundedServer(Counter& refused) : refused_(refused) {
    // The library's own queue hands over a closure; ours are the descriptors, bounded.
    new_task_queue = [] { return new Inline; };
    for (size_t i = 0; i < kThreads; ++i) {
      threads_.emplace_back("http", [this] { Serve(); });
    }
  }
  ~BoundedServer() override { Finish(); }
  void Finish() {
    waiting_.Close();
    threads_.clear();
  }

 private:
  class Inline final : public httplib::TaskQueue {
   public:
    void enqueue(std::function<void()> fn) override { fn(); }
    void shutdown() override {}
  };

  // On the accepting thread.
  bool process_and_close_socket(socket_t fd) override {
    if (waiting_.Push(std::move(fd))) return true;
    refused_.Add();
    close(fd);
    return false;
  }

  void Serve() {
    for (;;) {
      const auto fd = waiting_.Pop(absl::Seconds(1));
      if (!fd.has_value()) {
        if (waiting_.closed()) return;
        continue;
      }
      BoundedConnection connection(*fd, kRequestBytes, kRequestTime);
      bool closed = false;
      process_request(connection, true, closed, nullptr);
    }
  }

  Counter& refused_;
  BoundedQueue<socket_t> waiting_{kWaiting};
  std::vector<NamedThread> threads_;
};

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(std::string_view text) {
  const auto wrong = [&](std::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("address \"", absl::string_view(text.data(), text.size()),
                                                   "\": ", absl::string_view(why.data(), why.size())));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return wrong("it has no port (host:port)");
  HostPort result;
  std::string_view host = text.substr(0, colon);
  const std::string port(text.substr(colon + 1));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  if (host.empty()) return wrong("it has no host");
  if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(port, &result.port) || result.port > 65535) {
    return wrong("its port is not a number from 0 to 65535");
  }
  result.host = std::string(host);
  return result;
}

struct HttpServer::Impl {
  Impl(Metrics& m, ChangeReceiver& c, std::function<absl::Status()> r)
      : metrics(m),
        changes(c),
        ready(std::move(r)),
        requests(m.AddCounter("quell_http_requests_total", "Requests answered on the web port.")),
        refused_hosts(
            m.AddCounter("quell_http_refused_host_total", "Requests addressed to another host name.")),
        server(
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
  int port = 0;
  BoundedServer server;
  NamedThread thread;
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
int HttpServer::port() const { return impl_->port; }

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
  // Without the library's SO_REUSEPORT, by which another program could take a share of our requests.
  impl->server.set_socket_options([](socket_t fd) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  });
  const bool bound = place.port == 0 ? (impl->port = impl->server.bind_to_any_port(place.host)) > 0
                                     : impl->server.bind_to_port(place.host, impl->port = place.port);
  if (!bound) {
    return absl::UnavailableError(
        absl::StrCat("listening on ", options.listen,
                     " for the web port failed: the address is in use or not this host's"));
  }
  impl->thread = NamedThread("http-accept", [raw] { raw->server.listen_after_bind(); });
  const Micros until = RealClock().Monotonic() + 10 * kSecond;
  // Until its loop runs, stop() would go unheard.
  while (!impl->server.is_running()) {
    if (RealClock().Monotonic() > until) Fatal("the web port's thread did not start within 10 s");
    std::this_thread::yield();
  }
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

void HttpServer::Stop() {
  impl_->server.stop();
  impl_->thread.Join();
  impl_->server.Finish();
}

}  // namespace quell::http
