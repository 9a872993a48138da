#include "cli/completion.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace weir::cli {
namespace {

// The words that an option or argument takes, when it takes one of a few: CLI11 writes them as "TEXT:{one,two}".
std::string choices_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto begin = type.find('{'), end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return "";
  std::string out = type.substr(begin + 1, end - begin - 1);
  std::replace(out.begin(), out.end(), ',', ' ');
  return out;
}

// Of the arguments without a name.
std::string arguments_of(const CLI::App& app) {
  std::string out;
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional() && option->get_lnames().empty()) out += choices_of(*option) + " ";
  return out;
}

std::string words_of(const CLI::App& app) {
  std::string out;
  for (const CLI::App* sub : app.get_subcommands({})) out += sub->get_name() + " ";
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty())
      for (const std::string& name : option->get_lnames()) out += "--" + name + " ";
  out += arguments_of(app);
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

std::string quoted(std::string text) {  // inside '…' of a shell
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4) text.replace(at, 1, "'\\''");
  return text;
}

std::string bash(const CLI::App& app) {
  std::string out =
      "_weir() {\n  local word=${COMP_WORDS[COMP_CWORD]} command= inner= i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n    case ${COMP_WORDS[i]} in\n      "
      "--data|--config) ((i++)) ;;\n      -*) ;;\n"
      "      *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; elif [[ -z $inner ]]; then inner=${COMP_WORDS[i]}; fi ;;\n    esac\n  done\n  local "
      "words=\n  case \"$command $inner\" in\n";
  for (const CLI::App* sub : app.get_subcommands({}))
    for (const CLI::App* inner : sub->get_subcommands({}))
      out += fmt::format("    '{} {}') words='{}' ;;\n", sub->get_name(), inner->get_name(), words_of(*inner));
  for (const CLI::App* sub : app.get_subcommands({})) out += fmt::format("    '{} '*) words='{}' ;;\n", sub->get_name(), words_of(*sub));
  out += fmt::format("    *) words='{}' ;;\n  esac\n  case \"$command ${{COMP_WORDS[COMP_CWORD-1]}}\" in\n", words_of(app));
  const auto choices = [&](const CLI::App& of, const std::string& command) {  // after an option that takes one of a few words
    for (const CLI::Option* option : of.get_options())
      if (const std::string words = choices_of(*option); !words.empty())
        for (const std::string& name : option->get_lnames()) out += fmt::format("    '{} --{}') words='{}' ;;\n", command, name, words);
  };
  for (const CLI::App* sub : app.get_subcommands({})) choices(*sub, sub->get_name());
  out += "    *) ;;\n  esac\n";
  return out +
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n  [[ ${#COMPREPLY[@]} -eq 0 && $word != -* ]] && COMPREPLY=($(compgen -f -- "
         "\"$word\"))\n}\ncomplete -o filenames -F _weir weir";
}

std::string fish(const CLI::App& app) {
  std::string out = "complete -c weir -f\n";
  const auto options = [&](const CLI::App& of, const std::string& condition) {
    for (const CLI::Option* option : of.get_options())
      if (!option->get_group().empty())
        for (const std::string& name : option->get_lnames()) {
          const std::string words = choices_of(*option);
          out += fmt::format("complete -c weir {}-l {}{} -d '{}'\n", condition, name, words.empty() ? "" : fmt::format(" -x -a '{}'", words),
                             quoted(option->get_description()));
        }
  };
  options(app, "");
  for (const CLI::App* sub : app.get_subcommands({})) {
    out += fmt::format("complete -c weir -n __fish_use_subcommand -a {} -d '{}'\n", sub->get_name(), quoted(sub->get_description()));
    const std::string within = fmt::format("-n '__fish_seen_subcommand_from {}' ", sub->get_name());
    for (const CLI::App* inner : sub->get_subcommands({}))
      out += fmt::format("complete -c weir {}-a {} -d '{}'\n", within, inner->get_name(), quoted(inner->get_description()));
    if (const std::string words = arguments_of(*sub); words.find_first_not_of(' ') != std::string::npos)
      out += fmt::format("complete -c weir {}-a '{}'\n", within, words);
    options(*sub, within);
    out += fmt::format("complete -c weir {}-F\n", within);
  }
  return out;
}

}  // namespace

std::string completion(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") return fish(app);
  if (shell == "zsh") return "autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n" + bash(app);
  return bash(app);
}

}  // namespace weir::cli
