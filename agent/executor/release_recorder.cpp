#include "agent/executor/release_recorder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/executor/glob.h"
#include "agent/executor/worker_result.h"
#include "common/base/log.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kLookDeadline = 2 * kMinute;
constexpr Micros kTryAgain = 10 * kMinute;
constexpr size_t kMostDeployments = 64;
constexpr uint64_t kLargestAnswer = 64 << 10;
constexpr size_t kLongestName = 255;

DeploymentKey KeyOf(const SanctionEntry& entry) {
  return {entry.user, entry.release->deployment, entry.release->path};
}

// The releases with the noted one at the end, and at the front what came after it: where a release that is
// not recorded yet is current, the noted one was before it, and not the one that a rollback left.
google::protobuf::RepeatedPtrField<v1::Release> CurrentLast(const v1::DeploymentReleases& known) {
  google::protobuf::RepeatedPtrField<v1::Release> releases = known.releases();
  for (auto it = releases.begin(); it != releases.end(); ++it) {
    if (it->name() != known.current()) continue;
    std::rotate(releases.begin(), it + 1, releases.end());
    break;
  }
  return releases;
}

std::string NameOf(const DeploymentKey& key) { return absl::StrCat(key.user, "/", key.deployment); }

}  // namespace

ReleaseRecorder::ReleaseRecorder(Options options, Clock& clock, Disk& disk, WorkerStarter& starter,
                                 HostView& host, std::function<bool(const DeploymentKey&)> busy)
    : options_(std::move(options)),
      clock_(clock),
      starter_(starter),
      host_(host),
      busy_(std::move(busy)),
      book_(disk, options_.book_path) {}

void ReleaseRecorder::Open() {
  const absl::Status status = book_.Open();
  if (!status.ok() && !options_.book_path.empty()) LogError("no rollback is done: %s", status.ToString());
}

void ReleaseRecorder::Tick() {
  if (!book_.status().ok() || worker_ != 0) return;
  if (queue_.empty() && clock_.Monotonic() >= due_) Begin();
  StartNext();
}

void ReleaseRecorder::Begin() {
  due_ = clock_.Monotonic() + options_.every;
  for (const SanctionEntry& entry : host_.ReadSanctions().entries) {
    if (!entry.release || queue_.size() >= kMostDeployments) continue;
    const DeploymentKey key = KeyOf(entry);
    if (std::find(queue_.begin(), queue_.end(), key) == queue_.end()) queue_.push_back(key);
  }
}

void ReleaseRecorder::StartNext() {
  while (worker_ == 0 && !queue_.empty()) {
    const DeploymentKey key = std::move(queue_.front());
    queue_.pop_front();
    if (!busy_(key)) StartLook(key, "");
  }
}

bool ReleaseRecorder::StartLook(const DeploymentKey& key, const std::string& hash) {
  looking_ = key;
  hashing_ = hash;
  const auto user = host_.FindUser(key.user);
  const bool possible = user.ok() && (options_.root || user->uid == options_.own_uid);
  if (!possible) {
    Complain(user.ok() ? "this executor runs without root, as another user"
                       : std::string(user.status().message()));
    return false;
  }
  WorkerJob job;
  job.request.set_task(v1::WORKER_TASK_RECORD);
  job.request.set_target_uid(user->uid);
  job.request.set_budget_ms(static_cast<uint32_t>(kLookDeadline / kMillisecond));
  job.request.mutable_release()->set_deployment(key.deployment);
  job.request.mutable_release()->set_path(key.path);
  job.request.mutable_to()->set_name(hash);
  job.user = *user;
  job.deadline = kLookDeadline;
  job.output_limit = kLargestAnswer;
  const auto worker = starter_.Start(job);
  if (worker.ok()) {
    worker_ = *worker;
  } else {
    Complain(std::string(worker.status().message()));
  }
  return worker.ok();
}

bool ReleaseRecorder::OnWorkerExit(uint64_t worker, const ExitStatus& exit) {
  if (worker == 0 || worker != worker_) return false;
  worker_ = 0;
  const auto result = ReadWorkerResult(exit);
  if (!result.ok()) {
    Complain(std::string(result.status().message()));
  } else if (!result->ok()) {
    Complain(result->reason());
  } else if (!busy_(looking_)) {
    Take(*result);
  }
  StartNext();
  return true;
}

