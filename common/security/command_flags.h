// The words of quell-controller's key commands: "--name VALUE" pairs. Internal to the room; one thread.
#pragma once
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "common/security/secret.h"

namespace quell::security {

struct Flags {
  std::map<std::string, std::vector<std::string>> values;

  std::string One(const std::string& name) const;  // the last one given; "" when none was
  std::vector<std::string> All(const std::string& name) const;
};

// False, with one line on `err` that begins with the program's name, at the first word that is not
// understood.
bool ParseFlags(const std::vector<std::string>& words, const std::vector<std::string>& known,
                const std::string& program, Flags& flags, std::ostream& err);

// The first line of --passphrase-file, at least 8 bytes; empty when it is not given. False, with one line on
// `err`, when it will not do.
bool ReadPassphrase(const Flags& flags, const std::string& program, Secret& out, std::ostream& err);

}  // namespace quell::security
