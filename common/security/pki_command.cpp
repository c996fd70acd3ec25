#include "common/security/pki_command.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_join.h"
#include "common/base/disk.h"
#include "common/security/command_flags.h"
#include "common/security/pki.h"

namespace quell::security {
namespace {

constexpr char kUsage[] =
    "usage: quell-controller pki init --dir D (--dns NAME | --address IP)... [--agent HOST]...\n"
    "                                 [--agent-days N] [--passphrase-file F]\n"
    "       quell-controller pki recover --dir D --root-key F --bundle F (--dns NAME | --address IP)...\n"
    "                                 [--passphrase-file F]\n"
    "       quell-controller pki revoke --bundle F --root-key F --id UUID|NAME... [--passphrase-file F]\n"
    "       quell-controller pki issue-agent --dir D --agent HOST [--agent-days N]\n";
constexpr char kProgram[] = "quell-controller pki";
constexpr int kMostDays = 825;

// Days as a life; 30 when not given; -1 when it is no number from 1 to 825.
Micros Life(const Flags& flags, std::ostream& err) {
  const std::string text = flags.One("--agent-days");
  if (text.empty()) return 30 * kDay;
  int days = 0;
  if (absl::SimpleAtoi(text, &days) && days >= 1 && days <= kMostDays) return days * kDay;
  err << "quell-controller pki: --agent-days must be a number from 1 to " << kMostDays << "\n";
  return -1;
}

int Failed(const absl::Status& status, std::ostream& err) {
  err << "quell-controller pki: " << status.message() << "\n";
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

void PrintAgent(const IssuedAgent& agent, std::ostream& out) {
  out << "agent " << agent.name << " " << agent.id << " " << agent.directory << "\n";
}

// What init and recover share; false, with one line on `err`, when the passphrase will not do.
bool ReadOptions(const Flags& flags, PkiOptions& options, std::ostream& err) {
  options.directory = flags.One("--dir");
  options.dns = flags.All("--dns");
  options.addresses = flags.All("--address");
  return ReadPassphrase(flags, kProgram, options.passphrase, err);
}

void PrintMade(const PkiMade& made, std::ostream& out) {
  out << "installation " << made.installation << "\ncontroller " << made.controller_id << "\npin " << made.pin
      << "\n";
  for (const auto& agent : made.agents) PrintAgent(agent, out);
}

int Init(const Flags& flags, Micros life, std::ostream& out, std::ostream& err, Micros wall_now) {
  PkiOptions options;
  if (!ReadOptions(flags, options, err)) return 2;
  options.agents = flags.All("--agent");
  options.agent_life = life;
  options.now = wall_now;
  const auto made = InitPki(options);
  if (!made.ok()) return Failed(made.status(), err);
  PrintMade(*made, out);
  if (options.passphrase.empty())
    err << "The trust root's and the CAs' keys are not encrypted; give --passphrase-file to encrypt them.\n";
  err << "Move trust-root.key, controllers-ca.key and responders-ca.key off this machine: nothing that runs "
         "needs them.\n";
  if (!made->agents.empty())
    err << "Certificates of the agents made here end after " << life / kDay
        << " days and do not renew themselves; those of agents that enrol do.\n";
  return 0;
}

int Recover(const Flags& flags, std::ostream& out, std::ostream& err, Micros wall_now) {
  PkiOptions options;
  if (!ReadOptions(flags, options, err)) return 2;
  options.now = wall_now;
  if (flags.One("--root-key").empty() || flags.One("--bundle").empty()) {
    err << "quell-controller pki: recover needs --root-key and --bundle (any host's trust.bundle)\n";
    return 2;
  }
  const auto made = RecoverPki(options, flags.One("--root-key"), flags.One("--bundle"));
  if (!made.ok()) return Failed(made.status(), err);
  PrintMade(*made, out);
  err << "Hosts take the new trust bundle by themselves from the enrolment port. Those that enrolled get new "
         "certificates there, if this controller has the log; those whose keys `pki` made are to enrol.\n";
  return 0;
}

// The file is replaced whole: a controller that starts meanwhile reads the one or the other.
int Revoke(const Flags& flags, std::ostream& out, std::ostream& err) {
  const std::string path = flags.One("--bundle");
  Secret passphrase;
  if (!ReadPassphrase(flags, kProgram, passphrase, err)) return 2;
  if (path.empty() || flags.One("--root-key").empty()) {
    err << "quell-controller pki: revoke needs --bundle (the controller's trust.bundle) and --root-key\n";
    return 2;
  }
  const auto made = RevokeInBundle(path, flags.One("--root-key"), passphrase, flags.All("--id"));
  if (!made.ok()) return Failed(made.status(), err);
  const absl::Status written = RealDisk().WriteWhole(path, made->bytes);
  if (!written.ok()) return Failed(written, err);
  out << "serial " << made->serial << "\nrevoked " << absl::StrJoin(made->revoked, " ") << "\n";
  err << "Put it in the place of the controller's trust.bundle and restart the controller: it shows it to "
         "the hosts, "
         "which take it for good.\n";
  return 0;
}

}  // namespace

int RunPkiCommand(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                  Micros wall_now) {
  const std::string verb = args.empty() ? "" : args[0];
  const bool init = verb == "init";
  const bool recover = verb == "recover";
  const bool revoke = verb == "revoke";
  if (!init && !recover && !revoke && verb != "issue-agent") {
    err << kUsage;
    return 2;
  }
  Flags flags;
  std::vector<std::string> known;
  if (!revoke) known.push_back("--dir");
  if (revoke) known.push_back("--id");
  if (!recover && !revoke) known.insert(known.end(), {"--agent", "--agent-days"});
  if (recover || revoke) known.insert(known.end(), {"--root-key", "--bundle", "--passphrase-file"});
  if (init) known.push_back("--passphrase-file");
  if (init || recover) known.insert(known.end(), {"--dns", "--address"});
  if (!ParseFlags({args.begin() + 1, args.end()}, known, kProgram, flags, err)) {
    err << kUsage;
    return 2;
  }
  const Micros life = Life(flags, err);
  if (life < 0) return 2;
  if (revoke) return Revoke(flags, out, err);
  if (recover) return Recover(flags, out, err, wall_now);
  if (init) return Init(flags, life, out, err, wall_now);
  if (flags.One("--dir").empty() || flags.All("--agent").size() != 1) {
    err << kUsage;
    return 2;
  }
  const auto agent = IssueAgent(flags.One("--dir"), flags.One("--agent"), life, wall_now);
  if (!agent.ok()) return Failed(agent.status(), err);
  PrintAgent(*agent, out);
  return 0;
}

}  // namespace quell::security
