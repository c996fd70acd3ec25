// What a write on the web port is answered: a status and a JSON document. Values; any thread.
#pragma once
#include <string>
#include <string_view>

namespace quell::http {

struct WebAnswer {
  int status = 200;
  std::string json;
};

// {"error": "…"}
WebAnswer WebError(int status, std::string_view sentence);

}  // namespace quell::http
