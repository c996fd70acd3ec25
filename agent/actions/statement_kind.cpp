#include "agent/actions/statement_kind.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <vector>

#include "absl/strings/ascii.h"

namespace quell::agent {
namespace {

struct Keyword {
  std::string_view word;
  std::string_view kind;
};

// The words that PostgreSQL's commands begin with.
constexpr auto kKeywords = std::to_array<Keyword>({
    {"ALTER", "ddl"},
    {"COMMENT", "ddl"},
    {"CREATE", "ddl"},
    {"DROP", "ddl"},
    {"GRANT", "ddl"},
    {"IMPORT", "ddl"},
    {"REASSIGN", "ddl"},
    {"REVOKE", "ddl"},
    {"SECURITY", "ddl"},
    {"TRUNCATE", "ddl"},
    {"ANALYSE", "maintenance"},
    {"ANALYZE", "maintenance"},
    {"CHECKPOINT", "maintenance"},
    {"CLUSTER", "maintenance"},
    {"LOAD", "maintenance"},
    {"REFRESH", "maintenance"},
    {"REINDEX", "maintenance"},
    {"VACUUM", "maintenance"},
    {"COPY", "copy"},
    {"ABORT", ""},
    {"BEGIN", ""},
    {"CALL", ""},
    {"CLOSE", ""},
    {"COMMIT", ""},
    {"DEALLOCATE", ""},
    {"DECLARE", ""},
    {"DELETE", ""},
    {"DISCARD", ""},
    {"DO", ""},
    {"END", ""},
    {"EXECUTE", ""},
    {"EXPLAIN", ""},
    {"FETCH", ""},
    {"INSERT", ""},
    {"LISTEN", ""},
    {"LOCK", ""},
    {"MERGE", ""},
    {"MOVE", ""},
    {"NOTIFY", ""},
    {"PREPARE", ""},
    {"RELEASE", ""},
    {"RESET", ""},
    {"ROLLBACK", ""},
    {"SAVEPOINT", ""},
    {"SELECT", ""},
    {"SET", ""},
    {"SHOW", ""},
    {"START", ""},
    {"TABLE", ""},
    {"UNLISTEN", ""},
    {"UPDATE", ""},
    {"VALUES", ""},
    {"WITH", ""},
});

const Keyword* Find(std::string_view word) {
  const auto* found =
      std::find_if(kKeywords.begin(), kKeywords.end(), [&](const Keyword& k) { return k.word == word; });
  return found == kKeywords.end() ? nullptr : found;
}

bool IsWordPart(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Walks over a text of statements. Lexical rules: PostgreSQL's manual, "Lexical Structure".
class Walker {
 public:
  explicit Walker(std::string_view text) : text_(text) {}

  // The next statement's first word in capitals; false at the end. A statement without one gives "".
  bool Next(std::string* word) {
    SkipBlank();
    while (Peek() == ';' || Peek() == '(') ++at_, SkipBlank();
    if (at_ >= text_.size()) return false;
    const size_t from = at_;
    while (at_ < text_.size() && IsWordPart(text_[at_])) ++at_;
    *word = absl::AsciiStrToUpper(absl::string_view(text_.data() + from, at_ - from));
    SkipStatement();
    return true;
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  // One comment, whole, or nothing.
  bool SkipComment() {
    if (Peek() == '-' && Peek(1) == '-') {
      at_ = std::min(text_.find('\n', at_), text_.size());
      return true;
    }
    if (Peek() != '/' || Peek(1) != '*') return false;
    int depth = 0;
    do {
      if (Peek() == '/' && Peek(1) == '*') {
        ++depth, at_ += 2;
      } else if (Peek() == '*' && Peek(1) == '/') {
        --depth, at_ += 2;
      } else {
        ++at_;
      }
    } while (depth > 0 && at_ < text_.size());
    return true;
  }

  void SkipBlank() {
    while (at_ < text_.size()) {
      if (absl::ascii_isspace(static_cast<unsigned char>(Peek()))) {
        ++at_;
      } else if (!SkipComment()) {
        return;
      }
    }
  }

  void SkipQuoted(char quote, bool escapes) {
    for (++at_; at_ < text_.size(); ++at_) {
      if (escapes && Peek() == '\\') {
        ++at_;
      } else if (Peek() == quote) {
        ++at_;
        return;
      }
    }
  }

  void SkipDollarQuoted() {
    size_t end = at_ + 1;
    while (end < text_.size() && IsWordPart(text_[end])) ++end;
    if (end >= text_.size() || text_[end] != '$') {
      ++at_;  // a parameter, as $1
      return;
    }
    const std::string_view tag = text_.substr(at_, end + 1 - at_);
    const size_t close = text_.find(tag, end + 1);
    at_ = close == std::string_view::npos ? text_.size() : close + tag.size();
  }

  void SkipStatement() {
    while (at_ < text_.size() && Peek() != ';') {
      const bool after_word = at_ > 0 && IsWordPart(text_[at_ - 1]);
      const bool escapes = at_ > 0 && (text_[at_ - 1] == 'E' || text_[at_ - 1] == 'e');
      if (SkipComment()) continue;
      if (Peek() == '\'' || Peek() == '"') {
        SkipQuoted(Peek(), escapes && Peek() == '\'');
      } else if (Peek() == '$' && !after_word) {
        SkipDollarQuoted();
      } else {
        ++at_;
      }
    }
  }

  const std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string StatementKind(std::string_view text) {
  Walker walker(text);
  std::string word;
  while (walker.Next(&word)) {
    const Keyword* keyword = Find(word);
    if (keyword != nullptr && !keyword->kind.empty()) return std::string(keyword->kind);
  }
  return "";
}

std::string StatementTag(std::string_view text) {
  Walker walker(text);
  std::string word;
  if (!walker.Next(&word)) return "";
  const Keyword* keyword = Find(word);
  return keyword == nullptr ? "other" : std::string(keyword->word);
}

}  // namespace quell::agent
