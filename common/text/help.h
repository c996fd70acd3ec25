// What a program's descriptors (CLI11's, the same as --help prints) say, for a manual page and for completion
// in shells. Pure functions; every description goes through the sink's escaping.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace quell::text {

struct Manual {
  int section = 1;
  std::string version;
  std::string closing;  // further troff sections, ours: files, exit status
};

// troff's man macros; see man(7).
std::string ManualPage(const CLI::App& app, const Manual& manual);
// Of a program whose help is a text of its own: its first line "name: what it does", then as it stands.
std::string ManualPage(std::string_view usage, const Manual& manual);
// "bash" or "zsh"; nullopt for another shell.
std::optional<std::string> Completion(const CLI::App& app, std::string_view shell);

// What the build asks a program for: the one word --man, --completion-bash or --completion-zsh; nullopt when
// it was asked for something else.
std::optional<std::string> PackagingText(const CLI::App& app, const Manual& manual,
                                         const std::vector<std::string>& words);

}  // namespace quell::text
