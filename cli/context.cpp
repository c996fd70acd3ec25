#include "cli/context.h"

#include <unistd.h>

#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "cli/view.h"
#include "common/base/disk.h"
#include "common/base/file.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/config/yaml.h"
#include "common/security/certificate.h"
#include "common/security/trust.h"
#include "common/wire/limits.h"

namespace quell::cli {
namespace {

std::string FileOf(const std::string& directory) { return directory + "/config.yaml"; }

void ReadContext(const config::YamlNode& name, const config::YamlNode& value, config::Problems& problems,
                 Contexts& out) {
  if (!IsPersonName(name.scalar)) problems.Add(name.At("a context's name has 1 to 64 of a-z, 0-9 and -"));
  Context context;
  config::MapReader map(value, problems, "a context");
  map.String("address", &context.address, config::kRequired);
  map.String("key_file", &context.key_file, config::kRequired);
  map.String("certificate_file", &context.certificate_file, config::kRequired);
  map.String("trust_file", &context.trust_file, config::kRequired);
  map.String("pin", &context.pin, config::kRequired);
  map.Finish();
  out.all[name.scalar] = std::move(context);
}

Contexts Parse(const std::string& path, const std::string& text, config::Problems& problems) {
  Contexts contexts;
  const config::YamlNode root = config::ParseYaml(path, text, problems);
  config::MapReader map(root, problems, "config.yaml");
  map.Entries("contexts", [&](const config::YamlNode& name, const config::YamlNode& value) {
    ReadContext(name, value, problems, contexts);
  });
  map.String("current", &contexts.current);
  const config::YamlNode* current = root.Find("current");
  if (current != nullptr && !contexts.current.empty() && contexts.all.count(contexts.current) == 0)
    problems.Add(current->At("there is no context of this name"));
  map.Finish();
  return contexts;
}

std::string Whole(const std::string& directory, const std::string& file) {
  return file.empty() || file.front() == '/' ? file : directory + "/" + file;
}

}  // namespace

std::string ConfigDirectory(const Surroundings& around) {
  const std::string base = around.environment("XDG_CONFIG_HOME");
  if (!base.empty() && base.front() == '/') return base + "/quell";
  const std::string home = around.environment("HOME");
  return home.empty() ? "" : home + "/.config/quell";
}

absl::StatusOr<Contexts> ReadContexts(const std::string& directory) {
  const std::string path = FileOf(directory);
  if (directory.empty() || access(path.c_str(), F_OK) != 0) return Contexts();
  FileTrust trust;
  trust.owner = geteuid();
  QUELL_ASSIGN_OR_RETURN(const std::string text, ReadTrustedFile(path, trust));
  config::Problems problems;
  Contexts contexts = Parse(path, text, problems);
  QUELL_RETURN_IF_ERROR(problems.ToStatus());
  return contexts;
}

absl::Status WriteContexts(const std::string& directory, const Contexts& contexts) {
  Json all = Json::object();
  for (const auto& [name, context] : contexts.all) {
    all[name] = {{"address", context.address},
                 {"key_file", context.key_file},
                 {"certificate_file", context.certificate_file},
                 {"trust_file", context.trust_file},
                 {"pin", context.pin}};
  }
  return RealDisk().WriteWhole(FileOf(directory),
                               YamlText(Json{{"contexts", all}, {"current", contexts.current}}));
}

absl::StatusOr<Context> FindContext(const std::string& directory, const Contexts& contexts,
                                    const std::string& wanted) {
  const auto found = contexts.all.find(wanted.empty() ? contexts.current : wanted);
  if (found == contexts.all.end()) {
    std::vector<std::string> names;
    for (const auto& [name, context] : contexts.all) names.push_back(name);
    return absl::NotFoundError(absl::StrCat(
        "there is no context ", wanted, " in ", directory.empty() ? "~/.config/quell" : directory,
        "/config.yaml",
        names.empty() ? "; `quell login` makes one" : "; there is: ", absl::StrJoin(names, ", ")));
  }
  Context context = found->second;
  for (std::string* file : {&context.key_file, &context.certificate_file, &context.trust_file})
    *file = Whole(directory, *file);
  return context;
}

absl::StatusOr<Identity> LoadIdentity(const Context& context, Micros wall_now) {
  Identity identity;
  QUELL_ASSIGN_OR_RETURN(identity.tls, security::LoadTlsIdentity(context.key_file, context.certificate_file));
  QUELL_ASSIGN_OR_RETURN(const std::string bytes,
                         RealDisk().Read(context.trust_file, wire::kMaxTrustBundleBytes));
  auto bundle = security::OpenTrustBundle(bytes, context.pin, wall_now);
  if (!bundle.ok()) return Annotate(bundle.status(), context.trust_file);
  const auto self = security::PeerFromCertificate(identity.tls.certificate_pem, *bundle, wall_now);
  const absl::Status allowed =
      self.ok() ? security::IsAllowed(*self, "responder", *bundle, wall_now) : self.status();
  if (!allowed.ok())
    return absl::PermissionDeniedError(absl::StrCat("your certificate is not accepted: ", allowed.message(),
                                                    "; `quell login --csr-out FILE` begins anew"));
  identity.person = self->id;
  identity.trust = std::make_shared<security::TrustHolder>(*std::move(bundle));
  return identity;
}

}  // namespace quell::cli
