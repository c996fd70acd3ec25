// Tokens of PromQL. Internal to the parser.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "common/base/time.h"

namespace quell::promql {

enum class Token {
  kEnd,
  kIdentifier,
  kNumber,
  kDuration,
  kString,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kLeftBracket,
  kRightBracket,
  kComma,
  kColon,
  kAt,
  kAssign,
  kEqual,
  kNotEqual,
  kMatch,
  kNotMatch,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kError,
};

struct Lexeme {
  Token token = Token::kEnd;
  size_t start = 0, end = 0;  // bytes in the text
  std::string text;           // identifier as written; a string's value; of kError the message
  double number = 0;          // a duration's value in seconds
};

// Ends with kEnd or kError.
std::vector<Lexeme> Lex(std::string_view text);
// "1h30m" in ms; -1 when it isn't one.
int64_t ParseDurationMs(std::string_view text);

}  // namespace quell::promql
