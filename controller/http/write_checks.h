// What every write on the web port must bear before its body is read. Pure; any thread.
#pragma once
#include <httplib.h>

#include <optional>
#include <set>
#include <string>

#include "controller/http/web_answer.h"

namespace quell::http {

// "name", "name:port", "[::1]:port" -> the name, lower case.
std::string HostName(std::string_view header);

// nullopt when it may be read: exactly one Authorization, no Origin but one of `hosts`, the JSON content
// type, one Content-Length of at most `most` bytes, no transfer or content encoding. Else the answer, 4xx.
std::optional<WebAnswer> CheckWrite(const httplib::Request& request, const std::set<std::string>& hosts,
                                    size_t most);

}  // namespace quell::http
