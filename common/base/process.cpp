#include "common/base/process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/queue.h"
#include "common/base/status.h"
#include "common/base/thread.h"

namespace quell {
namespace {

constexpr size_t kErrorOutputLimit = 4096;
constexpr int kPassedFd = 3;
constexpr int kReportFd = 4;  // where the child says why exec failed; closed by a successful exec

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "making a pipe for a child process");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// The child's input is a socket, not a pipe: a child that closed it must not end us by SIGPIPE.
absl::StatusOr<Pipe> MakeInput() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return ErrnoStatus(errno, "making the input of a child process");
  }
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

// Everything the child needs between fork and exec, where nothing may be allocated.
struct ChildPlan {
  const SpawnOptions* options;
  std::vector<char*> argv;
  std::vector<char*> environment;
  int input;
  int output;
  int error_output;
  int report;
  pid_t parent;
};

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

bool Limit(int resource, rlim_t most) {
  const rlimit limit{most, most};
  return setrlimit(static_cast<__rlimit_resource>(resource), &limit) == 0;
}

bool ApplyLimits(const SpawnOptions& o) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // The sanitizers' shadow memory needs terabytes of address space.
  if (o.memory_limit != 0 && !Limit(RLIMIT_AS, o.memory_limit)) return false;
#endif
  return Limit(RLIMIT_CORE, 0) && Limit(RLIMIT_NOFILE, o.open_files);
}

bool BecomeUser(const SpawnOptions& o) {
  if (o.uid == static_cast<uid_t>(-1)) return true;
  // Without root there is nobody else to become, and no right to drop groups.
  if (o.uid == geteuid() && o.uid == getuid() && geteuid() != 0) return o.gid == getegid();
  return setgroups(1, &o.gid) == 0 && setresgid(o.gid, o.gid, o.gid) == 0 &&
         setresuid(o.uid, o.uid, o.uid) == 0;
}

void ResetSignals() {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < NSIG; ++s) signal(s, SIG_DFL);
}

// Descriptors 0-2 as planned, the passed one on 3, the report on 4, nothing else. The sources are first moved
// out of the way of the targets.
bool ArrangeDescriptors(const ChildPlan& plan) {
  const int input = fcntl(plan.input, F_DUPFD_CLOEXEC, 10);
  const int output = fcntl(plan.output, F_DUPFD_CLOEXEC, 10);
  const int error_output = fcntl(plan.error_output, F_DUPFD_CLOEXEC, 10);
  const int report = fcntl(plan.report, F_DUPFD_CLOEXEC, 10);
  if (input < 0 || output < 0 || error_output < 0 || report < 0) return false;
  const int passed = plan.options->pass_fd < 0 ? -1 : fcntl(plan.options->pass_fd, F_DUPFD_CLOEXEC, 10);
  if (dup3(report, kReportFd, O_CLOEXEC) < 0) return false;
  if (plan.options->pass_fd < 0) {
    close(kPassedFd);
  } else if (passed < 0 || dup2(passed, kPassedFd) < 0) {
    return false;
  }
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error_output, 2) < 0) return false;
  return syscall(SYS_close_range, kReportFd + 1, ~0U, 0) == 0;
}

[[noreturn]] void Report(int fd) {
  const int error = errno;
  [[maybe_unused]] const ssize_t n = write(fd, &error, sizeof(error));
  _exit(127);
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  const SpawnOptions& o = *plan.options;
  ResetSignals();
  if (setpgid(0, 0) != 0 || !ArrangeDescriptors(plan)) Report(plan.report);
  umask(077);
  if (!ApplyLimits(o) || !BecomeUser(o)) Report(kReportFd);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) Report(kReportFd);
  // After the change of user, which clears it.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) Report(kReportFd);
  if (getppid() != plan.parent) _exit(127);  // the parent died before the line above
  if (chdir("/") != 0) Report(kReportFd);
  execve(o.program.c_str(), plan.argv.data(), plan.environment.data());
  Report(kReportFd);
}

absl::Status CheckOptions(const SpawnOptions& o) {
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("starting ", o.program, ": ", why));
  };
  if (o.program.empty() || o.program[0] != '/') return refuse("the program's path is not absolute");
  if (o.argv.empty()) return refuse("its argument list is empty");
  if (o.uid != static_cast<uid_t>(-1) && o.gid == static_cast<gid_t>(-1)) {
    return refuse("a user is given without a group");
  }
  return absl::OkStatus();
}

class MachineChild final : public ChildProcess {
 public:
  MachineChild(pid_t pid, UniqueFd pidfd, Pipe input, Pipe output, Pipe error_output,
               const SpawnOptions& options)
      : pid_(pid),
        pidfd_(std::move(pidfd)),
        input_(std::move(input.write)),
        output_(std::move(output.read)),
        error_output_(std::move(error_output.read)),
        remaining_(options.input),
        output_limit_(options.output_limit),
        deadline_(RealClock().Monotonic() + options.deadline) {
    for (const int fd : {input_.get(), output_.get(), error_output_.get()}) {
      if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
    }
  }
  ~MachineChild() override {
    if (done_) return;
    Kill();
    Reap();
  }

  pid_t pid() const override { return pid_; }

  void Kill() override {
    absl::MutexLock lock(&mutex_);
    // Only while it is ours to reap: afterwards the number may be another's.
    if (!reaped_) kill(-pid_, SIGKILL);
  }

  ExitStatus Wait() override {
    if (done_) return status_;
    while (!Step()) {
    }
    Kill();  // what it left behind in its group
    Drain(output_, &status_.output, output_limit_, &status_.output_exceeded);
    Drain(error_output_, &status_.error_output, kErrorOutputLimit, nullptr);
    Reap();
    return status_;
  }

