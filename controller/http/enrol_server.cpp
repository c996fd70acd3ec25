#include "controller/http/enrol_server.h"

#include <httplib.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "common/base/ids.h"
#include "common/base/log.h"
#include "common/base/status.h"
#include "common/security/join_token.h"
#include "controller/http/bounded_server.h"
#include "controller/http/tls_connection.h"

namespace quell::http {
namespace {

using Json = nlohmann::json;
using HandlerResponse = httplib::Server::HandlerResponse;

constexpr size_t kRequestBytes = 16 << 10;
constexpr Micros kRequestTime = 5 * kSecond;
constexpr ServerBounds kBounds{.threads = 8, .waiting = 32, .per_address = 4};

void Send(httplib::Response& response, int status, const Json& body) {
  response.status = status;
  // Sentences may quote what a host sent: what is no UTF-8 in it is replaced.
  response.set_content(body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", "application/json");
}

int StatusFor(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
      return 403;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      return 503;
    default:
      return 500;
  }
}

// One flat object of strings; anything deeper is refused before it is taken in.
absl::StatusOr<Json> ParseFlat(const std::string& body) {
  int deepest = 0;
  const Json json = Json::parse(
      body,
      [&deepest](int depth, Json::parse_event_t, Json&) {
        deepest = std::max(deepest, depth);
        return depth <= 1;
      },
      false);
  const bool flat = !json.is_discarded() && json.is_object() && deepest <= 1 &&
                    std::all_of(json.begin(), json.end(), [](const Json& v) { return v.is_string(); });
  if (!flat) return absl::InvalidArgumentError("the body is not one JSON object of strings");
  return json;
}

absl::StatusOr<std::string> Text(const Json& json, const char* key) {
  const auto found = json.find(key);
  if (found == json.end()) return absl::InvalidArgumentError(absl::StrCat("the body has no ", key));
  return found->get<std::string>();
}

absl::StatusOr<std::string> Bytes(const Json& json, const char* key) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, Text(json, key));
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes))
    return absl::InvalidArgumentError(absl::StrCat(key, " is not in base64"));
  return bytes;
}

}  // namespace

struct EnrolServer::Impl {
  Impl(EnrolDesk& d, Metrics& m, ServerContext c)
      : desk(d),
        issued(m.AddCounter("quell_enrol_issued_total", "Certificates issued on the enrolment port.")),
        refused(m.AddCounter("quell_enrol_refused_total", "Requests refused on the enrolment port.")),
        context(std::move(c)),
        server(
            kBounds,
            [this](int fd) { return TlsConnection::Accept(fd, *context, kRequestBytes, kRequestTime); },
            m.AddCounter("quell_enrol_closed_total",
                         "Connections closed because too many were waiting, or too many of one address.")) {}

  using Handler = absl::StatusOr<EnrolDesk::Issued> (Impl::*)(const Json& body);
  HandlerResponse Route(const httplib::Request& request, httplib::Response& response);
  void Post(const httplib::Request& request, httplib::Response& response, Handler handler);
  absl::StatusOr<EnrolDesk::Issued> Enrol(const Json& body);
  absl::StatusOr<EnrolDesk::Issued> Recover(const Json& body);

  EnrolDesk& desk;
  Counter& issued;
  Counter& refused;
  const ServerContext context;
  BoundedServer server;
};

// The reading requests are answered here; what is to be posted goes on to its handler once its form is right.
// Nothing else reaches the library's own routing, which matches paths by regular expressions.
HandlerResponse EnrolServer::Impl::Route(const httplib::Request& request, httplib::Response& response) {
  response.set_header("Cache-Control", "no-store");
  const bool get = request.method == "GET";
  if (get && request.path == "/v1/trust") {
    response.set_content(desk.TrustBundle(), "application/octet-stream");
    return HandlerResponse::Handled;
  }
  if (get && request.path == "/v1/challenge") {
    Send(response, 200, {{"challenge", absl::Base64Escape(desk.Challenge())}});
    return HandlerResponse::Handled;
  }
  const bool post =
      request.method == "POST" && (request.path == "/v1/enrol" || request.path == "/v1/recover");
  if (!post) {
    Send(response, 404, {{"error", "there is nothing here"}});
    return HandlerResponse::Handled;
  }
  // Packed bodies have no bound in the library once they are unpacked.
  if (request.has_header("Content-Encoding") ||
      request.get_header_value("Content-Type") != "application/json") {
    Send(response, 400, {{"error", "what is posted here is plain application/json"}});
    return HandlerResponse::Handled;
  }
  return HandlerResponse::Unhandled;
}

