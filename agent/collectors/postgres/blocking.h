// Sessions of a PostgreSQL server that somebody may want to end: the root of each chain of waiting sessions,
// with how many wait for it, and those whose statement runs long. Pure; the memory is owned by one collector.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "common/base/time.h"

namespace quell::agent {

// A session that waits for a lock, holds one that another waits for, or runs one statement for long.
struct PgSession {
  int64_t pid = 0;               // 0: a prepared transaction, which has no process
  int64_t backend_start_us = 0;  // Unix time; 0: none
  int64_t xact_start_us = 0;     // likewise; 0: outside of a transaction, as with a session's advisory lock
  int64_t query_start_us = 0;    // of a session that is told of for its statement; else 0
  int64_t database = 0;          // oid
  int64_t role = 0;              // oid
  std::string backend_type;
  double seconds = 0;  // age of its transaction, or how long it has been as it is when it has none; of a
                       // statement: its age
  bool waiting = false;
  std::vector<int64_t> blockers;  // pids, as pg_blocking_pids says
};

struct NotableSession {
  PgSession session;
  int victims = 0;  // sessions that wait for it, directly or through others
  std::string datname;
  std::string usename;
  std::string why;  // whom a remedy spares, and why; empty: nobody special
};

// The sessions that block others and wait for nobody, by falling number of victims. A session that waits for
// two roots counts for both. A cycle has no root: that is a deadlock, which the server ends.
std::vector<NotableSession> FindBlockingRoots(const std::vector<PgSession>& sessions);

// Why no remedy may end this session whatever it blocks; empty when one may. `known`: its role was found.
struct PgRole {
  std::string name;
  bool superuser = false;
  bool replication = false;
};
std::string WhySpared(const PgSession& session, const PgRole* role, std::string_view own_user);

// What is told of such sessions over time: one that is gone is told with 0 victims and 0 seconds for a
// minute, so that who waits for it to be gone sees it gone and not merely unseen. Bounds: one begins to be
// told while it is among the first kMostNew, and at most kMostTold that are there are told of (of more, the
// last end without a word); kMostGone that are gone (the longest gone end first).
class SessionMemory {
 public:
  static constexpr size_t kMostNew = 20;
  static constexpr size_t kMostTold = 40;
  static constexpr size_t kMostGone = 40;
  static constexpr Micros kTellGone = kMinute;
  struct Told {
    NotableSession notable;
    Micros since = 0;       // monotonic: first told
    Micros gone_since = 0;  // monotonic; 0: it is there
  };
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, std::string, std::string, std::string>;

  // `notable` is all there are at `now`, the worst first.
  void Update(const std::vector<NotableSession>& notable, Micros now);
  const std::map<Key, Told>& told() const { return told_; }

 private:
  void ForgetGone(Micros now);
  std::map<Key, Told> told_;
};

}  // namespace quell::agent
