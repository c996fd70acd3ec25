#include "agent/app/doctor.h"

#include <grp.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/app/config.h"
#include "agent/app/surroundings.h"
#include "agent/collectors/postgres/connection.h"
#include "agent/executor/sanctions.h"
#include "agent/link/address.h"
#include "common/base/disk.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/security/certificate.h"
#include "common/security/trust.h"
#include "common/text/encode.h"

namespace quell::agent {
namespace {

constexpr char kEnrolLine[] = "quell-agent enrol --controller CONTROLLER:7401 --token-file FILE";
constexpr char kRestartLine[] = "systemctl restart quell-executor quell-agent";
constexpr int kReachMs = 2000;
constexpr Micros kSoon = 6 * kHour;  // a certificate of 24 h is renewed at half of that

// One examination: what is looked at, as whom, and what was found.
struct Doctor {
  const DoctorOptions& options;
  Clock& clock;
  AgentConfig config;
  std::optional<Account> user;
  std::vector<Finding> findings;

  void Well(std::string what, std::string why) {
    findings.push_back({true, std::move(what), std::move(why), ""});
  }
  void Ill(std::string what, std::string why, std::string mend) {
    findings.push_back({false, std::move(what), std::move(why), std::move(mend)});
  }
};

bool LookAtConfig(Doctor& d) {
  config::Problems problems;
  d.config = LoadAgentConfig(d.options.config, problems);
  for (const config::Mistake& mistake : problems.mistakes())
    d.Ill("configuration", mistake.ToString(),
          absl::StrCat("editor ", mistake.file, "    # then: quell-agent check; ", kRestartLine));
  if (problems.ok()) d.Well("configuration", absl::StrCat(d.options.config, " has no mistake"));
  return problems.ok();
}

void LookAtUser(Doctor& d) {
  if (geteuid() != 0) {
    d.Well("user", "run as root, doctor looks as the agent's user, and at the executor's files too");
    return;
  }
  for (const Account& account : Accounts("")) {
    if (account.name == d.options.user) d.user = account;
  }
  if (!d.user)
    return d.Ill("user", absl::StrCat("there is no user ", d.options.user),
                 "systemd-sysusers quell-agent.conf");
  gid_t groups[256];
  int count = 256;
  getgrouplist(d.user->name.c_str(), d.user->gid, groups, &count);
  std::vector<std::string> absent;
  for (const char* name : {"adm", "systemd-journal"}) {
    const group* wanted = getgrnam(name);
    if (wanted != nullptr &&
        std::find(groups, groups + std::max(count, 0), wanted->gr_gid) == groups + std::max(count, 0))
      absent.emplace_back(name);
  }
  if (absent.empty()) return d.Well("user", absl::StrCat(d.user->name, " may read logs and the journal"));
  const std::string list = absl::StrJoin(absent, ",");
  d.Ill("user", absl::StrCat(d.user->name, " isn't in ", list, ": it can't read logs"),
        absl::StrCat("usermod -aG ", list, " ", d.user->name, " && systemctl restart quell-agent"));
}

// When the newest of the installed and the renewed certificate ends; an error when none is there.
absl::StatusOr<Micros> CertifiedUntil(const AgentConfig& config) {
  Micros until = 0;
  absl::Status last;
  for (const std::string& path : {config.certificate, config.state + "/agent.crt"}) {
    const auto pem = RealDisk().Read(path, 64 << 10);
    const auto dates = pem.ok() ? security::DatesOf(*pem) : pem.status();
    if (dates.ok()) until = std::max(until, dates->not_after);
    if (!dates.ok() && path == config.certificate) last = dates.status();
  }
  if (until == 0) return last;
  return until;
}

void LookAtIdentity(Doctor& d) {
  struct stat key {};
  if (stat(d.config.key.c_str(), &key) != 0)
    return d.Ill("identity", absl::StrCat(d.config.key, ": ", strerror(errno), "; this host isn't enrolled"),
                 kEnrolLine);
  const uid_t owner = d.user ? d.user->uid : geteuid();
  if ((key.st_mode & 077) != 0 || (key.st_uid != owner && key.st_uid != 0))
    return d.Ill("identity", absl::StrCat(d.config.key, " isn't the agent's alone"),
                 absl::StrCat("chown ", d.options.user, ": ", d.config.key, " && chmod 600 ", d.config.key));
  const auto until = CertifiedUntil(d.config);
  if (!until.ok()) return d.Ill("identity", std::string(until.status().message()), kEnrolLine);
  const Micros left = *until - d.clock.Wall();
  if (left <= 0)
    return d.Ill(
        "identity", absl::StrCat("its certificate ended at ", FormatRfc3339(*until)),
        "systemctl restart quell-agent    # it asks the controller's enrolment port, 7401, for a new one");
  if (left < kSoon)
    return d.Ill(
        "identity", absl::StrCat("its certificate ends in ", FormatAge(left), " and was not renewed"),
        "journalctl -u quell-agent -n 50    # says why; a host of `pki init` enrols to have it renewed");
  d.Well("identity", absl::StrCat("certified until ", FormatRfc3339(*until)));
}

void LookAtTrust(Doctor& d) {
  const auto pin = RealDisk().Read(d.config.root_pin, 4096);
  const auto bundle = RealDisk().Read(d.config.trust_bundle, 1 << 20);
  if (!pin.ok() || !bundle.ok())
    return d.Ill("trust", std::string((pin.ok() ? bundle.status() : pin.status()).message()), kEnrolLine);
  const auto opened =
      security::OpenTrustBundle(*bundle, std::string(absl::StripAsciiWhitespace(*pin)), d.clock.Wall());
  if (!opened.ok()) return d.Ill("trust", std::string(opened.status().message()), kEnrolLine);
  d.Well("trust", absl::StrCat("bundle ", opened->serial(), " of the pinned root"));
}

// Whether a connection can be made at all; who answers is for the link to check.
absl::Status Reach(const std::string& address) {
  QUELL_ASSIGN_OR_RETURN(const std::string host, HostOfAddress(address));
  addrinfo wish{};
  wish.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = address.substr(address.rfind(':') + 1);
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &wish, &found); error != 0)
    return absl::UnavailableError(absl::StrCat("looking up ", host, ": ", gai_strerror(error)));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> list(found, freeaddrinfo);
  int last = ETIMEDOUT;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    const UniqueFd fd(socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) continue;
    if (connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) return absl::OkStatus();
    pollfd wait{fd.get(), POLLOUT, 0};
    socklen_t size = sizeof last;
    if (errno != EINPROGRESS || poll(&wait, 1, kReachMs) != 1) continue;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &last, &size) == 0 && last == 0) return absl::OkStatus();
  }
  return ErrnoStatus(last, absl::StrCat("connecting to ", address));
}