void EnrolServer::Impl::Post(const httplib::Request& request, httplib::Response& response, Handler handler) {
  const auto body = ParseFlat(request.body);
  const auto made = body.ok() ? (this->*handler)(*body) : absl::StatusOr<EnrolDesk::Issued>(body.status());
  if (made.ok()) {
    issued.Add();
    LogInfo("issued a certificate to %s, the host %s (%s)", request.remote_addr, made->name, made->id);
    return Send(response, 200,
                {{"id", made->id}, {"name", made->name}, {"certificate", made->certificate_pem}});
  }
  refused.Add();
  LogWarning("refused %s from %s: %s", request.path, request.remote_addr, made.status().message());
  Send(response, StatusFor(made.status()), {{"error", std::string(made.status().message())}});
}

absl::StatusOr<EnrolDesk::Issued> EnrolServer::Impl::Enrol(const Json& body) {
  QUELL_ASSIGN_OR_RETURN(const std::string text, Text(body, "token"));
  QUELL_ASSIGN_OR_RETURN(const security::Secret token, security::DecodeTokenSecret(text));
  QUELL_ASSIGN_OR_RETURN(const std::string public_key, Bytes(body, "public_key"));
  const std::string wish = body.value("host", "");
  if (!wish.empty() && !IsHostName(wish)) return absl::InvalidArgumentError("host is no host's name");
  return desk.Enrol(token, public_key, wish);
}

absl::StatusOr<EnrolDesk::Issued> EnrolServer::Impl::Recover(const Json& body) {
  QUELL_ASSIGN_OR_RETURN(const std::string id, Text(body, "id"));
  if (!IsUuid(id)) return absl::InvalidArgumentError("id is no uuid");
  QUELL_ASSIGN_OR_RETURN(const std::string public_key, Bytes(body, "public_key"));
  QUELL_ASSIGN_OR_RETURN(const std::string challenge, Bytes(body, "challenge"));
  QUELL_ASSIGN_OR_RETURN(const std::string signature, Bytes(body, "signature"));
  return desk.Recover(id, public_key, challenge, signature);
}

EnrolServer::EnrolServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EnrolServer::~EnrolServer() { Stop(); }
int EnrolServer::port() const { return impl_->server.port(); }
void EnrolServer::Stop() { impl_->server.Stop(); }

absl::StatusOr<std::unique_ptr<EnrolServer>> EnrolServer::Start(const EnrolOptions& options, EnrolDesk& desk,
                                                                Metrics& metrics) {
  QUELL_ASSIGN_OR_RETURN(const HostPort place, ParseHostPort(options.listen));
  QUELL_ASSIGN_OR_RETURN(ServerContext context, MakeServerContext(options.key_pem, options.certificate_pem));
  auto impl = std::make_unique<Impl>(desk, metrics, std::move(context));
  Impl* raw = impl.get();
  BoundedServer& server = impl->server;
  server.set_pre_routing_handler([raw](const httplib::Request& request, httplib::Response& response) {
    return raw->Route(request, response);
  });
  server.Post("/v1/enrol", [raw](const httplib::Request& request, httplib::Response& response) {
    raw->Post(request, response, &Impl::Enrol);
  });
  server.Post("/v1/recover", [raw](const httplib::Request& request, httplib::Response& response) {
    raw->Post(request, response, &Impl::Recover);
  });
  server.set_payload_max_length(kRequestBytes);
  QUELL_RETURN_IF_ERROR(server.Start(place, options.listen, "enrolment"));
  return std::unique_ptr<EnrolServer>(new EnrolServer(std::move(impl)));
}

}  // namespace quell::http
