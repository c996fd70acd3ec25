#include "common/security/responder_command.h"

#include "absl/strings/numbers.h"
#include "common/base/disk.h"
#include "common/base/status.h"
#include "common/security/command_flags.h"
#include "common/security/responder.h"

namespace quell::security {
namespace {

constexpr char kProgram[] = "quell-controller responder";
constexpr char kUsage[] =
    "usage: quell-controller responder issue REQUEST --name NAME --dir PKI [--days N]\n"
    "                                 [--passphrase-file F] [--out F]\n";
constexpr int kMostDays = kLongestResponderLife / kDay;

int Failed(const absl::Status& status, std::ostream& err) {
  err << kProgram << ": " << status.message() << "\n";
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

absl::StatusOr<Micros> Life(const Flags& flags) {
  const std::string text = flags.One("--days");
  if (text.empty()) return kLongestResponderLife;
  int days = 0;
  if (absl::SimpleAtoi(text, &days) && days >= 1 && days <= kMostDays) return days * kDay;
  return absl::InvalidArgumentError(absl::StrCat("--days must be a number from 1 to ", kMostDays));
}

// The installation's key comes with the file: whoever takes it in compares it with what they are told here.
int Tell(const std::string& name, const ResponderPass& pass, std::ostream& err) {
  const auto pin = PinOf(pass.signed_bundle);
  const auto dates = DatesOf(pass.certificate_pem);
  if (!pin.ok() || !dates.ok()) return Failed(pin.ok() ? dates.status() : pin.status(), err);
  err << name << " is certified until " << FormatRfc3339(dates->not_after) << "\n"
      << "On their machine: quell login --certificate FILE --address CONTROLLER:7403 --pin " << *pin << "\n"
      << "Tell them the pin by another way than the file. What they may do is a record of the controller's: "
         "quell responder role "
      << name << " ROLE\n";
  return 0;
}

int Issue(const std::string& request, const Flags& flags, std::ostream& out, std::ostream& err,
          Micros wall_now) {
  ResponderIssue issue;
  issue.directory = flags.One("--dir");
  issue.name = flags.One("--name");
  issue.now = wall_now;
  if (!ReadPassphrase(flags, kProgram, issue.passphrase, err)) return 2;
  const auto life = Life(flags);
  if (!life.ok()) return Failed(life.status(), err);
  issue.life = *life;
  auto text = RealDisk().Read(request, kLargestResponderFile);
  if (!text.ok()) return Failed(text.status(), err);
  issue.request = *std::move(text);
  const auto pass = IssueResponder(issue);
  if (!pass.ok()) return Failed(pass.status(), err);
  const std::string file = flags.One("--out");
  if (file.empty()) {
    out << FormatPass(*pass);
  } else if (const absl::Status kept = RealDisk().WriteWhole(file, FormatPass(*pass)); !kept.ok()) {
    return Failed(kept, err);
  }
  return Tell(issue.name, *pass, err);
}

}  // namespace

int RunResponderCommand(const std::vector<std::string>& args, std::ostream& out, std::ostream& err,
                        Micros wall_now) {
  Flags flags;
  const bool good =
      args.size() >= 2 && args[0] == "issue" &&
      ParseFlags({args.begin() + 2, args.end()}, {"--name", "--dir", "--days", "--passphrase-file", "--out"},
                 kProgram, flags, err);
  if (!good || flags.One("--name").empty() || flags.One("--dir").empty()) {
    err << kUsage;
    return 2;
  }
  return Issue(args[1], flags, out, err, wall_now);
}

}  // namespace quell::security
