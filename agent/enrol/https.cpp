#include "agent/enrol/https.h"

#include <curl/curl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <memory>

#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr size_t kMostBody = 512 << 10;

struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Exchanged {
  const CheckServer& check;
  absl::Status refused;
  std::string body;
};

size_t OnBody(char* data, size_t size, size_t n, void* user) {
  auto& exchanged = *static_cast<Exchanged*>(user);
  if (exchanged.body.size() + size * n > kMostBody) return 0;  // ends the transfer
  exchanged.body.append(data, size * n);
  return size * n;
}

std::string PemOf(X509* certificate) {
  const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new(BIO_s_mem()), &BIO_free_all);
  if (certificate == nullptr || bio == nullptr || PEM_write_bio_X509(bio.get(), certificate) != 1) return "";
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<size_t>(std::max(size, 0L)));
}

// In the place of OpenSSL's own verification of the chain.
int OnVerify(X509_STORE_CTX* store, void* user) {
  auto& exchanged = *static_cast<Exchanged*>(user);
  if (exchanged.check) exchanged.refused = exchanged.check(PemOf(X509_STORE_CTX_get0_cert(store)));
  X509_STORE_CTX_set_error(store, exchanged.refused.ok() ? X509_V_OK : X509_V_ERR_APPLICATION_VERIFICATION);
  return exchanged.refused.ok() ? 1 : 0;
}

CURLcode OnContext(CURL*, void* context, void* user) {
  SSL_CTX_set_cert_verify_callback(static_cast<SSL_CTX*>(context), OnVerify, user);
  return CURLE_OK;
}

void Configure(CURL* easy, const HttpsRequest& request, Exchanged& exchanged) {
  const std::string url = "https://" + request.address + request.path;
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");  // none, whatever the environment says
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request.at_most / kMillisecond));
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_3));
  curl_easy_setopt(easy, CURLOPT_CAINFO, nullptr);  // our own authorities alone, and those in OnVerify
  curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, exchanged.check ? 2L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, OnContext);
  curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &exchanged);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "quell-agent");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &exchanged);
}

}  // namespace

absl::StatusOr<HttpsAnswer> Exchange(const HttpsRequest& request, const CheckServer& check) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  Require(ready == CURLE_OK, "initialising libcurl");
  const std::unique_ptr<CURL, EasyDeleter> easy(curl_easy_init());
  Require(easy != nullptr, "initialising an HTTPS exchange");
  Exchanged exchanged{check, absl::OkStatus(), ""};
  Configure(easy.get(), request, exchanged);
  std::unique_ptr<curl_slist, ListDeleter> headers;
  if (!request.json.empty()) {
    headers.reset(curl_slist_append(nullptr, "Content-Type: application/json"));
    curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.json.size()));
    curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, request.json.data());
  }
  const CURLcode code = curl_easy_perform(easy.get());
  ERR_clear_error();
  if (!exchanged.refused.ok()) return exchanged.refused;
  if (code != CURLE_OK)
    return absl::UnavailableError(
        absl::StrCat("asking ", request.address, request.path, ": ", curl_easy_strerror(code)));
  HttpsAnswer answer;
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.status);
  answer.body = std::move(exchanged.body);
  return answer;
}

}  // namespace quell::agent
