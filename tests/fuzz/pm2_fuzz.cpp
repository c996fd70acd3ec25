// What comes from a PM2 daemon and from a reader: AMP frames split anywhere, the JSON in them, and a reader's
// frames. The first byte chooses. Beside not crashing: a split never changes what is read, and whatever is
// taken keeps its bounds.
#include <cstdint>
#include <cstdlib>

#include "agent/collectors/pm2/app_state.h"
#include "agent/pm2/amp.h"
#include "agent/pm2/messages.h"

namespace quell {
namespace {

void Check(bool holds) {
  if (!holds) abort();
}

std::vector<pm2::AmpFrame> Frames(std::string_view bytes, size_t step, bool* ok) {
  constexpr uint64_t kLimit = 4096;
  pm2::AmpParser parser(kLimit, [](const pm2::AmpFrame& so_far, uint32_t) { return so_far.size() < 3; });
  std::vector<pm2::AmpFrame> frames;
  *ok = true;
  for (size_t at = 0; at < bytes.size() && *ok; at += step)
    *ok = parser.Feed(bytes.substr(at, step), [&](pm2::AmpFrame&& f) { frames.push_back(f); }).ok();
  for (const pm2::AmpFrame& frame : frames) {
    uint64_t kept = 0;
    for (const pm2::AmpArgument& argument : frame) kept += argument.data.size();
    Check(!frame.empty() && frame.size() <= 15 && kept <= kLimit);
  }
  return frames;
}

void Json(std::string_view json) {
  const auto apps = pm2::ParseListReply(json);
  if (apps.ok()) {
    Check(apps->size() <= pm2::kMaxApps);
    for (const v1::Pm2App& app : *apps) {
      Check(app.pm_id() >= 0 && app.pid() >= 0 && app.name().size() <= pm2::kMaxTextBytes);
      Check(app.metrics_size() <= 10 && app.stop_exit_codes_size() <= 16);
      Check(v1::Pm2App().ParseFromString(app.SerializeAsString()));  // UTF-8 throughout
    }
  }
  const auto event = pm2::ParseProcessEvent(json);
  if (event.ok()) Check(!event->event().empty() && event->pm_id() >= 0);
  const auto lines = pm2::ParseDaemonLog(json);
  if (lines.ok())
    for (const pm2::ExitLine& line : *lines) Check(line.pm_id >= 0 && line.signal.size() <= 16);
  (void)pm2::ParseMethodsReply(json).status();
  (void)pm2::ParseTextReply(json).status();
  (void)pm2::ParseDoneReply(json);
}

void Amp(std::string_view bytes) {
  bool whole_ok = false, split_ok = false;
  const auto whole = Frames(bytes, bytes.size() + 1, &whole_ok);
  const auto split = Frames(bytes, 3, &split_ok);
  Check(whole_ok == split_ok && whole.size() == split.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    Check(whole[i].size() == split[i].size());
    for (size_t k = 0; k < whole[i].size(); ++k) {
      Check(whole[i][k].kind == split[i][k].kind && whole[i][k].data == split[i][k].data);
      if (whole[i][k].kind == pm2::AmpArgument::Kind::kJson) Json(whole[i][k].data);
    }
  }
}

// A reader is another user's process: its frames, several in a row, may hold anything.
void Reader(std::string_view bytes) {
  agent::Pm2State state;
  Micros now = kHour;
  while (!bytes.empty()) {
    const size_t n = std::min<size_t>(bytes.size(), 1 + static_cast<unsigned char>(bytes[0]));
    v1::ReaderFrame frame;
    if (frame.ParseFromArray(bytes.data(), static_cast<int>(n)))
      for (const agent::AppChange& change : state.Take(frame, now)) Check(!change.kind.empty());
    bytes.remove_prefix(n);
    now += kSecond;
    for (const auto& [id, app] : state.apps()) {
      Check(!(app.given_up && app.by_hand) || app.app.status() == "errored" || app.app.status().empty());
      Check(app.recent.size() <= 64 && app.recent_exits(now) >= 0);
    }
  }
}

}  // namespace
}  // namespace quell

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'j':
      quell::Json(rest);
      break;
    case 'r':
      quell::Reader(rest);
      break;
    default:
      quell::Amp(rest);
      break;
  }
  return 0;
}
