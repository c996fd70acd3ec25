#include "common/base/log.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>

#include "common/base/clock.h"
#include "common/base/queue.h"
#include "common/base/thread.h"
#include "common/base/time.h"
#include "common/base/utf8.h"

namespace quell {
namespace {

constexpr size_t kLongestLine = 4096;
constexpr size_t kQueuedLines = 4096;  // 16 MiB at most; a full queue refuses the new line and counts it

std::atomic<uint64_t> g_dropped{0};

void WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nowhere left to say so
    text.remove_prefix(static_cast<size_t>(n));
  }
}

// Encodes each message and hands it to a thread of its own, so that a blocked stderr blocks no caller.
class QueueSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  QueueSink() : lines_(kQueuedLines), writer_("log", [this] { Write(); }) {}
  ~QueueSink() override {
    lines_.Close();
    writer_.Join();
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view level(spdlog::level::to_string_view(message.level).data(),
                                 spdlog::level::to_string_view(message.level).size());
    const std::string_view name(message.logger_name.data(), message.logger_name.size());
    const std::string_view text(message.payload.data(), message.payload.size());
    std::string line = FormatRfc3339(RealClock().Wall());
    line.append(" ").append(level).append(" ").append(name).append(": ").append(EncodeLogText(text));
    line.push_back('\n');
    if (!lines_.Push(std::move(line))) g_dropped.fetch_add(1, std::memory_order_relaxed);
  }
  void flush_() override {}

 private:
  void Write() {
    while (true) {
      const std::optional<std::string> line = lines_.Pop(absl::Seconds(3600));
      if (line.has_value()) {
        WriteAll(STDERR_FILENO, *line);
      } else if (lines_.closed()) {
        return;
      }
    }
  }

  BoundedQueue<std::string> lines_;
  NamedThread writer_;
};

absl::Mutex g_mutex(absl::kConstInit);
std::shared_ptr<spdlog::logger>& Logger() ABSL_EXCLUSIVE_LOCKS_REQUIRED(g_mutex) {
  static auto& logger = *new std::shared_ptr<spdlog::logger>;
  return logger;
}

spdlog::level::level_enum Level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

void StartLog(std::string_view program, LogLevel least) {
  auto logger = std::make_shared<spdlog::logger>(std::string(program), std::make_shared<QueueSink>());
  logger->set_level(Level(least));
  absl::MutexLock lock(&g_mutex);
  Logger() = std::move(logger);
}

void StopLog() {
  std::shared_ptr<spdlog::logger> last;
  absl::MutexLock lock(&g_mutex);
  last.swap(Logger());
}

void LogLine(LogLevel level, std::string line) {
  std::shared_ptr<spdlog::logger> logger;
  {
    absl::MutexLock lock(&g_mutex);
    logger = Logger();
  }
  if (logger != nullptr) {
    logger->log(Level(level), spdlog::string_view_t(line.data(), line.size()));
  } else if (level != LogLevel::kDebug) {
    // Before main has started the log, or in a test: straight out.
    WriteAll(STDERR_FILENO, EncodeLogText(line) + "\n");
  }
}

uint64_t LogLinesDropped() { return g_dropped.load(std::memory_order_relaxed); }

std::string EncodeLogText(std::string_view text) {
  constexpr std::string_view kEllipsis = "…";
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = DecodeUtf8(text.substr(i));
    const size_t before = out.size();
    if (c.valid && c.value == '\n') {
      out.append("\\n");
    } else if (c.valid && c.value == '\t') {
      out.push_back(' ');
    } else {
      AppendVisible(&out, c, text.substr(i));
    }
    if (out.size() > kLongestLine - kEllipsis.size() &&
        (out.size() > kLongestLine || i + c.size < text.size())) {
      out.resize(before);
      return out.append(kEllipsis);
    }
    i += c.size;
  }
  return out;
}

}  // namespace quell
