#include "cli/completion.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

namespace weir::cli {
namespace {

std::string words_of(const CLI::App& app) {
  std::string out;
  for (const CLI::App* sub : app.get_subcommands({})) out += sub->get_name() + " ";
  for (const CLI::Option* option : app.get_options())
    if (!option->get_group().empty())
      for (const std::string& name : option->get_lnames()) out += "--" + name + " ";
  if (!out.empty()) out.pop_back();
  return out;
}

std::string quoted(std::string text) {  // inside '…' of a shell
  for (std::size_t at = 0; (at = text.find('\'', at)) != std::string::npos; at += 4) text.replace(at, 1, "'\\''");
  return text;
}

std::string bash(const CLI::App& app) {
  std::string out = "_weir() {\n  local word=${COMP_WORDS[COMP_CWORD]} command= inner= i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n    case ${COMP_WORDS[i]} in\n      --data|--config) ((i++)) ;;\n      -*) ;;\n"
                    "      *) if [[ -z $command ]]; then command=${COMP_WORDS[i]}; elif [[ -z $inner ]]; then inner=${COMP_WORDS[i]}; fi ;;\n    esac\n  done\n  local words=\n  case \"$command $inner\" in\n";
  for (const CLI::App* sub : app.get_subcommands({}))
    for (const CLI::App* inner : sub->get_subcommands({})) out += fmt::format("    '{} {}') words='{}' ;;\n", sub->get_name(), inner->get_name(), words_of(*inner));
  for (const CLI::App* sub : app.get_subcommands({})) out += fmt::format("    '{} '*) words='{}' ;;\n", sub->get_name(), words_of(*sub));
  out += fmt::format("    *) words='{}' ;;\n  esac\n", words_of(app));
  return out + "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n  [[ ${#COMPREPLY[@]} -eq 0 && $word != -* ]] && COMPREPLY=($(compgen -f -- \"$word\"))\n}\ncomplete -o filenames -F _weir weir";
}

std::string fish(const CLI::App& app) {
  std::string out = "complete -c weir -f\n";
  const auto options = [&](const CLI::App& of, const std::string& condition) {
    for (const CLI::Option* option : of.get_options())
      if (!option->get_group().empty())
        for (const std::string& name : option->get_lnames()) out += fmt::format("complete -c weir {}-l {} -d '{}'\n", condition, name, quoted(option->get_description()));
  };
  options(app, "");
  for (const CLI::App* sub : app.get_subcommands({})) {
    out += fmt::format("complete -c weir -n __fish_use_subcommand -a {} -d '{}'\n", sub->get_name(), quoted(sub->get_description()));
    const std::string within = fmt::format("-n '__fish_seen_subcommand_from {}' ", sub->get_name());
    for (const CLI::App* inner : sub->get_subcommands({})) out += fmt::format("complete -c weir {}-a {} -d '{}'\n", within, inner->get_name(), quoted(inner->get_description()));
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
