// One encoder per sink. No string reaches a sink except through its encoder. Pure; any thread.
// All of them take arbitrary bytes: invalid UTF-8 becomes U+FFFD or an escape, never an error.
#pragma once
#include <string>
#include <string_view>

namespace quell::text {

std::string Html(std::string_view s);  // & < > " ' and controls
std::string Url(std::string_view s);   // http and https only, percent-encoded; "" for anything else
std::string UrlComponent(std::string_view s);
// Control (but \n when `lines`), escape and bidi characters shown as \xNN / \u{NNNN}, not sent.
std::string Terminal(std::string_view s, bool lines = false);
std::string MailHeader(std::string_view s);  // RFC 2047 where needed; no CR, LF, NUL; folded at 76
std::string MailBody(
    std::string_view s);  // CRLF line ends, controls shown, dot-stuffing left to the transport
std::string LogLine(std::string_view s);  // one line, at most 4 KiB
std::string Slack(std::string_view s);    // & < > escaped, back-ticks and newlines neutralised
std::string Markdown(std::string_view s);
std::string Csv(std::string_view s);   // quoted; a leading = + - @ is neutralised
std::string Json(std::string_view s);  // quoted string, invalid UTF-8 replaced

// Cuts at a code point boundary to at most `bytes`, with an ellipsis.
std::string Cut(std::string_view s, size_t bytes);
// Columns a terminal shows (combining marks 0, wide characters 2).
int DisplayWidth(std::string_view s);

}  // namespace quell::text