void LookAtControllers(Doctor& d) {
  for (const std::string& address : d.config.addresses) {
    const absl::Status reached = Reach(address);
    if (reached.ok())
      d.Well("controller", absl::StrCat(address, " answers"));
    else
      d.Ill("controller", std::string(reached.message()),
            absl::StrCat(
                "editor ", d.options.config, "    # controller.addresses; or the way there: nc -vz ",
                absl::StrJoin({address.substr(0, address.rfind(':')), address.substr(address.rfind(':') + 1)},
                              " ")));
  }
}

void LookAtExecutor(Doctor& d) {
  if (ListeningSockets("").count(d.config.executor_socket) != 0)
    d.Well("executor", absl::StrCat("listens at ", d.config.executor_socket));
  else
    d.Ill("executor",
          absl::StrCat("nobody listens at ", d.config.executor_socket,
                       ": nothing can be done here, and no PM2 is read"),
          "systemctl start quell-executor && journalctl -u quell-executor -n 20");
  if (access(d.options.hold.c_str(), F_OK) == 0)
    d.Ill("hold", absl::StrCat(d.options.hold, " exists: nothing is done on this host"),
          "rm " + d.options.hold);
  const SanctionsFile file = LoadSanctions(d.options.sanctions, geteuid());
  if (!file.error.empty())
    return d.Ill("sanctions", absl::StrCat("everything is refused: ", file.error),
                 "editor " + d.options.sanctions);
  if (file.entries.empty())
    return d.Ill("sanctions", absl::StrCat(d.options.sanctions, " names nothing: everything is refused"),
                 absl::StrCat("quell-agent init sanctions    # a draft; what you want of it belongs into ",
                              d.options.sanctions));
  d.Well("sanctions", absl::StrCat(file.entries.size(), file.entries.size() == 1 ? " entry" : " entries"));
}

