#include "agent/actions/release_rollback.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/actions/migrations.h"
#include "agent/actions/pm2_app.h"
#include "agent/actions/release_app.h"
#include "agent/actions/release_choice.h"
#include "agent/actions/release_place.h"
#include "agent/actions/release_tree.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/base/utf8.h"

namespace quell::agent {
namespace {

constexpr Micros kKeptForPuttingBack = 10 * kSecond;
constexpr uint64_t kLargestDump = 8 << 20;

// What a rollback is about, once it has been looked at.
struct Looked {
  ReleaseDirectory place;
  CurrentRelease current;
  v1::Release to;
  UniqueFd release;  // the directory of `to`
};

v1::Release RecordedAs(const v1::ReleasePlace& place, const ReleaseDirectory& directory,
                       const std::string& name) {
  for (const v1::Release& release : place.recorded()) {
    if (release.name() == name) return release;
  }
  v1::Release unrecorded;
  unrecorded.set_name(name);
  unrecorded.set_path(directory.PathOf(name));
  return unrecorded;
}

absl::StatusOr<v1::Release> HashRelease(const ReleaseDirectory& place, const std::string& name, uid_t owner,
                                        Micros deadline, Clock& clock) {
  QUELL_ASSIGN_OR_RETURN(const UniqueFd fd, place.OpenRelease(name));
  TreeBounds bounds;
  bounds.deadline = deadline;
  const Micros now = clock.Wall();
  QUELL_ASSIGN_OR_RETURN(const Tree tree, HashTree(fd.get(), owner, bounds, now, clock));
  v1::Release release;
  release.set_name(name);
  release.set_path(place.PathOf(name));
  release.set_tree_sha256(tree.sha256);
  release.set_recorded_us(now);
  release.set_bytes(tree.bytes);
  release.set_files(tree.files);
  return release;
}

// The tree of `looked.to` is what was recorded.
absl::Status CheckTree(const Looked& looked, uid_t owner, Micros deadline, Clock& clock) {
  const v1::Release& to = looked.to;
  TreeBounds bounds;
  bounds.deadline = deadline;
  auto tree = HashTree(looked.release.get(), owner, bounds, to.recorded_us(), clock);
  if (!tree.ok()) return Annotate(tree.status(), absl::StrCat("release ", to.name(), " can't be trusted"));
  if (tree->sha256 == to.tree_sha256()) return absl::OkStatus();
  std::string why =
      absl::StrCat("release ", to.name(), " is not what ran on this host: ", to.files(), " files of ",
                   to.bytes(), " bytes were recorded, ", tree->files, " of ", tree->bytes, " are there");
  if (tree->changed > 0) {
    absl::StrAppend(&why, "; ", tree->changed, " changed since, the first: ", tree->first_changed);
  }
  return absl::FailedPreconditionError(why);
}

absl::StatusOr<Looked> Look(const v1::WorkerRequest& request, Micros hash_deadline, Clock& clock) {
  const v1::ReleaseRollback& wanted = request.action().release_rollback();
  QUELL_ASSIGN_OR_RETURN(ReleaseDirectory place,
                         ReleaseDirectory::Open(request.release().path(), request.target_uid()));
  QUELL_ASSIGN_OR_RETURN(CurrentRelease current, place.Current());
  if (!wanted.expect_current().empty() && wanted.expect_current() != current.name) {
    return absl::FailedPreconditionError(absl::StrCat("another release than the evidence: current is ",
                                                      current.name, ", was ", wanted.expect_current()));
  }
  const ReleaseChoice choice = ChooseRelease(request.release(), current.name, wanted.to());
  if (!choice.reason.empty()) return absl::FailedPreconditionError(choice.reason);
  if (choice.to.path() != place.PathOf(choice.to.name())) {
    return absl::FailedPreconditionError(
        absl::StrCat("release ", choice.to.name(), " was recorded at another path: ", choice.to.path()));
  }
  QUELL_ASSIGN_OR_RETURN(UniqueFd release, place.OpenRelease(choice.to.name()));
  Looked looked{std::move(place), std::move(current), choice.to, std::move(release)};
  QUELL_RETURN_IF_ERROR(CheckTree(looked, request.target_uid(), hash_deadline, clock));
  return looked;
}

// PM2's saved list, from which it starts its apps after a reboot, is its owner's to write (`pm2 save`).
bool SavedListNames(const std::string& pm2_home, const std::string& release) {
  const std::string path = absl::StrCat(pm2_home, "/dump.pm2");
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return false;
  const auto text = ReadDescriptor(fd.get(), kLargestDump, path);
  return text.ok() && text->find(absl::StrCat("\"", release)) != text->npos;
}

struct Times {
  Micros hash = 0, link = 0, start = 0, verify = 0;
  std::string ToString() const {
    const auto ms = [](Micros t) { return absl::StrCat(t / kMillisecond, ".", t / 100 % 10, " ms"); };
    return absl::StrCat("hash ", ms(hash), ", link ", ms(link), ", start ", ms(start), ", verify ",
                        ms(verify));
  }
};

// One effect, from the look to its result.
class Rollback {
 public:
  Rollback(const v1::WorkerRequest& request, Clock& clock)
      : request_(request),
        clock_(clock),
        end_(clock.Monotonic() + Micros{request.budget_ms()} * kMillisecond - kWorkerMargin) {}

