// ChaosProxy: passes TCP connections on to somewhere else, badly: late, slowly, with stalls and resets, one
// way only, or cut after an exact number of bytes. Between any two parts of a product under test.
//
// Owned by a test; its methods may be called by any thread and hold from then on, for connections that are
// open as well. One thread of its own runs a poll loop. Per connection and way at most 256 KiB are in
// flight; then it reads no more, and the sender waits.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "common/base/file.h"
#include "common/base/thread.h"
#include "common/base/time.h"

namespace quell::test {

struct Weather {
  Micros latency = 0;             // of each way
  uint64_t bytes_per_second = 0;  // of each way of a connection; 0: no bound
  // Of what is passed on at once: how often it is held back for so long more (what TCP makes of a lost
  // packet), and how often the connection is reset instead.
  double stalls = 0;
  Micros stall = 200 * kMillisecond;
  double resets = 0;
  // A new connection is passed on after 0 to so long, by chance: a later one overtakes it.
  Micros connect_latency = 0;
  bool up_passes = true;  // from who connected; false: nothing goes that way until it is true again
  bool down_passes = true;
  bool accepts = true;  // false: whoever connects is reset
};

class ChaosProxy {
 public:
  enum class Way { kUp, kDown };  // kUp: from who connected
  struct Counts {
    uint64_t connections = 0;  // that were accepted
    uint64_t up = 0;           // bytes that were passed on
    uint64_t down = 0;
    uint64_t cuts = 0;    // by CutAfter
    uint64_t resets = 0;  // by chance
  };

  // Both as ADDRESS:PORT with a numeric IPv4 address; port 0 of `listen` takes a free one.
  ChaosProxy(const std::string& listen, const std::string& target);
  ChaosProxy(const ChaosProxy&) = delete;
  ~ChaosProxy();
  uint16_t port() const { return port_; }

  void Set(const Weather& weather);
  // Once so many more bytes have gone that way, over all connections, every connection is reset; 0: instead
  // of the next byte. Happens once; asked again before it happened, the later request counts.
  void CutAfter(Way way, uint64_t bytes);
  void ResetAll();
  // Where connections from now on go to.
  void SetTarget(const std::string& target);
  Counts counts();
  // From now on everything that is passed on that way is kept, by connection (at most 4 MiB in all).
  void Record(Way way);
  std::vector<std::string> recorded();

 private:
  struct Pipe;
  struct Link;
  enum class Next { kKeep, kClose, kReset };

  void Run();
  void Await();
  void ServeAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Accept(Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next Serve(Link& link, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next ConnectOn(Link& link) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next ReadInto(Pipe& pipe, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Next WriteFrom(Pipe& pipe, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Passed(Pipe& pipe, uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  uint64_t Allowance(Pipe& pipe, Micros now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // When the pipe's next byte may go; nullopt: not before something else happens.
  std::optional<Micros> DueOf(const Pipe& pipe) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Chance(double share) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::optional<uint64_t>& CutOf(Way way) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return way == Way::kUp ? cut_up_ : cut_down_;
  }
  void Wake();

  UniqueFd listener_;
  UniqueFd wake_;  // an eventfd
  uint16_t port_ = 0;
  absl::Mutex mutex_;
  std::string target_ ABSL_GUARDED_BY(mutex_);
  Weather weather_ ABSL_GUARDED_BY(mutex_);
  std::optional<uint64_t> cut_up_ ABSL_GUARDED_BY(mutex_), cut_down_ ABSL_GUARDED_BY(mutex_);
  bool reset_all_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  std::optional<Way> recording_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, std::string> recorded_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::unique_ptr<Link>> links_ ABSL_GUARDED_BY(mutex_);
  std::mt19937_64 random_ ABSL_GUARDED_BY(mutex_){std::random_device{}()};
  uint64_t next_link_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t kept_ ABSL_GUARDED_BY(mutex_) = 0;  // bytes of recorded_
  NamedThread thread_;
};

}  // namespace quell::test
