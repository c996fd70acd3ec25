// The programs' own log: one line per message on stderr (or a file), through spdlog with a sink of ours that
// encodes every line (control, bidi and invalid UTF-8 shown as escapes; at most 4 KiB), drops when its queue
// is full and counts drops. Telemetry is an argument, never the format. Any thread.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"

namespace quell {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Called once, first in main. `program` leads each line.
void StartLog(std::string_view program, LogLevel least = LogLevel::kInfo);
void StopLog();  // writes out what is queued
void LogLine(LogLevel level, std::string line);
uint64_t LogLinesDropped();
// Text of a line as it would be written, for tests and other sinks.
std::string EncodeLogText(std::string_view text);

template <typename... Args>
void LogInfo(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kInfo, absl::StrFormat(format, args...));
}
template <typename... Args>
void LogWarning(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kWarning, absl::StrFormat(format, args...));
}
template <typename... Args>
void LogError(const absl::FormatSpec<Args...>& format, const Args&... args) {
  LogLine(LogLevel::kError, absl::StrFormat(format, args...));
}

}  // namespace quell
