#include "common/text/help.h"

#include <CLI/CLI.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"

namespace quell::text {
namespace {

// Nothing at a line's beginning is a request, and a hyphen is what is typed.
std::string Troff(std::string_view text) {
  std::string out;
  bool begins = true;
  for (const char c : text) {
    if (begins && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      out += c;
    }
    begins = c == '\n';
  }
  return out;
}

// Inside single quotes of a shell.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

bool Shown(const CLI::Option* option) { return !option->get_group().empty(); }

// Those of `app` that its program doesn't have for all its verbs.
std::vector<const CLI::Option*> Options(const CLI::App& app, const CLI::App& program) {
  return app.get_options([&](const CLI::Option* option) {
    if (!Shown(option)) return false;
    return &app == &program || option->get_positional() ||
           program.get_option_no_throw(option->get_name()) == nullptr;
  });
}

std::vector<const CLI::App*> Verbs(const CLI::App& app) {
  return app.get_subcommands(
      [](const CLI::App* verb) { return !verb->get_name().empty() && !verb->get_group().empty(); });
}

std::vector<std::string> Spellings(const CLI::Option& option) {
  std::vector<std::string> out;
  for (const std::string& name : option.get_snames()) out.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) out.push_back("--" + name);
  return out;
}

std::string OptionText(const CLI::Option& option) {
  std::string head;
  if (option.get_positional()) {
    head = absl::StrCat("\\fI", Troff(option.get_name(true)), "\\fR");
  } else {
    head = absl::StrCat("\\fB", Troff(absl::StrJoin(Spellings(option), ", ")), "\\fR");
    if (option.get_items_expected_max() > 0) absl::StrAppend(&head, " \\fIVALUE\\fR");
  }
  std::string text = Troff(option.get_description());
  if (!option.get_default_str().empty())
    absl::StrAppend(&text, " (", Troff(option.get_default_str()), " unless said)");
  return absl::StrCat(".TP\n", head, "\n", text, "\n");
}

void AppendVerbs(const CLI::App& app, const CLI::App& program, const std::string& path, std::string& out) {
  for (const CLI::App* verb : Verbs(app)) {
    const std::string name = absl::StrCat(path, " ", verb->get_name());
    absl::StrAppend(&out, ".SS ", Troff(name), "\n", Troff(verb->get_description()), "\n");
    for (const CLI::Option* option : Options(*verb, program)) {
      if (option != verb->get_help_ptr()) out += OptionText(*option);
    }
    AppendVerbs(*verb, program, name, out);
  }
}

std::string Heading(const std::string& name, std::string_view what, const Manual& manual) {
  return absl::StrCat(".TH ", absl::AsciiStrToUpper(name), " ", manual.section, " \"\" \"quell ",
                      manual.version, "\" \"quell\"\n.SH NAME\n", Troff(name), " \\- ", Troff(what), "\n");
}

// ---- completion: what may stand at each place, by the verbs that stand before it

struct Candidate {
  std::string word;
  std::string description;
};

struct Place {
  std::string path;  // " agent token"; "" is the program
  std::vector<Candidate> candidates;
};

void Gather(const CLI::App& app, const std::string& path, std::vector<Place>& places) {
  Place place{path, {}};
  for (const CLI::App* verb : Verbs(app))
    place.candidates.push_back({verb->get_name(), verb->get_description()});
  for (const CLI::Option* option : app.get_options(Shown)) {
    for (const std::string& word : Spellings(*option))
      place.candidates.push_back({word, option->get_description()});
  }
  places.push_back(std::move(place));
  for (const CLI::App* verb : Verbs(app)) Gather(*verb, absl::StrCat(path, " ", verb->get_name()), places);
}

std::string Patterns(const std::vector<Place>& places) {
  std::vector<std::string> paths;
  for (const Place& place : places) {
    if (!place.path.empty()) paths.push_back(Quoted(place.path));
  }
  return paths.empty() ? "''" : absl::StrJoin(paths, "|");
}

std::string Bash(const std::string& name, const std::vector<Place>& places) {
  std::string out =
      absl::StrCat("# bash completion for ", name, "\n_", absl::StrReplaceAll(name, {{"-", "_"}}), "() {\n",
                   "  local path='' word words=''\n",
                   "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n", "    case \"$path $word\" in ",
                   Patterns(places), ") path=\"$path $word\" ;; esac\n", "  done\n  case $path in\n");
  for (const Place& place : places) {
    std::vector<std::string> words;
    for (const Candidate& candidate : place.candidates) words.push_back(candidate.word);
    absl::StrAppend(&out, "    ", Quoted(place.path), ") words=", Quoted(absl::StrJoin(words, " ")), " ;;\n");
  }
  absl::StrAppend(
      &out, "  esac\n  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"${COMP_WORDS[COMP_CWORD]}\")\n}\n",
      "complete -o default -F _", absl::StrReplaceAll(name, {{"-", "_"}}), " ", name, "\n");
  return out;
}

std::string Zsh(const std::string& name, const std::vector<Place>& places) {
  std::string out =
      absl::StrCat("#compdef ", name, "\nlocal at='' word\nlocal -a candidates\n",
                   "for word in \"${(@)words[2,CURRENT-1]}\"; do\n", "  case \"$at $word\" in (",
                   Patterns(places), ") at=\"$at $word\" ;; esac\ndone\ncase $at in\n");
  for (const Place& place : places) {
    absl::StrAppend(&out, "  (", Quoted(place.path), ") candidates=(\n");
    for (const Candidate& candidate : place.candidates) {
      const std::string word = absl::StrReplaceAll(candidate.word, {{":", "\\:"}});
      absl::StrAppend(&out, "    ", Quoted(absl::StrCat(word, ":", candidate.description)), "\n");
    }
    absl::StrAppend(&out, "  ) ;;\n");
  }
  absl::StrAppend(&out, "esac\n_describe ", name, " candidates || _files\n");
  return out;
}

}  // namespace