void LookAtPm2(Doctor& d) {
  const std::set<std::string> listening = ListeningSockets("");
  for (const Pm2User& user : d.config.collectors.pm2.users) {
    const std::string what = "PM2 of " + user.user;
    const std::vector<Account> accounts = Accounts("");
    const auto account =
        std::find_if(accounts.begin(), accounts.end(), [&](const Account& a) { return a.name == user.user; });
    if (account == accounts.end()) {
      d.Ill(what, "there is no such user",
            absl::StrCat("editor ", d.options.config, "    # collectors.pm2.users"));
      continue;
    }
    const std::string home = user.home.empty() ? account->home + "/.pm2" : user.home;
    if (listening.count(home + "/rpc.sock") != 0)
      d.Well(what, absl::StrCat("its daemon listens in ", home));
    else
      d.Ill(what, absl::StrCat("no daemon listens in ", home),
            absl::StrCat("runuser -u ", user.user, " -- env PM2_HOME=", home, " pm2 resurrect"));
  }
}

absl::Status AskPostgres(const PostgresConfig& server) {
  config::Secret password;
  if (!server.password_file.empty()) {
    QUELL_ASSIGN_OR_RETURN(password, config::ReadSecretFile(server.password_file));
  }
  QUELL_ASSIGN_OR_RETURN(const auto connection, PgConnection::Open(server.dsn, password));
  QUELL_ASSIGN_OR_RETURN(const PgRows rows,
                         connection->Query("SELECT pg_has_role(current_user, 'pg_monitor', 'MEMBER')"));
  if (rows.size() == 1 && rows.Bool(0, 0)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the role ", server.dsn.user, " is not a member of pg_monitor"));
}

void LookAtPostgres(Doctor& d) {
  for (const PostgresConfig& server : d.config.collectors.postgres) {
    const std::string what = "PostgreSQL " + server.name;
    const absl::Status seen = LookAs(d.user, [&] { return AskPostgres(server); });
    if (seen.ok())
      d.Well(what, absl::StrCat("can be read as ", server.dsn.user));
    else if (absl::IsPermissionDenied(seen))
      d.Ill(what, std::string(seen.message()),
            absl::StrCat("runuser -u postgres -- psql -d ", server.dsn.dbname,
                         " -f /usr/share/quell/postgres/quell.sql    # and the lines of pg_hba.conf, "
                         "pg_ident.conf beside it"));
    else
      d.Ill(what, std::string(seen.message()), "systemctl status 'postgresql*'");
    if (server.log_file.empty()) continue;
    const absl::Status readable = LookAs(d.user, [&] {
      return access(server.log_file.c_str(), R_OK) == 0 ? absl::OkStatus()
                                                        : ErrnoStatus(errno, "reading " + server.log_file);
    });
    if (!readable.ok())
      d.Ill(what, std::string(readable.message()),
            absl::StrCat("setfacl -m u:", d.options.user, ":r ", server.log_file));
  }
}

// Signatures, nonces and certificates are dated: see adjtimex(2).
void LookAtClock(Doctor& d) {
  timex state{};
  if (adjtimex(&state) >= 0 && (state.status & STA_UNSYNC) == 0) return d.Well("clock", "is synchronised");
  d.Ill("clock",
        "isn't synchronised by anything: certificates and the controller's view of time depend on it",
        "timedatectl set-ntp true    # needs systemd-timesyncd, chrony or ntpsec");
}

}  // namespace

std::vector<Finding> Examine(const DoctorOptions& options, Clock& clock) {
  Doctor d{options, clock, {}, {}, {}};
  LookAtUser(d);
  if (LookAtConfig(d)) {
    LookAtIdentity(d);
    LookAtTrust(d);
    LookAtControllers(d);
    LookAtExecutor(d);
    LookAtPm2(d);
    LookAtPostgres(d);
  }
  LookAtClock(d);
  return std::move(d.findings);
}

std::string FindingsText(const std::vector<Finding>& findings) {
  size_t widest = 0;
  for (const Finding& finding : findings) widest = std::max(widest, finding.what.size());
  std::string out;
  for (const Finding& finding : findings) {
    absl::StrAppend(&out, finding.well ? "ok  " : "!!  ", text::Terminal(finding.what),
                    std::string(widest - finding.what.size() + 2, ' '), text::Terminal(finding.why), "\n");
    if (!finding.well)
      absl::StrAppend(&out, std::string(widest + 6, ' '), "mend: ", text::Terminal(finding.mend), "\n");
  }
  return out;
}

int RunDoctor(const DoctorOptions& options, Clock& clock) {
  const std::vector<Finding> findings = Examine(options, clock);
  fputs(FindingsText(findings).c_str(), stdout);
  return std::all_of(findings.begin(), findings.end(), [](const Finding& f) { return f.well; }) ? 0 : 1;
}

}  // namespace quell::agent