  v1::WorkerResult Do() {
    const Micros began = clock_.Monotonic();
    auto looked = Look(request_, began + (end_ - began) / 2, clock_);
    if (!looked.ok()) return RefusedResult(std::string(looked.status().message()));
    times_.hash = clock_.Monotonic() - began;
    const v1::Release& meant = request_.to();
    if (!meant.name().empty() && meant.tree_sha256() != looked->to.tree_sha256()) {
      return RefusedResult(
          absl::StrCat("the check found ", meant.name(), ", now it would be ", looked->to.name()));
    }
    if (!request_.release().app().empty()) {
      auto app = ReleaseApp::Look(request_, looked->place, looked->to.name(), looked->release.get(), clock_);
      if (!app.ok()) return RefusedResult(std::string(app.status().message()));
      app_ = *std::move(app);
      for (const v1::Pm2Process& process : app_->before()) *result_.add_before() = process;
    }
    *result_.mutable_release()->mutable_from() =
        RecordedAs(request_.release(), looked->place, looked->current.name);
    *result_.mutable_release()->mutable_to() = looked->to;
    Effect(*looked);
    if (app_) {
      for (const v1::Pm2Process& process : app_->after()) *result_.add_after() = process;
    }
    result_.set_reason(MakeUtf8(result_.reason()));
    return std::move(result_);
  }

 private:
  void Effect(const Looked& looked) {
    const Micros began = clock_.Monotonic();
    const Micros kept = std::min(kKeptForPuttingBack, (end_ - began) / 2);
    const absl::Status linked = looked.place.PointCurrentTo(looked.current, looked.to.name());
    times_.link = clock_.Monotonic() - began;
    if (!linked.ok()) return NotLinked(looked, linked);
    if (app_) {
      const Micros start = clock_.Monotonic();
      absl::Status done = app_->Start(end_ - kept);
      if (done.ok()) {
        const auto running = app_->Running(end_ - kept);
        done = running.status();
        if (running.ok()) result_.mutable_release()->set_running(MakeUtf8(*running));
      }
      times_.start = app_->starting();
      times_.verify = clock_.Monotonic() - start - times_.start;
      if (!done.ok()) return PutBack(looked, std::string(done.message()));
    }
    Succeeded(looked);
  }

