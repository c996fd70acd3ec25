// A deployment on disk, with what was recorded of it, as a test needs it. One thread.
#pragma once
#include <string>

#include "agent/actions/release_rollback.h"
#include "common/base/clock.h"
#include "quell/v1/local.pb.h"
#include "tests/support/files.h"

namespace quell::agent {

class ReleaseScene {
 public:
  // A server that keeps its release's name, its environment's canary and its directory where a test finds
  // them.
  static constexpr char kServer[] =
      "const s = require('http').createServer((q, r) => r.end('ok')); s.listen(0, '127.0.0.1');"
      "console.log('up', require('./package.json').version);";

  ReleaseScene();
  std::string path() const { return directory_.path() + "/portal"; }
  std::string PathOf(const std::string& release) const { return path() + "/releases/" + release; }
  void Add(const std::string& release, const std::string& server = kServer);
  void Point(const std::string& link);  // `current` leads there
  void PointTo(const std::string& release) { Point("releases/" + release); }
  std::string Current() const;
  // Lets a RECORD task look at `release` while `current` leads to it, and keeps what it found.
  void Record(const std::string& release);

  // A request of the deployment's owner for `task`.
  v1::WorkerRequest Request(const std::string& to, bool by_person = false) const;
  v1::ReleasePlace& place() { return place_; }
  const test::TempDir& directory() const { return directory_; }

 private:
  test::TempDir directory_;
  v1::ReleasePlace place_;
};

}  // namespace quell::agent
