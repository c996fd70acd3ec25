#include "agent/link/link.h"

#include <algorithm>
#include <random>
#include <utility>

#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {

Micros BackoffDelay(const LinkOptions& options, int failures, double random) {
  Micros delay = options.backoff_least;
  for (int i = 1; i < failures && delay < options.backoff_most; ++i) delay *= 2;
  delay = std::min(delay, options.backoff_most);
  return delay / 2 + static_cast<Micros>(static_cast<double>(delay) / 2 * random);
}

Link::Link(LinkOptions options, AgentFacts facts, Clock& clock, Spool& spool, ExecutorPort& executor,
           HeadMemory& head, FrameDialer& dialer, IdentityPort* identity)
    : options_(std::move(options)),
      facts_(std::move(facts)),
      clock_(clock),
      spool_(spool),
      executor_(executor),
      head_(head),
      dialer_(dialer),
      identity_(identity) {
  Require(!options_.addresses.empty(), "a link has a controller's address");
  spool_.set_wake([this] { Wake(); });
  executor_.SetCallbacks(
      [this] {
        status_changed_ = true;
        Wake();
      },
      [this](v1::CommandReport report) {
        absl::Status status = spool_.AddReport(std::move(report));
        if (!status.ok()) LogWarning("%s", std::string(status.message()));
        return status.ok();
      });
}

Link::~Link() { Stop("stop"); }

void Link::Start() {
  thread_ = NamedThread("link", [this] { Run(); });
}

void Link::Stop(const std::string& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (!stopping_) goodbye_ = why;
    stopping_ = true;
    if (stream_ != nullptr) stream_->Wake();
  }
  thread_.Join();
  head_.Save();
}

void Link::Wake() {
  absl::MutexLock lock(&mutex_);
  if (stream_ != nullptr) stream_->Wake();
}

bool Link::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

std::string Link::last_error() const {
  absl::MutexLock lock(&mutex_);
  return last_error_;
}

absl::Status Link::ReadAll(FrameStream& stream, LinkSession& session, const std::string& address) {
  v1::ControllerFrame frame;
  while (stream.Read(&frame)) {
    const bool before = session.welcomed();
    QUELL_RETURN_IF_ERROR(session.OnFrame(frame, Now()));
    if (before || !session.welcomed()) continue;
    connected_ = true;
    LogInfo("connected to %s as %s", address, session.host_name());
  }
  return absl::OkStatus();
}

void Link::WriteAll(FrameStream& stream, LinkSession& session) {
  v1::AgentFrame frame;
  while (stream.writable() && session.NextFrame(Now(), &frame)) stream.Write(frame);
}

void Link::SayGoodbye(FrameStream& stream) {
  stream.Finish();
  const Micros until = clock_.Monotonic() + kSecond;
  while (!stream.ended() && clock_.Monotonic() < until) stream.Wait(until - clock_.Monotonic());
}

absl::Status Link::RunSession(FrameStream& stream, LinkSession& session, const std::string& address) {
  const Micros welcome_by = clock_.Monotonic() + options_.connect_deadline;
  Micros stop_by = 0;
  while (true) {
    QUELL_RETURN_IF_ERROR(ReadAll(stream, session, address));
    if (auto ended = stream.ended())
      return ended->ok() ? absl::UnavailableError("the controller ended the stream") : *ended;
    const Micros now = clock_.Monotonic();
    if (!session.welcomed() && now >= welcome_by)
      return absl::DeadlineExceededError(
          absl::StrCat("no welcome within ", FormatDuration(options_.connect_deadline)));
    if (stop_by == 0 && stopping()) {
      absl::MutexLock lock(&mutex_);
      stop_by = now + options_.goodbye_most;
      session.Goodbye(goodbye_);
    }
    if (status_changed_.exchange(false)) session.StatusChanged();
    WriteAll(stream, session);
    if (session.said_goodbye()) {
      SayGoodbye(stream);
      return absl::OkStatus();
    }
    if (stop_by != 0 && (now >= stop_by || !session.welcomed())) return absl::OkStatus();
    Micros due = now + kSecond;
    if (stream.writable()) due = std::min(due, session.NextDue());
    if (!session.welcomed()) due = std::min(due, welcome_by);
    if (options_.on_cycle) options_.on_cycle();
    stream.Wait(std::max<Micros>(due - clock_.Monotonic(), 0));
  }
}

absl::Status Link::RunStream(const std::string& address, bool* welcomed) {
  QUELL_ASSIGN_OR_RETURN(std::unique_ptr<FrameStream> stream, dialer_.Dial(address));
  LinkSession session(facts_, spool_, executor_, head_, identity_);
  {
    absl::MutexLock lock(&mutex_);
    stream_ = stream.get();
  }
  absl::Status status = RunSession(*stream, session, address);
  {
    absl::MutexLock lock(&mutex_);
    stream_ = nullptr;
  }
  connected_ = false;
  *welcomed = session.welcomed();
  return status;
}

void Link::Run() {
  std::mt19937_64 random{std::random_device{}()};
  std::uniform_real_distribution<double> share(0, 1);
  int failures = 0;
  for (size_t i = 0; !stopping(); ++i) {
    const std::string& address = options_.addresses[i % options_.addresses.size()];
    bool welcomed = false;
    const absl::Status status = RunStream(address, &welcomed);
    if (status.ok()) continue;  // a stop
    failures = welcomed ? 1 : failures + 1;
    const Micros delay = BackoffDelay(options_, failures, share(random));
    LogWarning("%s %s: %s; the next attempt is in %s", welcomed ? "lost the stream to" : "can't connect to",
               address, status.ToString(), FormatAge(delay));
    {
      absl::MutexLock lock(&mutex_);
      last_error_ = std::string(status.message());
    }
    const Micros until = clock_.Monotonic() + delay;
    while (!stopping() && clock_.Monotonic() < until) {
      if (options_.on_cycle) options_.on_cycle();
      absl::MutexLock lock(&mutex_);
      const Micros pause = std::clamp<Micros>(until - clock_.Monotonic(), 0, kSecond);
      mutex_.AwaitWithTimeout(absl::Condition(&stopping_), absl::Microseconds(pause));
    }
  }
}

}  // namespace quell::agent