 private:
  // One round of waiting; true when the child has ended.
  bool Step() {
    const Micros left = deadline_ - RealClock().Monotonic();
    if (left <= 0 && !killed_) {
      status_.timed_out = true;
      killed_ = true;
      Kill();
    }
    if (status_.output_exceeded && !killed_) {
      killed_ = true;
      Kill();
    }
    pollfd fds[4] = {{pidfd_.get(), POLLIN, 0},
                     {output_.get(), POLLIN, 0},
                     {error_output_.get(), POLLIN, 0},
                     {input_.get(), POLLOUT, 0}};
    const int wait = killed_ ? 1000 : static_cast<int>(std::clamp<Micros>(left / 1000 + 1, 1, 60'000));
    if (poll(fds, 4, wait) < 0 && errno != EINTR) return true;
    if (fds[1].revents != 0) Drain(output_, &status_.output, output_limit_, &status_.output_exceeded);
    if (fds[2].revents != 0) Drain(error_output_, &status_.error_output, kErrorOutputLimit, nullptr);
    if (fds[3].revents != 0) Feed();
    return fds[0].revents != 0;
  }

  // Reads what is there. Over the limit it keeps the limit's worth and says so; a null flag just discards.
  static void Drain(UniqueFd& fd, std::string* out, uint64_t limit, bool* exceeded) {
    char buffer[16384];
    while (fd.valid()) {
      const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) {
        fd.reset();
        return;
      }
      const size_t room = limit - std::min<uint64_t>(limit, out->size());
      out->append(buffer, std::min<size_t>(room, static_cast<size_t>(n)));
      if (static_cast<size_t>(n) <= room) continue;
      if (exceeded == nullptr) continue;
      *exceeded = true;
      fd.reset();
    }
  }

  void Feed() {
    if (!remaining_.empty()) {
      const ssize_t n = send(input_.get(), remaining_.data(), remaining_.size(), MSG_NOSIGNAL);
      if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
      if (n < 0) remaining_.clear();
      if (n > 0) remaining_.erase(0, static_cast<size_t>(n));
    }
    if (remaining_.empty()) input_.reset();
  }

  void Reap() {
    int raw = 0;
    pid_t got = 0;
    while ((got = waitpid(pid_, &raw, 0)) < 0 && errno == EINTR) {
    }
    absl::MutexLock lock(&mutex_);
    reaped_ = true;
    done_ = true;
    if (got == pid_ && WIFEXITED(raw)) status_.code = WEXITSTATUS(raw);
    if (got == pid_ && WIFSIGNALED(raw)) status_.signal = WTERMSIG(raw);
  }

  const pid_t pid_;
  UniqueFd pidfd_;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd error_output_;
  std::string remaining_;
  const uint64_t output_limit_;
  const Micros deadline_;
  ExitStatus status_;
  bool killed_ = false;
  bool done_ = false;
  absl::Mutex mutex_;
  bool reaped_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::Status AwaitExec(Pipe& report, pid_t pid, const std::string& program) {
  report.write.reset();
  int error = 0;
  ssize_t n = 0;
  while ((n = read(report.read.get(), &error, sizeof(error))) < 0 && errno == EINTR) {
  }
  if (n == 0) return absl::OkStatus();
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoStatus(n == sizeof(error) ? error : EIO, "starting " + program);
}

absl::StatusOr<std::unique_ptr<ChildProcess>> Spawn(const SpawnOptions& o) {
  QUELL_RETURN_IF_ERROR(CheckOptions(o));
  QUELL_ASSIGN_OR_RETURN(Pipe input, MakeInput());
  QUELL_ASSIGN_OR_RETURN(Pipe output, MakePipe());
  QUELL_ASSIGN_OR_RETURN(Pipe error_output, MakePipe());
  QUELL_ASSIGN_OR_RETURN(Pipe report, MakePipe());
  const ChildPlan plan{&o,
                       Pointers(o.argv),
                       Pointers(o.environment),
                       input.read.get(),
                       output.write.get(),
                       error_output.write.get(),
                       report.write.get(),
                       getpid()};
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "starting " + o.program);
  if (pid == 0) RunChild(plan);
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  Require(pidfd.valid(), "opening a descriptor of a process just started failed");
  QUELL_RETURN_IF_ERROR(AwaitExec(report, pid, o.program));
  return std::make_unique<MachineChild>(pid, std::move(pidfd), std::move(input), std::move(output),
                                        std::move(error_output), o);
}

// Forks on a thread that never ends: the kernel delivers the parent-death signal when the *thread* that
// forked ends, and callers' threads come and go.
class MachineProcess final : public Process {
 public:
  MachineProcess() : thread_("spawn", [this] { Serve(); }) {}

  absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const SpawnOptions& options) override {
    Order order{&options, absl::UnknownError("not started"), {}};
    Order* pointer = &order;
    if (!orders_.Push(std::move(pointer))) {
      return absl::ResourceExhaustedError(
          absl::StrCat("starting ", options.program, ": too many starts are waiting already"));
    }
    order.done.WaitForNotification();
    return std::move(order.result);
  }

 private:
  struct Order {
    const SpawnOptions* options;
    absl::StatusOr<std::unique_ptr<ChildProcess>> result;
    absl::Notification done;
  };

  void Serve() {
    while (true) {
      const std::optional<Order*> order = orders_.Pop(absl::Seconds(3600));
      if (!order.has_value()) continue;
      (*order)->result = Spawn(*(*order)->options);
      (*order)->done.Notify();
    }
  }

  BoundedQueue<Order*> orders_{256};  // refuses when full
  NamedThread thread_;
};

}  // namespace

Process& RealProcess() {
  static auto& process = *new MachineProcess;
  return process;
}

}  // namespace quell
