#include "controller/promql/lexer.h"

#include <cctype>
#include <charconv>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/utf8.h"

namespace quell::promql {
namespace {

bool IsLetter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWord(char c) { return IsLetter(c) || IsDigit(c); }

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Lexeme> Run() {
    while (true) {
      SkipSpace();
      Lexeme next;
      next.start = at_;
      if (at_ >= text_.size()) {
        next.end = at_;
        out_.push_back(next);
        return std::move(out_);
      }
      Read(next);
      next.end = at_;
      out_.push_back(std::move(next));
      if (out_.back().token == Token::kError) return std::move(out_);
    }
  }

 private:
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void SkipSpace() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }

  static void Fail(Lexeme& out, std::string message) {
    out.token = Token::kError;
    out.text = std::move(message);
  }

  void Read(Lexeme& out) {
    const char c = Peek();
    if (IsDigit(c) || (c == '.' && IsDigit(Peek(1)))) return ReadNumber(out);
    if (IsLetter(c) || (c == ':' && !brackets_ && !braces_)) return ReadWord(out);
    if (c == '"' || c == '\'') return ReadString(out, c);
    if (c == '`') return ReadRaw(out);
    ReadPunctuation(out);
  }

  void ReadWord(Lexeme& out) {
    const size_t start = at_;
    while (at_ < text_.size() && (IsWord(text_[at_]) || (text_[at_] == ':' && !brackets_ && !braces_))) ++at_;
    out.token = Token::kIdentifier;
    out.text = text_.substr(start, at_ - start);
  }

  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }

  void ReadPunctuation(Lexeme& out) {
    const char c = text_[at_++];
    switch (c) {
      case '(':
        out.token = Token::kLeftParen;
        return;
      case ')':
        out.token = Token::kRightParen;
        return;
      case '{':
        out.token = Token::kLeftBrace, braces_ = true;
        return;
      case '}':
        out.token = Token::kRightBrace, braces_ = false;
        return;
      case '[':
        out.token = Token::kLeftBracket, brackets_ = true;
        return;
      case ']':
        out.token = Token::kRightBracket, brackets_ = false;
        return;
      case ',':
        out.token = Token::kComma;
        return;
      case ':':
        out.token = Token::kColon;
        return;
      case '@':
        out.token = Token::kAt;
        return;
      case '+':
        out.token = Token::kAdd;
        return;
      case '-':
        out.token = Token::kSub;
        return;
      case '*':
        out.token = Token::kMul;
        return;
      case '/':
        out.token = Token::kDiv;
        return;
      case '%':
        out.token = Token::kMod;
        return;
      case '^':
        out.token = Token::kPow;
        return;
      case '=':
        out.token = Take('=') ? Token::kEqual : Take('~') ? Token::kMatch : Token::kAssign;
        return;
      case '<':
        out.token = Take('=') ? Token::kLessEqual : Token::kLess;
        return;
      case '>':
        out.token = Take('=') ? Token::kGreaterEqual : Token::kGreater;
        return;
      case '!':
        if (Take('=')) return void(out.token = Token::kNotEqual);
        if (Take('~')) return void(out.token = Token::kNotMatch);
        return Fail(out, "unexpected character after '!'");
      default:
        return Fail(out, absl::StrCat("unexpected character: '", absl::string_view(&c, 1), "'"));
    }
  }

  void ReadNumber(Lexeme& out) {
    const size_t start = at_;
    if (Peek() == '0' && (Peek(1) == 'x' || Peek(1) == 'X')) return ReadHex(out);
    bool plain = true;  // digits alone so far
    while (IsDigit(Peek()) || (Peek() == '_' && IsDigit(Peek(1)))) ++at_;
    if (Peek() == '.') {
      plain = false;
      ++at_;
      while (IsDigit(Peek()) || (Peek() == '_' && IsDigit(Peek(1)))) ++at_;
    }
    if (Peek() == 'e' || Peek() == 'E') {
      const size_t sign = Peek(1) == '+' || Peek(1) == '-' ? 1 : 0;
      if (IsDigit(Peek(1 + sign))) {
        plain = false;
        at_ += 1 + sign;
        while (IsDigit(Peek()) || (Peek() == '_' && IsDigit(Peek(1)))) ++at_;
      }
    }
    if (plain && IsLetter(Peek())) return ReadDuration(out, start);
    if (IsWord(Peek()) || Peek() == '.') return BadNumber(out, start);
    std::string digits;
    for (char c : text_.substr(start, at_ - start))
      if (c != '_') digits.push_back(c);
    out.token = Token::kNumber;
    if (!absl::SimpleAtod(digits, &out.number)) BadNumber(out, start);
  }

  void BadNumber(Lexeme& out, size_t start) {
    while (IsWord(Peek()) || Peek() == '.') ++at_;
    const std::string_view written = text_.substr(start, at_ - start);
    Fail(out, absl::StrCat("bad number or duration syntax: \"",
                           absl::string_view(written.data(), written.size()), "\""));
  }

  void ReadHex(Lexeme& out) {
    const size_t start = at_;
    at_ += 2;
    double value = 0;
    bool any = false;
    while (std::isxdigit(static_cast<unsigned char>(Peek())) != 0 || (Peek() == '_' && any)) {
      const char c = text_[at_++];
      if (c == '_') continue;
      any = true;
      value = value * 16 + (IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (!any || IsWord(Peek())) return BadNumber(out, start);
    out.token = Token::kNumber;
    out.number = value;
  }

  void ReadDuration(Lexeme& out, size_t start) {
    while (IsWord(Peek())) ++at_;
    const int64_t ms = ParseDurationMs(text_.substr(start, at_ - start));
    if (ms < 0) return BadNumber(out, start);
    out.token = Token::kDuration;
    out.number = static_cast<double>(ms) / 1000;
  }

  void ReadRaw(Lexeme& out) {
    const size_t end = text_.find('`', at_ + 1);
    if (end == std::string_view::npos) return Fail(out, "unterminated raw string");
    out.token = Token::kString;
    out.text = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
  }

  void ReadString(Lexeme& out, char quote) {
    ++at_;
    out.token = Token::kString;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\n') return Fail(out, "unterminated quoted string");
      if (text_[at_] != '\\') {
        out.text.push_back(text_[at_++]);
      } else if (!ReadEscape(out)) {
        return;
      }
    }
    if (at_ >= text_.size()) return Fail(out, "unterminated quoted string");
    ++at_;
  }

  bool ReadEscape(Lexeme& out) {
    ++at_;
    const char c = Peek();
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeaning = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t i = kLetters.find(c); c != '\0' && i != std::string_view::npos) {
      out.text.push_back(kMeaning[i]);
      ++at_;
      return true;
    }
    if (c >= '0' && c <= '7') return ReadCode(out, 3, 8, true);
    if (c == 'x' || c == 'u' || c == 'U') {
      ++at_;
      return ReadCode(out, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16, c == 'x');
    }
    Fail(out, absl::StrCat("unknown escape sequence '\\", absl::string_view(&c, 1), "'"));
    return false;
  }

  bool ReadCode(Lexeme& out, size_t digits, int base, bool byte) {
    const std::string_view written = text_.substr(at_, digits);
    uint32_t code = 0;
    const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), code, base);
    const bool whole = error == std::errc() && end == written.data() + digits && written.size() == digits;
    if (!whole || (byte ? code > 255 : code > 0x10ffff || (code >= 0xd800 && code < 0xe000))) {
      Fail(out, "invalid escape sequence");
      return false;
    }
    at_ += digits;
    if (byte) {
      out.text.push_back(static_cast<char>(code));
    } else {
      AppendUtf8(&out.text, static_cast<char32_t>(code));
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool brackets_ = false;
  bool braces_ = false;
  std::vector<Lexeme> out_;
};

}  // namespace

