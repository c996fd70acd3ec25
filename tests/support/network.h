// Networks of a test's own: the test program moves into a network namespace nobody else sees, and each
// NetworkHost is a further one, joined to it by a pair of virtual interfaces. None has a name, so that any
// number of tests run beside each other; all are gone with the test program. Needs root. One thread.
#pragma once
#include <string>

#include "common/base/file.h"

namespace quell::test {

// Moves this process into an empty network with loopback. First in main, while it has one thread.
void EnterOwnNetwork();

class NetworkHost {
 public:
  // number: 1 to 254; 10.77.NUMBER.1 is the test's end, 10.77.NUMBER.2 the host's.
  explicit NetworkHost(int number);
  NetworkHost(const NetworkHost&) = delete;
  ~NetworkHost();

  const std::string& here() const { return here_; }
  const std::string& there() const { return there_; }
  // For setns(2) in a child that is to run on the host; stays this object's.
  int fd() const { return namespace_.get(); }
  // For `nsenter --net=`, as a path that lives as long as this process.
  std::string path() const;

  void SetLink(bool up);
  // What is sent from here to there is lost on the way; what comes from there arrives.
  void LoseWhatIsSent(bool lose);
  // What the host sends passes at so many bits a second; 0: as fast as it goes.
  void SetUpstreamBits(int bits_per_second);

 private:
  std::string link() const;

  const int number_;
  const std::string here_, there_;
  UniqueFd namespace_;
};

}  // namespace quell::test
