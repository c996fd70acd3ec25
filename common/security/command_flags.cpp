#include "common/security/command_flags.h"

#include <algorithm>

namespace quell::security {

std::string Flags::One(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? "" : found->second.back();
}

std::vector<std::string> Flags::All(const std::string& name) const {
  const auto found = values.find(name);
  return found == values.end() ? std::vector<std::string>{} : found->second;
}

bool ParseFlags(const std::vector<std::string>& words, const std::vector<std::string>& known,
                const std::string& program, Flags& flags, std::ostream& err) {
  for (size_t i = 0; i < words.size(); i += 2) {
    const bool is_known = std::find(known.begin(), known.end(), words[i]) != known.end();
    if (!is_known || i + 1 >= words.size()) {
      err << program << (is_known ? ": this option needs a value: " : ": no such option: ") << words[i]
          << "\n";
      return false;
    }
    flags.values[words[i]].push_back(words[i + 1]);
  }
  return true;
}

bool ReadPassphrase(const Flags& flags, const std::string& program, Secret& out, std::ostream& err) {
  const std::string file = flags.One("--passphrase-file");
  if (file.empty()) return true;
  auto passphrase = ReadSecretFile(file);
  if (!passphrase.ok()) {
    err << program << ": " << passphrase.status().message() << "\n";
    return false;
  }
  std::string line = passphrase->Reveal().substr(0, passphrase->Reveal().find('\n'));
  if (line.size() < 8) {
    err << program << ": the passphrase in " << file << " is shorter than 8 bytes\n";
    return false;
  }
  out = Secret(std::move(line));
  return true;
}

}  // namespace quell::security
