#include "agent/reader/reader.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/base/thread.h"

namespace quell::reader {
namespace {

constexpr Micros kBusPoll = 500 * kMillisecond;  // how soon a stop is noticed
constexpr Micros kAfterFlood = 10 * kSecond;     // before a bus that was left for its flood is read again

absl::Duration FromMicros(Micros d) { return absl::Microseconds(std::max<Micros>(d, 0)); }

}  // namespace

Reader::Reader(ReaderOptions options, Clock& clock, FrameWriter& writer)
    : options_(std::move(options)), clock_(clock), writer_(writer) {}

void Reader::Run() {
  NamedThread bus("pm2-bus", [this] { RunBus(); });
  do TellList();
  while (AwaitList());
}

void Reader::Stop() {
  absl::MutexLock lock(&mutex_);
  stop_ = true;
}

bool Reader::stopped() {
  absl::MutexLock lock(&mutex_);
  return stop_;
}

bool Reader::Pause(Micros d) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stop_), FromMicros(d));
}

void Reader::WantList() {
  absl::MutexLock lock(&mutex_);
  wanted_ = true;
}

// ---- list

bool Reader::AwaitList() {
  const Micros earliest = last_list_ + (retry_ > 0 ? retry_ : options_.list_gap);
  const Micros latest = last_list_ + (retry_ > 0 ? retry_ : options_.list_every);
  if (!Pause(earliest - clock_.Monotonic())) return false;
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stop_ || wanted_; };
  mutex_.AwaitWithTimeout(absl::Condition(&ready), FromMicros(latest - clock_.Monotonic()));
  wanted_ = false;
  return !stop_;
}

absl::StatusOr<v1::ReaderFrame> Reader::AskList() {
  if (client_ == nullptr) {
    QUELL_ASSIGN_OR_RETURN(
        client_, pm2::Pm2Client::Connect(options_.home, options_.uid, options_.answer_within, clock_));
    QUELL_ASSIGN_OR_RETURN(version_, client_->Version(options_.answer_within));
  }
  QUELL_ASSIGN_OR_RETURN(std::vector<v1::Pm2App> apps, client_->ListApps(options_.answer_within));
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  frame.set_daemon_version(version_);
  frame.set_daemon_pid(client_->peer_pid());
  frame.set_list_valid(true);
  frame.set_monotonic_us(clock_.Monotonic());
  for (v1::Pm2App& app : apps) *frame.add_apps() = std::move(app);
  return frame;
}

void Reader::TellList() {
  last_list_ = clock_.Monotonic();
  absl::StatusOr<v1::ReaderFrame> frame = AskList();
  // A kept connection to a daemon that was replaced meanwhile ends once: the new daemon is asked at once. So
  // is, where it answered before, one that is late: that happens on a loaded host, and is no news yet.
  const bool ended = absl::IsUnavailable(frame.status()), late = absl::IsDeadlineExceeded(frame.status());
  if (client_ != nullptr && (ended || (late && retry_ == 0 && !stopped()))) {
    if (ended) client_.reset();
    frame = AskList();
  }
  if (!frame.ok()) return TellDown(frame.status());
  if (!told_error_.empty()) {
    LogInfo("the PM2 daemon at %s answers", options_.home);
    absl::MutexLock lock(&mutex_);
    daemon_back_ = true;
  }
  told_error_.clear();
  retry_ = 0;
  writer_.Send(*std::move(frame));
}

void Reader::TellDown(const absl::Status& why) {
  client_.reset();
  retry_ = std::clamp(retry_ * 2, options_.retry_least, options_.retry_most);
  v1::ReaderFrame frame;
  frame.set_daemon_error(std::string(why.message()));
  frame.set_monotonic_us(clock_.Monotonic());
  if (told_error_ != frame.daemon_error()) LogWarning("%s", frame.daemon_error());
  told_error_ = frame.daemon_error();
  writer_.Send(std::move(frame));
}

// ---- bus

void Reader::RunBus() {
  Micros retry = options_.retry_least;
  while (!stopped()) {
    auto bus = pm2::Pm2Bus::Connect(options_.home, options_.uid, kSecond, clock_);
    if (bus.ok()) {
      retry = options_.retry_least;
      WantList();  // what happened before we listened
      ReadBus(**bus);
      bus->reset();
      SendEvents(join_.Take(clock_.Monotonic() + ExitJoin::kWait), true);
      join_.Clear();
      WantList();
    } else if (absl::IsPermissionDenied(bus.status()) && bus_told_ != bus.status().message()) {
      bus_told_ = std::string(bus.status().message());
      LogWarning("%s", bus_told_);
    }
    if (!PauseBus(&retry)) return;
  }
}

// A daemon that answers again has a bus again: it is not left unheard until the back-off is over.
bool Reader::PauseBus(Micros* retry) {
  absl::MutexLock lock(&mutex_);
  const auto due = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return stop_ || daemon_back_; };
  const bool woken = mutex_.AwaitWithTimeout(absl::Condition(&due), FromMicros(*retry));
  *retry = woken ? options_.retry_least : std::min(*retry * 2, options_.retry_most);
  daemon_back_ = false;
  return !stop_;
}

void Reader::ReadBus(pm2::Pm2Bus& bus) {
  while (!stopped()) {
    Micros until = clock_.Monotonic() + kBusPoll;
    if (join_.next() != 0) until = std::min(until, join_.next());
    const absl::Status read =
        bus.Read(until, [this](pm2::BusMessage&& message) { Take(std::move(message)); });
    SendEvents(join_.Take(clock_.Monotonic()), false);
    if (read.ok() || absl::IsDeadlineExceeded(read)) continue;
    LogWarning("%s", std::string(read.message()));
    if (absl::IsResourceExhausted(read)) Pause(kAfterFlood);
    return;
  }
}

void Reader::Take(pm2::BusMessage&& message) {
  const Micros now = clock_.Monotonic();
  if (auto* line = std::get_if<pm2::ExitLine>(&message)) {
    join_.Add(*line, now);
  } else if (auto* event = std::get_if<v1::Pm2Event>(&message)) {
    join_.Add(std::move(*event), now);
  } else {
    v1::Pm2Event kill;
    kill.set_event("kill");
    kill.set_at_ms(clock_.Wall() / kMillisecond);
    join_.Add(std::move(kill), now);
  }
}

void Reader::SendEvents(std::vector<v1::Pm2Event> events, bool gap) {
  if (events.empty() && !gap) return;
  v1::ReaderFrame frame;
  frame.set_daemon_up(true);
  frame.set_gap(gap);
  frame.set_monotonic_us(clock_.Monotonic());
  for (v1::Pm2Event& event : events) *frame.add_events() = std::move(event);
  writer_.Send(std::move(frame));
  WantList();
}

}  // namespace quell::reader