std::string ManualPage(const CLI::App& app, const Manual& manual) {
  const std::string& name = app.get_name();
  const std::string& description = app.get_description();  // "name: what it does", or without the name
  const std::string what(absl::StripPrefix(description, name + ": "));
  std::string out = Heading(name, what, manual);
  absl::StrAppend(&out, ".SH SYNOPSIS\n\\fB", Troff(name), "\\fR [\\fIoptions\\fR]",
                  Verbs(app).empty() ? "" : " \\fIcommand\\fR …", "\n.SH OPTIONS\n");
  for (const CLI::Option* option : Options(app, app)) out += OptionText(*option);
  if (!Verbs(app).empty()) out += ".SH COMMANDS\n";
  AppendVerbs(app, app, name, out);
  return out + manual.closing;
}

std::string ManualPage(std::string_view usage, const Manual& manual) {
  const size_t colon = usage.find(": ");
  const size_t line = usage.find('\n');
  const std::string name(usage.substr(0, colon));
  const std::string text(
      absl::StripSuffix(std::string(usage.substr(usage.find_first_not_of('\n', line))), "\n"));
  return absl::StrCat(Heading(name, usage.substr(colon + 2, line - colon - 2), manual), ".SH SYNOPSIS\n.nf\n",
                      Troff(text), "\n.fi\n", manual.closing);
}

std::optional<std::string> Completion(const CLI::App& app, std::string_view shell) {
  std::vector<Place> places;
  Gather(app, "", places);
  if (shell == "bash") return Bash(app.get_name(), places);
  if (shell == "zsh") return Zsh(app.get_name(), places);
  return std::nullopt;
}

std::optional<std::string> PackagingText(const CLI::App& app, const Manual& manual,
                                         const std::vector<std::string>& words) {
  if (words.size() != 1) return std::nullopt;
  if (words[0] == "--man") return ManualPage(app, manual);
  if (words[0] == "--completion-bash") return Completion(app, "bash");
  if (words[0] == "--completion-zsh") return Completion(app, "zsh");
  return std::nullopt;
}

}  // namespace quell::text
