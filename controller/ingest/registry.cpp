#include "controller/ingest/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quell::ingest {

SessionRegistry::Host* SessionRegistry::FindOpen(const std::string& host_id, uint64_t session) {
  auto found = hosts_.find(host_id);
  if (found == hosts_.end() || found->second.output == nullptr) return nullptr;
  if (session != 0 && found->second.session != session) return nullptr;
  return &found->second;
}

void SessionRegistry::AddHead(Host& host, v1::ControllerFrame* frame) {
  if (log_seq_ == 0 || host.head_told == log_seq_) return;
  host.head_told = log_seq_;
  frame->set_log_seq(log_seq_);
  frame->set_log_head(log_head_);
}

absl::Status SessionRegistry::SendCommand(const std::string& host_id, const v1::SignedCommand& command) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, 0);
  if (host == nullptr) return absl::NotFoundError(absl::StrCat("the host ", host_id, " has no stream"));
  if (!host->executor)
    return absl::FailedPreconditionError(absl::StrCat("the host ", host_id, " has no executor"));
  if (host->results_full)
    return absl::FailedPreconditionError(
        absl::StrCat("the host ", host_id, " has no room for results and takes no command"));
  v1::ControllerFrame frame;
  *frame.add_commands() = command;
  if (host->output->Send(std::move(frame))) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the stream of host ", host_id, " takes nothing more"));
}

absl::Status SessionRegistry::SendCancel(const std::string& host_id, const std::string& command_id) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, 0);
  if (host == nullptr) return absl::NotFoundError(absl::StrCat("the host ", host_id, " has no stream"));
  v1::ControllerFrame frame;
  frame.add_cancel(command_id);
  if (host->output->Send(std::move(frame))) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("the stream of host ", host_id, " takes nothing more"));
}

std::optional<std::string> SessionRegistry::Nonce(const std::string& host_id) const {
  absl::MutexLock lock(&mutex_);
  auto found = hosts_.find(host_id);
  if (found == hosts_.end() || found->second.output == nullptr || found->second.nonce.empty())
    return std::nullopt;
  return found->second.nonce;
}

void SessionRegistry::Ack(const std::string& host_id, uint64_t seq, bool events) {
  if (seq == 0) return;
  absl::MutexLock lock(&mutex_);
  auto found = hosts_.find(host_id);
  if (found == hosts_.end()) return;
  Host& host = found->second;
  Sequence& sequence = events ? host.events : host.reports;
  sequence.committed = std::max(sequence.committed, seq);
  sequence.taken = std::max(sequence.taken, sequence.committed);
  if (host.output == nullptr) return;
  v1::ControllerFrame frame;
  if (events) {
    frame.set_events_acked(seq);
  } else {
    frame.set_reports_acked(seq);
  }
  AddHead(host, &frame);
  host.output->Send(std::move(frame));
}

void SessionRegistry::AckEvents(const std::string& host_id, uint64_t seq) { Ack(host_id, seq, true); }
void SessionRegistry::AckReports(const std::string& host_id, uint64_t seq) { Ack(host_id, seq, false); }

void SessionRegistry::AskAgain(const std::string& host_id, const std::string& why) {
  absl::MutexLock lock(&mutex_);
  auto found = hosts_.find(host_id);
  if (found == hosts_.end()) return;
  Host& host = found->second;
  host.events.taken = host.events.committed;
  host.reports.taken = host.reports.committed;
  if (host.output != nullptr) host.output->End(absl::ResourceExhaustedError(why));
}

void SessionRegistry::Restore(const std::string& host_id, uint64_t events, uint64_t reports) {
  absl::MutexLock lock(&mutex_);
  Host& host = hosts_[host_id];
  host.used = ++uses_;
  host.events = {events, events};
  host.reports = {reports, reports};
}

void SessionRegistry::SetLogHead(uint64_t seq, const std::string& head) {
  absl::MutexLock lock(&mutex_);
  log_seq_ = seq;
  log_head_ = head;
}

void SessionRegistry::SendTrustBundle(const std::string& signed_bundle) {
  absl::MutexLock lock(&mutex_);
  for (auto& [id, host] : hosts_) {
    if (host.output == nullptr) continue;
    v1::ControllerFrame frame;
    frame.set_trust_bundle(signed_bundle);
    host.output->Send(std::move(frame));
  }
}

void SessionRegistry::End(const std::string& host_id, const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, 0);
  if (host != nullptr) host->output->End(why);
}