// What a look found. The first look of this process at a deployment finds a release that has been current all
// along; later ones wait until it has been for a while.
void ReleaseRecorder::Take(const v1::WorkerResult& result) {
  const std::string& current = result.current();
  const v1::DeploymentReleases* known = book_.Find(looking_);
  const v1::Release* hashed = result.releases().empty() ? nullptr : &result.releases(0);
  if (hashed != nullptr) {
    const bool sound = hashed->name() == current && hashed->tree_sha256().size() == 32 &&
                       hashed->path() == absl::StrCat(looking_.path, "/releases/", current);
    if (!sound) return Complain("the worker's answer contradicts itself");
  }
  const auto seen = seen_.try_emplace(NameOf(looking_));
  Seen& now = seen.first->second;
  const Micros monotonic = clock_.Monotonic();
  if (now.current != current) {
    now = {current, seen.second ? monotonic - options_.settled : monotonic, 0};
  }
  if (hashed == nullptr) {
    const bool recorded = known != nullptr && ReleaseBook::FindRelease(*known, current) != nullptr;
    const bool as_noted = recorded && known->current() == current;
    // Where a rollback went was hashed by the rollback.
    const bool by_rollback = recorded && known->rolled_back_to() == current;
    if (!as_noted && !by_rollback) {
      const bool due = monotonic - now.since >= options_.settled && monotonic >= now.not_before;
      if (due) StartLook(looking_, current);
      return;
    }
    if (as_noted && (by_rollback || known->rolled_back_to().empty())) return;
  }
  const absl::Status noted = book_.NoteCurrent(looking_, current, hashed);
  if (!noted.ok()) return Complain(std::string(noted.message()));
  if (hashed != nullptr) {
    LogInfo("recorded release %s of %s: %d files, %d bytes", current, NameOf(looking_), hashed->files(),
            hashed->bytes());
  }
}

// Once for each reason, since it is found again every few seconds.
void ReleaseRecorder::Complain(const std::string& problem) {
  auto seen = seen_.find(NameOf(looking_));
  if (!hashing_.empty() && seen != seen_.end()) seen->second.not_before = clock_.Monotonic() + kTryAgain;
  std::string& logged = problems_[NameOf(looking_)];
  if (logged != problem) LogWarning("the releases of %s are not recorded: %s", NameOf(looking_), problem);
  logged = problem;
}

absl::StatusOr<v1::ReleasePlace> ReleaseRecorder::PlaceOf(const std::vector<SanctionEntry>& entries,
                                                          bool by_person) const {
  QUELL_RETURN_IF_ERROR(book_.status());
  if (entries.empty()) return absl::FailedPreconditionError("no sanction names this deployment any more");
  const ReleaseSanction& first = *entries.front().release;
  const DeploymentKey key = KeyOf(entries.front());
  v1::ReleasePlace place;
  place.set_deployment(first.deployment);
  place.set_path(first.path);
  place.set_layout(first.layout);
  place.set_app(first.app);
  place.set_by_person(by_person);
  if (const v1::DeploymentReleases* known = book_.Find(key)) *place.mutable_recorded() = CurrentLast(*known);
  for (const SanctionEntry& entry : entries) {
    const bool other_database = entry.release->migrations_connection != first.migrations_connection ||
                                entry.release->migrations_query_file != first.migrations_query_file;
    if (!(KeyOf(entry) == key) || entry.release->app != first.app || other_database) {
      return absl::FailedPreconditionError(
          absl::StrCat(entries.front().where, " and ", entry.where, " name this deployment differently"));
    }
    // That there is a database to compare with; where it is, is another worker's affair.
    if (!entry.release->migrations_connection.empty()) place.mutable_migrations();
    // Patterns stay here: a worker gets the names.
    for (const v1::Release& release : place.recorded()) {
      const bool never = std::any_of(entry.release->never.begin(), entry.release->never.end(),
                                     [&](const std::string& p) { return GlobMatch(p, release.name()); });
      if (never) place.add_never(release.name());
    }
  }
  return place;
}

absl::Status ReleaseRecorder::Judge(const DeploymentKey& key, const v1::ReleaseChange& change,
                                    bool by_person) const {
  QUELL_RETURN_IF_ERROR(book_.status());
  const v1::DeploymentReleases* known = book_.Find(key);
  const v1::Release* to = known == nullptr ? nullptr : ReleaseBook::FindRelease(*known, change.to().name());
  const bool as_recorded =
      to != nullptr && to->tree_sha256() == change.to().tree_sha256() && to->path() == change.to().path();
  if (!as_recorded) return absl::FailedPreconditionError("the worker names a release that was not recorded");
  const std::string& current = change.from().name();
  const size_t hash = change.from().tree_sha256().size();
  const bool sound = current.size() <= kLongestName && (hash == 0 || hash == 32) &&
                     change.from().path() == absl::StrCat(key.path, "/releases/", current);
  if (!sound) return absl::FailedPreconditionError("the worker's answer contradicts itself");
  if (!by_person && known->rolled_back_to() == current) {
    return absl::FailedPreconditionError(absl::StrCat(
        current, " is where a rollback from ", known->rolled_back_from(), " went: going on needs a person"));
  }
  return absl::OkStatus();
}

}  // namespace quell::agent
