// quell-pm2-reader HOME: reads the PM2 daemon of the user it runs as and tells the agent over descriptor 3, a
// connected stream socket whose closing ends it. Started by the executor, one per PM2 user.
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "absl/synchronization/mutex.h"
#include "agent/reader/reader.h"
#include "common/base/log.h"

namespace {

constexpr int kAgentFd = 3;

bool IsStreamSocket(int fd) {
  int type = 0;
  socklen_t length = sizeof(type);
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM;
}

}  // namespace

int main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (argc != 2 || argv[1][0] != '/') {
    fprintf(stderr, "usage: quell-pm2-reader /ABSOLUTE/PM2/HOME, with a stream socket as descriptor 3\n");
    return 2;
  }
  if (!IsStreamSocket(kAgentFd)) {
    fprintf(stderr, "quell-pm2-reader: descriptor 3 is no stream socket: there is nobody to tell\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  quell::StartLog("quell-pm2-reader");
  quell::reader::ReaderOptions options;
  options.home = argv[1];
  options.uid = getuid();
  // Nothing here outlives the agent, and nothing needs to be put away.
  quell::reader::FrameWriter writer(kAgentFd, [] { _exit(0); });
  quell::reader::Reader reader(options, quell::RealClock(), writer);
  reader.Run();
  return 0;
}