  // The link is the old one, or it is the new one and only its survival of a power cut is in doubt.
  void NotLinked(const Looked& looked, const absl::Status& why) {
    if (absl::IsAborted(why)) {
      result_ = RefusedResult(std::string(why.message()));
      return;
    }
    const auto now = looked.place.Current();
    if (now.ok() && now->name == looked.to.name()) return PutBack(looked, std::string(why.message()));
    result_.set_reason(absl::StrCat("nothing was changed: ", why.message()));
  }

  void PutBack(const Looked& looked, const std::string& why) {
    const std::string& from = looked.current.name;
    const std::string failed = absl::StrCat("the app did not run from ", looked.to.name(), ": ", why);
    if (app_ && app_->unknown()) {
      result_.set_unknown(true);
      result_.set_reason(absl::StrCat(failed, "; current leads to ", looked.to.name()));
      return;
    }
    absl::Status back = absl::OkStatus();
    const auto now = looked.place.Current();
    if (!now.ok()) back = now.status();
    if (back.ok() && now->name == looked.to.name()) back = looked.place.PointCurrentTo(*now, from);
    const absl::Status started = app_ ? app_->StartBack(end_) : absl::OkStatus();
    if (back.ok()) back = started;
    result_.set_unknown(app_ && app_->unknown());
    result_.set_reason(back.ok() ? absl::StrCat(failed, "; everything was put back, ", from, " runs again")
                                 : absl::StrCat(failed, "; putting ", from, " back: ", back.message()));
  }

  void Succeeded(const Looked& looked) {
    result_.set_ok(true);
    std::string text =
        absl::StrCat(looked.current.name, " -> ", looked.to.name(), " (", times_.ToString(), ")");
    if (!app_) absl::StrAppend(&text, "; no app is named: nothing was started anew");
    if (app_ && app_->environment_mentions() > 0) {
      absl::StrAppend(&text,
                      "; variables of its environment that name a release: ", app_->environment_mentions(),
                      ", left as they are");
    }
    if (app_ && SavedListNames(request_.pm2_home(), looked.place.PathOf(looked.current.name))) {
      absl::StrAppend(&text, "; PM2's saved list still names ", looked.current.name, ": pm2 save is due");
    }
    result_.set_reason(text);
  }

  const v1::WorkerRequest& request_;
  Clock& clock_;
  const Micros end_;
  Times times_;
  std::optional<ReleaseApp> app_;
  v1::WorkerResult result_;
};

std::string DescribeRelease(const v1::Release& release) {
  return absl::StrCat(release.name(), " sha256 ",
                      release.tree_sha256().empty() ? "not recorded" : HexEncode(release.tree_sha256()), " ",
                      release.files(), " files ", release.bytes(), " bytes, recorded ",
                      release.recorded_us() == 0 ? "never" : FormatRfc3339(release.recorded_us()), "\n");
}

absl::StatusOr<std::string> DescribeReleases(const v1::WorkerRequest& request) {
  QUELL_ASSIGN_OR_RETURN(const ReleaseDirectory place,
                         ReleaseDirectory::Open(request.release().path(), request.target_uid()));
  QUELL_ASSIGN_OR_RETURN(const CurrentRelease current, place.Current());
  std::string text =
      absl::StrCat("current: ", DescribeRelease(RecordedAs(request.release(), place, current.name)));
  absl::StrAppend(&text, "target: ", DescribeRelease(request.to()), "recorded, newest first:\n");
  for (int i = request.release().recorded_size() - 1; i >= 0; --i) {
    absl::StrAppend(&text, "  ", DescribeRelease(request.release().recorded(i)));
  }
  return text;
}

// Those that the release to go to brings along, or why they can't be told.
void TellMigrations(const Looked& looked, v1::WorkerResult& result) {
  const auto names = ReleaseMigrations(looked.release.get());
  const absl::Status told = names.ok() ? AddMigrations(*names, result) : names.status();
  if (told.ok()) return;
  v1::EvidenceItem* item = result.add_evidence();
  item->set_name(kMigrationsItem);
  item->set_missing(MakeUtf8(absl::StrCat(looked.to.name(), ": ", told.message())));
}

class ReleaseRollbackAction final : public Action {
 public:
  v1::WorkerResult Check(const v1::WorkerRequest& request, Clock& clock) override {
    if (request.has_postgres()) return AppliedMigrations(request, clock);
    const Micros began = clock.Monotonic();
    const Micros budget = Micros{request.budget_ms()} * kMillisecond;
    const auto looked = Look(request, began + budget * 6 / 10, clock);
    if (!looked.ok()) return RefusedResult(std::string(looked.status().message()));
    v1::WorkerResult result;
    if (!request.release().app().empty()) {
      const auto app =
          ReleaseApp::Look(request, looked->place, looked->to.name(), looked->release.get(), clock);
      if (!app.ok()) return RefusedResult(std::string(app.status().message()));
      for (const v1::Pm2Process& process : app->before()) *result.add_before() = process;
    }
    result.set_ok(true);
    v1::ReleaseChange& change = *result.mutable_release();
    *change.mutable_to() = looked->to;
    *change.mutable_from() = RecordedAs(request.release(), looked->place, looked->current.name);
    if (change.from().tree_sha256().empty()) {
      // It is left before it was recorded: the way back to it is kept where its hash can be had in time.
      auto from = HashRelease(looked->place, looked->current.name, request.target_uid(),
                              began + budget * 8 / 10, clock);
      if (from.ok()) *change.mutable_from() = *std::move(from);
    }
    if (request.release().has_migrations()) TellMigrations(*looked, result);
    result.set_reason(
        absl::StrCat("current would lead from ", looked->current.name, " to ", looked->to.name()));
    return result;
  }

