#include "agent/actions/postgres_session.h"

#include <algorithm>
#include <ctime>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "agent/actions/evidence.h"
#include "agent/actions/postgres_client.h"
#include "agent/actions/session_view.h"
#include "common/base/status.h"

namespace quell::agent {
namespace {

constexpr Micros kCheckWithin = 2 * kSecond;    // of the executor's 5 s, for each statement
constexpr Micros kMargin = 100 * kMillisecond;  // for writing the result before the parent's deadline
constexpr Micros kLookAgain = 10 * kMillisecond;

v1::WorkerResult Refused(std::string reason) {
  v1::WorkerResult result;
  result.set_refusal(v1::REFUSAL_CHECK);
  result.set_reason(std::move(reason));
  return result;
}

std::string ServerSays(const SessionTarget& target, const absl::Status& status) {
  return absl::StrCat("PostgreSQL at ", target.connection, ": ", status.message());
}

bool Active(const v1::PostgresSession& session) {
  return session.state() == "active" || session.state() == "fastpath function call";
}

std::string AgainstTimes(const SessionTarget& target, const v1::PostgresSession& session) {
  const std::string who = absl::StrCat("pid ", session.pid());
  if (target.backend_start_us != 0 && target.backend_start_us != session.backend_start_us())
    return absl::StrCat(who, " is another session now: the one that was meant has ended");
  if (target.xact_start_us != 0 && target.xact_start_us != session.xact_start_us())
    return absl::StrCat("the transaction of ", who, " that was meant has ended");
  if (target.query_start_us != 0 && target.query_start_us != session.query_start_us())
    return absl::StrCat("the statement of ", who,
                        " that was meant has ended; it runs or ran another one since");
  return "";
}

// What quell.terminate would refuse as well.
std::string Exempt(const v1::PostgresSession& session) {
  const std::string who = absl::StrCat("pid ", session.pid(), " ");
  if (session.backend_type() != "client backend")
    return absl::StrCat(who, "is no client's session, but of type ", session.backend_type());
  if (session.superuser()) return absl::StrCat(who, "is a superuser's session");
  if (session.replication()) return absl::StrCat(who, "belongs to a user who may replicate");
  if (session.role() == kMonitorRole || session.role() == kRemedyRole || session.role() == kOwnerRole)
    return absl::StrCat(who, "is quell's own session");
  return "";
}

// quell.terminate's reasons as sentences. What isn't known is not repeated: it could be anything.
std::string Sentence(const v1::PostgresSession& session, const std::string& reason) {
  const std::string who = absl::StrCat("pid ", session.pid(), " ");
  if (reason == "gone") return who + "has ended by itself";
  if (reason == "own") return who + "is quell's own session";
  if (reason == "not_client") return who + "is no client's session";
  if (reason == "superuser") return who + "is a superuser's session";
  if (reason == "replication") return who + "belongs to a user who may replicate";
  if (reason == "other_session") return who + "is another session now: the one that was meant has ended";
  if (reason == "other_transaction") return "the transaction of " + who + "that was meant has ended";
  if (reason == "other_query") return "the statement of " + who + "that was meant has ended";
  if (reason == "not_active") return who + "runs no statement";
  return who + "was refused by the server";
}

std::string TimeText(int64_t us) {
  if (us == 0) return "";
  return absl::FormatTime("%Y-%m-%d %H:%M:%E6S+00", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

void Pause(Micros d) {
  const timespec time{d / kSecond, (d % kSecond) * 1000};
  nanosleep(&time, nullptr);
}

// Acts through quell.terminate on the sessions that Check found.
class Remedy {
 public:
  Remedy(PostgresClient& client, const SessionTarget& target, Clock& clock, Micros deadline)
      : client_(client), target_(target), clock_(clock), deadline_(deadline) {}

  v1::WorkerResult Act(const v1::WorkerRequest& request) {
    for (const v1::PostgresSession& session : request.sessions()) {
      if (broken_.ok() && clock_.Monotonic() < deadline_) {
        Signal(session);
      } else {
        Left(absl::StrCat("pid ", session.pid(), " was not reached"),
             absl::DeadlineExceededError("not every session was reached"));
      }
    }
    AwaitEnds();
    return Result(request);
  }

 private:
  // "" when done; the function's reason otherwise.
  absl::StatusOr<std::string> Call(const v1::PostgresSession& session, const std::string& mode) {
    // Of a statement that was meant, its start counts; of a blocking transaction it need not: it may go on to
    // the next.
    const bool statement = target_.cancel || target_.query_start_us != 0;
    QUELL_ASSIGN_OR_RETURN(
        const auto rows,
        client_.Query(
            "SELECT done, reason FROM quell.terminate($1::int, $2::timestamptz, nullif($3, '')::timestamptz, "
            "nullif($4, '')::timestamptz, $5)",
            {absl::StrCat(session.pid()), TimeText(session.backend_start_us()),
             TimeText(session.xact_start_us()), statement ? TimeText(session.query_start_us()) : "", mode}));
    if (rows.size() != 1 || rows[0].size() != 2) return absl::InternalError("quell.terminate gave no answer");
    if (rows[0][0] == "t") return std::string();
    return rows[0][1].empty() ? std::string("unknown") : rows[0][1];
  }

  // The sanctions were asked about this database and user; the server shows them to quell_remedy too.
  absl::StatusOr<bool> IsAsSanctioned(const v1::PostgresSession& session) {
    QUELL_ASSIGN_OR_RETURN(const auto rows,
                           client_.Query("SELECT coalesce(datname, ''), coalesce(usename, '') FROM "
                                         "pg_catalog.pg_stat_activity WHERE pid = $1::int",
                                         {absl::StrCat(session.pid())}));
    return rows.empty() || (rows[0][0] == session.database() && rows[0][1] == session.role());
  }

  void Signal(const v1::PostgresSession& session) {
    auto same = IsAsSanctioned(session);
    if (!same.ok())
      return Left(absl::StrCat("pid ", session.pid(), ": ", same.status().message()), same.status());
    if (!*same)
      return Left(absl::StrCat("pid ", session.pid(), " is of another user or database than was said"));
    auto reason = Call(session, target_.cancel ? "cancel" : "terminate");
    if (!reason.ok()) {
      unknown_ = absl::IsUnavailable(reason.status());
      return Left(absl::StrCat("pid ", session.pid(), ": ", reason.status().message()), reason.status());
    }
    if (reason->empty()) {
      waiting_.push_back(session);
    } else {
      Left(Sentence(session, *reason));
    }
  }

  void Left(std::string why, absl::Status status = absl::OkStatus()) {
    left_.push_back(std::move(why));
    if (broken_.ok()) broken_ = std::move(status);
  }

  void AwaitEnds() {
    while (true) {
      for (auto session = waiting_.begin(); session != waiting_.end();) {
        auto reason = Call(*session, "ended");
        if (!reason.ok()) {
          broken_ = reason.status();
          unknown_ = true;
          return;
        }
        if (!reason->empty()) {
          ++session;
          continue;
        }
        ended_.push_back(absl::StrCat(session->pid()));
        session = waiting_.erase(session);
      }
      if (waiting_.empty() || clock_.Monotonic() + kLookAgain >= deadline_) return;
      Pause(kLookAgain);
    }
  }

  v1::WorkerResult Result(const v1::WorkerRequest& request) {
    v1::WorkerResult result;
    *result.mutable_sessions() = request.sessions();
    std::vector<std::string> sentences;
    const bool several = request.sessions_size() > 1;
    if (several && !ended_.empty())
      sentences.push_back(
          absl::StrCat(target_.cancel ? "cancelled: pid " : "ended: pid ", absl::StrJoin(ended_, ", ")));
    for (const v1::PostgresSession& session : waiting_)
      sentences.push_back(absl::StrCat("pid ", session.pid(),
                                       target_.cancel ? " was told to cancel its statement and still runs it"
                                                      : " was told to end and is still there"));
    constexpr size_t kMostSentences = 10;
    const size_t more = left_.size() > kMostSentences ? left_.size() - kMostSentences : 0;
    left_.resize(left_.size() - more);
    sentences.insert(sentences.end(), left_.begin(), left_.end());
    if (more > 0) sentences.push_back(absl::StrCat("and ", more, " more"));
    result.set_reason(absl::StrJoin(sentences, "; "));
    result.set_unknown(unknown_);
    // What ended by itself before it was told to needs nothing any more; but where that is all, nothing was
    // done.
    result.set_ok(!unknown_ && broken_.ok() && waiting_.empty() && !ended_.empty());
    if (!unknown_ && ended_.empty() && waiting_.empty()) result.set_refusal(v1::REFUSAL_CHECK);
    return result;
  }

  PostgresClient& client_;
  const SessionTarget& target_;
  Clock& clock_;
  const Micros deadline_;
  std::vector<v1::PostgresSession> waiting_;  // told, and not seen to have ended
  std::vector<std::string> ended_;            // their pids
  std::vector<std::string> left_;             // why nothing was done to it
  absl::Status broken_;                       // the first error of the connection
  bool unknown_ = false;
};

class PostgresSessionAction final : public Action {
 public:
  v1::WorkerResult Check(const v1::WorkerRequest& request, Clock&) override {
    const SessionTarget target = *SessionTargetOf(request.action());
    auto found = Find(request, target);
    if (!found.ok()) return Refused(ServerSays(target, found.status()));
    std::string reason = JudgeSessions(target, request.by_person(), *found);
    if (!reason.empty()) return Refused(std::move(reason));
    v1::WorkerResult result;
    result.set_ok(true);
    for (v1::PostgresSession& session : *found) *result.add_sessions() = std::move(session);
    return result;
  }

  v1::WorkerResult Evidence(const v1::WorkerRequest& request, Clock& clock) override {
    const Micros began = clock.Monotonic();
    const Micros budget = Micros{request.budget_ms()} * kMillisecond;
    const SessionTarget target = *SessionTargetOf(request.action());
    v1::WorkerResult result;
    result.set_ok(true);
    EvidenceCollector collector(clock, began, budget - std::min(budget / 4, kMargin), request.budget_bytes(),
                                result);
    auto client =
        PostgresClient::Connect(request.postgres(), kMonitorRole, std::max(budget / 4, kMillisecond));
    auto tree = client.ok() ? ReadLockTree(**client) : client.status();
    if (!tree.ok()) {
      for (const char* name : {"locks", "sessions"})
        collector.Missing(name, ServerSays(target, tree.status()));
      return result;
    }
    std::vector<int64_t> pids;
    for (const v1::PostgresSession& session : request.sessions()) pids.push_back(session.pid());
    collector.Item("locks", [&] { return DescribeLocks(**client, *tree, pids); });
    collector.Item("sessions", [&] { return DescribeSessions(**client, pids); });
    return result;
  }

  v1::WorkerResult Run(const v1::WorkerRequest& request, Clock& clock) override {
    const Micros deadline = clock.Monotonic() + Micros{request.budget_ms()} * kMillisecond - kMargin;
    const SessionTarget target = *SessionTargetOf(request.action());
    if (request.sessions().empty()) return Refused("the request names no session");
    auto client =
        PostgresClient::Connect(request.postgres(), kRemedyRole,
                                std::clamp(deadline - clock.Monotonic(), kMillisecond, kCheckWithin));
    if (!client.ok()) return Refused(ServerSays(target, client.status()));
    return Remedy(**client, target, clock, deadline).Act(request);
  }

 private:
  static absl::StatusOr<std::vector<v1::PostgresSession>> Find(const v1::WorkerRequest& request,
                                                               const SessionTarget& target) {
    QUELL_ASSIGN_OR_RETURN(const auto client,
                           PostgresClient::Connect(request.postgres(), kMonitorRole, kCheckWithin));
    QUELL_ASSIGN_OR_RETURN(const LockTree tree, ReadLockTree(*client));
    return FindSessions(*client, target, tree);
  }
};

}  // namespace

std::string JudgeSessions(const SessionTarget& target, bool by_person,
                          const std::vector<v1::PostgresSession>& found) {
  if (found.empty() && target.named())
    return absl::StrCat("there is no session with pid ", target.pid, " any more");
  if (found.empty()) return "no session matches";
  if (!target.named()) return "";
  const v1::PostgresSession& session = found.front();
  if (std::string reason = AgainstTimes(target, session); !reason.empty()) return reason;
  if (std::string reason = Exempt(session); !reason.empty()) return reason;
  if (target.cancel && !Active(session)) return absl::StrCat("pid ", session.pid(), " runs no statement");
  if (by_person || target.query_start_us != 0) return "";
  if (session.victims() == 0) return absl::StrCat("nobody waits for pid ", session.pid(), " any more");
  if (!session.root())
    return absl::StrCat("pid ", session.pid(),
                        " waits for a lock itself: it is not the root of what is blocked");
  return "";
}

std::unique_ptr<Action> MakePostgresSession() { return std::make_unique<PostgresSessionAction>(); }

}  // namespace quell::agent