void SessionRegistry::EndAll(const absl::Status& why) {
  absl::MutexLock lock(&mutex_);
  for (auto& [id, host] : hosts_)
    if (host.output != nullptr) host.output->End(why);
}

size_t SessionRegistry::open() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<size_t>(std::count_if(hosts_.begin(), hosts_.end(),
                                           [](const auto& host) { return host.second.output != nullptr; }));
}

bool SessionRegistry::IsOpen(const std::string& host_id) const {
  absl::MutexLock lock(&mutex_);
  auto found = hosts_.find(host_id);
  return found != hosts_.end() && found->second.output != nullptr;
}

// What is forgotten costs a repetition: samples are asked for again, events are told apart by the engine.
void SessionRegistry::Forget() {
  if (hosts_.size() <= kHosts) return;
  auto oldest = hosts_.end();
  for (auto it = hosts_.begin(); it != hosts_.end(); ++it)
    if (it->second.output == nullptr && (oldest == hosts_.end() || it->second.used < oldest->second.used))
      oldest = it;
  if (oldest != hosts_.end()) hosts_.erase(oldest);
}

SessionRegistry::Resume SessionRegistry::Open(const std::string& host_id, const std::string& boot_id,
                                              std::shared_ptr<SessionOutput> output) {
  absl::MutexLock lock(&mutex_);
  Host& host = hosts_[host_id];
  host.used = ++uses_;
  if (host.output != nullptr)
    host.output->End(absl::AbortedError("another stream of the same host took its place"));
  Resume resume;
  resume.session = next_session_++;
  if (host.boot_id == boot_id && host.newest_sample != 0) resume.samples_from = host.newest_sample + 1;
  if (host.boot_id != boot_id) host.newest_sample = 0;
  // What an ended stream brought and nobody has committed comes again with this one.
  host.boot_id = boot_id;
  host.session = resume.session;
  host.output = std::move(output);
  host.nonce.clear();
  host.executor = false;
  host.results_full = false;
  host.head_told = 0;
  Forget();
  return resume;
}

void SessionRegistry::Close(const std::string& host_id, uint64_t session) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, session);
  if (host == nullptr) return;
  host->output = nullptr;
  host->nonce.clear();
  host->executor = false;
}

void SessionRegistry::OnHeartbeat(const std::string& host_id, uint64_t session,
                                  const v1::Heartbeat& heartbeat) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, session);
  if (host == nullptr) return;
  host->executor = heartbeat.executor_connected();
  host->nonce = heartbeat.executor_connected() ? heartbeat.nonce() : "";
  host->results_full = heartbeat.results_full();
  v1::ControllerFrame frame;
  AddHead(*host, &frame);
  if (frame.log_seq() != 0) host->output->Send(std::move(frame));
}

void SessionRegistry::NoteSamples(const std::string& host_id, uint64_t session, Micros newest_monotonic) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, session);
  if (host != nullptr) host->newest_sample = std::max(host->newest_sample, newest_monotonic);
}

void SessionRegistry::RepeatAcks(const std::string& host_id) {
  absl::MutexLock lock(&mutex_);
  Host* host = FindOpen(host_id, 0);
  if (host == nullptr) return;
  v1::ControllerFrame frame;
  frame.set_events_acked(host->events.committed);
  frame.set_reports_acked(host->reports.committed);
  host->output->Send(std::move(frame));
}

bool SessionRegistry::TakeEvent(const std::string& host_id, uint64_t seq) {
  absl::MutexLock lock(&mutex_);
  Sequence& events = hosts_[host_id].events;
  if (seq <= events.taken) return false;
  events.taken = seq;
  return true;
}

void SessionRegistry::GiveBackEvents(const std::string& host_id, uint64_t first) {
  absl::MutexLock lock(&mutex_);
  Sequence& events = hosts_[host_id].events;
  events.taken = std::max(events.committed, std::min(events.taken, first - 1));
}

void SessionRegistry::GiveBackReports(const std::string& host_id, uint64_t first) {
  absl::MutexLock lock(&mutex_);
  Sequence& reports = hosts_[host_id].reports;
  reports.taken = std::max(reports.committed, std::min(reports.taken, first - 1));
}

bool SessionRegistry::TakeReport(const std::string& host_id, uint64_t seq) {
  absl::MutexLock lock(&mutex_);
  Sequence& reports = hosts_[host_id].reports;
  if (seq <= reports.taken) return false;
  reports.taken = seq;
  return true;
}

}  // namespace quell::ingest