std::vector<Lexeme> Lex(std::string_view text) { return Lexer(text).Run(); }

int64_t ParseDurationMs(std::string_view text) {
  static constexpr struct {
    std::string_view unit;
    int64_t ms;
  } kUnits[] = {{"y", 365ll * 86'400'000},
                {"w", 7ll * 86'400'000},
                {"d", 86'400'000},
                {"h", 3'600'000},
                {"m", 60'000},
                {"s", 1000},
                {"ms", 1}};
  int64_t total = 0;
  size_t at = 0, next_unit = 0;
  if (text.empty()) return -1;
  while (at < text.size()) {
    int64_t count = 0;
    const size_t digits = at;
    while (at < text.size() && IsDigit(text[at]) && at - digits < 12) count = count * 10 + (text[at++] - '0');
    const size_t unit_start = at;
    while (at < text.size() && IsLetter(text[at])) ++at;
    const std::string_view unit = text.substr(unit_start, at - unit_start);
    if (unit_start == digits) return -1;
    while (next_unit < 7 && kUnits[next_unit].unit != unit) ++next_unit;
    if (next_unit == 7) return -1;
    if (count > std::numeric_limits<int64_t>::max() / 2000 / kUnits[next_unit].ms) return -1;
    total += count * kUnits[next_unit].ms;
    ++next_unit;
    if (total > std::numeric_limits<int64_t>::max() / 2000) return -1;
  }
  return total;
}

}  // namespace quell::promql