  v1::WorkerResult Evidence(const v1::WorkerRequest& request, Clock& clock) override {
    const Micros budget = Micros{request.budget_ms()} * kMillisecond;
    v1::WorkerResult result;
    result.set_ok(true);
    EvidenceCollector collector(clock, clock.Monotonic(), budget - std::min(budget / 4, kWorkerMargin),
                                request.budget_bytes(), result);
    collector.Item("releases", [&] { return DescribeReleases(request); });
    if (request.release().app().empty()) return result;
    CollectPm2App(collector, request,
                  {request.action().release_rollback().user(), request.release().app(), {}},
                  std::max<Micros>(budget / 4, kMillisecond), clock);
    return result;
  }

  v1::WorkerResult Run(const v1::WorkerRequest& request, Clock& clock) override {
    return Rollback(request, clock).Do();
  }
};

}  // namespace

v1::WorkerResult RecordRelease(const v1::WorkerRequest& request, Clock& clock) {
  const auto failed = [](const absl::Status& status) {
    v1::WorkerResult result;
    result.set_reason(MakeUtf8(std::string(status.message())));
    return result;
  };
  const Micros deadline = clock.Monotonic() + Micros{request.budget_ms()} * kMillisecond - kWorkerMargin;
  auto place = ReleaseDirectory::Open(request.release().path(), request.target_uid());
  if (!place.ok()) return failed(place.status());
  const auto current = place->Current();
  if (!current.ok()) return failed(current.status());
  v1::WorkerResult result;
  result.set_current(current->name);
  result.set_ok(true);
  if (request.to().name() != current->name) return result;
  auto release = HashRelease(*place, current->name, request.target_uid(), deadline, clock);
  if (!release.ok()) return failed(release.status());
  // What is recorded must be what `current` led to all the while.
  const auto after = place->Current();
  if (!after.ok() || after->name != current->name)
    return failed(absl::AbortedError("current changed meanwhile"));
  *result.add_releases() = *std::move(release);
  return result;
}

std::unique_ptr<Action> MakeReleaseRollback() { return std::make_unique<ReleaseRollbackAction>(); }

}  // namespace quell::agent
