// The message that an e-mail receiver sends, apart from how it is sent. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"
#include "quell/v1/state.pb.h"

namespace quell::receivers {

// "<…@installation>": the same for every attempt at one notice, another for every other notice.
std::string MessageId(std::string_view installation, std::string_view key);
// Headers and body with CRLF line ends (RFC 5322). `now` is wall time.
std::string ComposeMail(const v1::Notice& notice, std::string_view installation, const std::string& from,
                        const std::vector<std::string>& to, Micros now);
// One plain address, name@host: no display name, no quoting, nothing that could end a header or a command.
bool IsMailAddress(std::string_view address);

}  // namespace quell::receivers
