#include "controller/receivers/outbox.h"

#include <utility>

namespace quell::receivers {
namespace {

constexpr Micros kFullRetry = 30 * kSecond;

v1::NoticeResult ResultOf(const v1::Notice& notice, const Delivery& delivery) {
  v1::NoticeResult result;
  result.set_key(notice.key());
  result.set_sent(delivery.sent);
  result.set_permanent(delivery.permanent);
  result.set_ambiguous(delivery.ambiguous);
  result.set_error(delivery.error);
  result.set_retry_after_us(delivery.retry_after);
  return result;
}

}  // namespace

Outbox::Outbox(Receivers receivers, OutboxOptions options, std::function<void(v1::NoticeResult)> told)
    : options_(std::move(options)), told_(std::move(told)) {
  for (auto& [name, plugin] : receivers) {
    auto lane = std::make_unique<Lane>();
    lane->plugin = std::move(plugin);
    lanes_[name] = std::move(lane);
  }
  for (auto& [name, lane] : lanes_) {
    lane->thread = NamedThread("to " + name, [this, l = lane.get()] { Run(*l); });
  }
}

Outbox::~Outbox() { Stop(); }

void Outbox::Stop() {
  stopping_ = true;
  for (auto& [name, lane] : lanes_) lane->queue.Close();
  for (auto& [name, lane] : lanes_) {
    lane->thread.Join();
    while (const auto notice = lane->queue.Pop(absl::ZeroDuration())) NotBegun(*notice);
  }
}

void Outbox::NotBegun(const v1::Notice& notice) {
  Delivery delivery;
  delivery.error = "the controller stopped before the notice was sent";
  told_(ResultOf(notice, delivery));
}

void Outbox::Send(const v1::Notice& notice) {
  const auto lane = lanes_.find(notice.receiver());
  if (lane == lanes_.end()) {
    return Refuse(notice, "there is no receiver " + notice.receiver() + " in this configuration", true);
  }
  if (lane->second->queue.Push(v1::Notice(notice))) return;
  if (stopping_) return NotBegun(notice);
  Refuse(notice, "too many notices wait for receiver " + notice.receiver(), false);
}

void Outbox::Refuse(const v1::Notice& notice, std::string error, bool permanent) {
  ++refused_;
  Delivery delivery;
  delivery.error = std::move(error);
  delivery.permanent = permanent;
  delivery.retry_after = permanent ? 0 : kFullRetry;
  told_(ResultOf(notice, delivery));
}

size_t Outbox::waiting() const {
  size_t waiting = 0;
  for (const auto& [name, lane] : lanes_) waiting += lane->queue.size();
  return waiting;
}

void Outbox::Run(Lane& lane) {
  while (!stopping_) {
    const auto notice = lane.queue.Pop(absl::Seconds(1));
    if (!notice.has_value()) continue;
    if (stopping_) return NotBegun(*notice);
    const Delivery delivery = lane.plugin->Send(*notice, options_.installation, options_.deadline);
    ++(delivery.sent ? sent_ : failed_);
    told_(ResultOf(*notice, delivery));
  }
}

}  // namespace quell::receivers
