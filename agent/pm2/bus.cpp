#include "agent/pm2/bus.h"

#include <sys/ioctl.h>

#include <utility>

#include "common/base/status.h"

namespace quell::pm2 {
namespace {

constexpr size_t kTopicBytes = 256;
constexpr uint64_t kBodyBytes = 8ull << 20;  // a process:event carries the app's environment, flattened

// The topic is read when it is of reasonable length, its body only when the topic is one of three.
bool Wanted(const AmpFrame& so_far, uint32_t length) {
  if (so_far.empty()) return length <= kTopicBytes;
  if (so_far.size() > 1) return false;
  const std::string& topic = so_far[0].data;
  return topic == "process:event" || topic == "log:PM2" || topic == "pm2:kill";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pm2Bus>> Pm2Bus::Connect(const std::string& home, uid_t uid, Micros within,
                                                        Clock& clock, Micros behind) {
  auto socket = Pm2Socket::Connect(home, "pub.sock", uid, within, clock);
  if (!socket.ok()) return socket.status();
  return std::unique_ptr<Pm2Bus>(new Pm2Bus(std::move(*socket), clock, behind));
}

Pm2Bus::Pm2Bus(Pm2Socket socket, Clock& clock, Micros behind)
    : socket_(std::move(socket)), clock_(clock), behind_(behind), parser_(kBodyBytes, Wanted) {}

absl::Status Pm2Bus::Read(Micros deadline, const std::function<void(BusMessage&&)>& on_message) {
  std::string bytes;
  QUELL_RETURN_IF_ERROR(socket_.Read(&bytes, deadline, clock_));
  QUELL_RETURN_IF_ERROR(parser_.Feed(bytes, [&](AmpFrame&& frame) { Take(std::move(frame), on_message); }));
  int waiting = 0;
  if (ioctl(socket_.fd(), FIONREAD, &waiting) != 0 || waiting == 0) {
    full_since_ = 0;
    return absl::OkStatus();
  }
  const Micros now = clock_.Monotonic();
  if (full_since_ == 0) full_since_ = now;
  if (now - full_since_ < behind_) return absl::OkStatus();
  return absl::ResourceExhaustedError("reading PM2's bus: it sends more than can be read, so it is left");
}

void Pm2Bus::Take(AmpFrame&& frame, const std::function<void(BusMessage&&)>& on_message) {
  if (frame.size() != 2 || frame[1].kind != AmpArgument::Kind::kJson) return;
  const std::string& topic = frame[0].data;
  if (topic == "pm2:kill") {
    on_message(DaemonKilled{});
  } else if (topic == "process:event") {
    auto event = ParseProcessEvent(frame[1].data);
    if (event.ok()) return on_message(*std::move(event));
    if (event.status().code() != absl::StatusCode::kNotFound) ++malformed_;
  } else if (topic == "log:PM2") {
    auto lines = ParseDaemonLog(frame[1].data);
    if (!lines.ok()) {
      ++malformed_;
      return;
    }
    for (ExitLine& line : *lines) on_message(std::move(line));
  }
}

}  // namespace quell::pm2
