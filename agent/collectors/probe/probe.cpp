#include "agent/collectors/probe/probe.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kMaxBody = 1 << 20;
constexpr int kMaxRedirects = 3;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Easy = std::unique_ptr<CURL, EasyDeleter>;

void InitCurlOnce() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  Require(code == CURLE_OK, "initialising libcurl");
}

struct Exchange {
  std::string body;
  bool body_full = false;
  std::string refused;  // an address that was not connected to
};

size_t OnBody(char* data, size_t size, size_t n, void* user) {
  auto& exchange = *static_cast<Exchange*>(user);
  const size_t take = std::min(size * n, kMaxBody - exchange.body.size());
  exchange.body.append(data, take);
  exchange.body_full = take < size * n;
  return exchange.body_full ? 0 : size * n;  // 0 ends the transfer: enough was seen
}

curl_socket_t OnSocket(void* user, curlsocktype, curl_sockaddr* address) {
  if (IsForbiddenAddress(&address->addr)) {
    static_cast<Exchange*>(user)->refused = "the address is link-local, a metadata service's, or no host's";
    return CURL_SOCKET_BAD;
  }
  return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

struct Place {
  std::string scheme, host;
};

Place Parse(const std::string& url) {
  std::unique_ptr<CURLU, UrlDeleter> parsed(curl_url());
  Place place;
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return place;
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), which, &text, 0) != CURLUE_OK) return std::string();
    std::string result = text;
    curl_free(text);
    return result;
  };
  place.scheme = part(CURLUPART_SCHEME);
  place.host = part(CURLUPART_HOST);
  return place;
}

void Configure(CURL* easy, const ProbeConfig& config, const std::string& url, long left_ms,
               Exchange& exchange) {
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // none, whatever the environment says
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, std::max(left_ms, 1L));
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "quell-agent");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, OnSocket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &exchange);
  curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(0));
  if (!config.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, config.ca_file.c_str());
}

double Seconds(CURL* easy, CURLINFO what) {
  curl_off_t micros = 0;
  curl_easy_getinfo(easy, what, &micros);
  return static_cast<double>(micros) / 1e6;
}

// Phases add up over redirects, as blackbox_exporter's do. The times count from the request's start; those of
// steps that were not reached are 0.
void AddPhases(CURL* easy, ProbeResult& result) {
  const double resolved = Seconds(easy, CURLINFO_NAMELOOKUP_TIME_T);
  const double connected = Seconds(easy, CURLINFO_CONNECT_TIME_T);
  const double secured = Seconds(easy, CURLINFO_APPCONNECT_TIME_T);
  const double asked = Seconds(easy, CURLINFO_PRETRANSFER_TIME_T);
  const double answered = Seconds(easy, CURLINFO_STARTTRANSFER_TIME_T);
  const double ended = Seconds(easy, CURLINFO_TOTAL_TIME_T);
  result.resolve += resolved;
  if (connected > 0) result.connect += connected - resolved;
  if (secured > 0) result.tls += secured - connected;
  if (answered > 0) result.processing += answered - asked;
  if (answered > 0) result.transfer += ended - answered;
  result.duration += ended;
}

bool StatusExpected(const ProbeConfig& config, long status) {
  return config.status != 0 ? status == config.status : status >= 200 && status < 300;
}

void Judge(const ProbeConfig& config, const Exchange& exchange, ProbeResult& result) {
  if (!StatusExpected(config, result.status)) {
    result.reason = absl::StrCat("the answer's status is ", result.status);
    return;
  }
  if (!config.body.empty() && exchange.body.find(config.body) == std::string::npos) {
    result.body_mismatch = true;
    result.reason = "the answer's body lacks the expected text";
    return;
  }
  result.success = true;
}

// Where an answer points to, when it is to be followed; empty when it isn't, with the reason for a failure.
std::string NextUrl(CURL* easy, const ProbeConfig& config, const Place& from, ProbeResult& result) {
  char* url = nullptr;
  curl_easy_getinfo(easy, CURLINFO_REDIRECT_URL, &url);
  if (url == nullptr || StatusExpected(config, result.status)) return "";
  const Place to = Parse(url);
  if (to.scheme != "http" && to.scheme != "https")
    result.reason = "the answer redirects to something other than http or https";
  else if (to.host != from.host)
    result.reason = "the answer redirects to another host";
  else if (from.scheme == "https" && to.scheme == "http")
    result.reason = "the answer redirects from https to http";
  return result.reason.empty() ? url : "";
}

}  // namespace

bool IsForbiddenAddress(const void* address) {
  const auto* generic = static_cast<const sockaddr*>(address);
  uint32_t v4 = 0;
  if (generic->sa_family == AF_INET) {
    v4 = ntohl(static_cast<const sockaddr_in*>(address)->sin_addr.s_addr);
  } else if (generic->sa_family == AF_INET6) {
    const in6_addr& v6 = static_cast<const sockaddr_in6*>(address)->sin6_addr;
    in6_addr aws{};
    inet_pton(AF_INET6, "fd00:ec2::254", &aws);
    if (!IN6_IS_ADDR_V4MAPPED(&v6))
      return IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MULTICAST(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) ||
             memcmp(&v6, &aws, sizeof(v6)) == 0;
    memcpy(&v4, &v6.s6_addr[12], 4);
    v4 = ntohl(v4);
  } else {
    return true;  // neither IPv4 nor IPv6
  }
  const bool link_local = v4 >> 16 == 0xA9FE;                  // 169.254/16, most clouds' metadata in it
  const bool metadata = v4 == 0x646464C8 || v4 == 0xC00000C0;  // 100.100.100.200, 192.0.0.192
  const bool nobody = v4 >> 24 == 0 || v4 >= 0xE0000000;       // 0/8, multicast, reserved, broadcast
  return link_local || metadata || nobody;
}

ProbeResult RunProbe(const ProbeConfig& config) {
  InitCurlOnce();
  ProbeResult result;
  std::string url = config.url;
  for (int round = 0; !url.empty(); ++round) {
    Easy easy(curl_easy_init());
    Exchange exchange;
    char error[CURL_ERROR_SIZE] = "";
    const long left = static_cast<long>(config.timeout / kMillisecond - result.duration * 1000);
    Configure(easy.get(), config, url, left, exchange);
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, error);
    const CURLcode code = curl_easy_perform(easy.get());
    AddPhases(easy.get(), result);
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &result.status);
    if (code != CURLE_OK && !exchange.body_full) {
      result.reason = !exchange.refused.empty() ? exchange.refused
                      : error[0] != 0           ? std::string(error)
                                                : curl_easy_strerror(code);
      return result;
    }
    url = NextUrl(easy.get(), config, Parse(url), result);
    if (!url.empty() && round == kMaxRedirects) result.reason = "the answer redirects too often";
    if (!result.reason.empty()) return result;
    if (url.empty()) Judge(config, exchange, result);
  }
  return result;
}

}  // namespace quell::agent
