// What may be said of a statement's text: its kind and its first keyword, never a literal. Pure.
#pragma once
#include <string>
#include <string_view>

namespace quell::agent {

// "ddl", "maintenance" or "copy" when any statement of `text` (as pg_stat_activity.query: one or several,
// perhaps cut) begins with a keyword of that kind, else "". Comments, quoted text and dollar quotes are
// skipped.
std::string StatementKind(std::string_view text);

// The first statement's keyword in capitals when it is one that SQL has ("UPDATE"), "other" for any other
// word, so that no part of a text which is no SQL gets out; "" for an empty text.
std::string StatementTag(std::string_view text);

}  // namespace quell::agent
