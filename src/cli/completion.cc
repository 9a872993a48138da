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

// What bash and zsh have in common: from $command and $inner, and from the word before, to what is offered.
std::string cases(const CLI::App& app, const std::string& word_before) {
  std::string out = "  case \"$command $inner\" in\n";
  for (const CLI::App* sub : app.get_subcommands({}))
    for (const CLI::App* inner : sub->get_subcommands({}))
      out += fmt::format("    '{} {}') offered='{}' ;;\n", sub->get_name(), inner->get_name(), words_of(*inner));
  for (const CLI::App* sub : app.get_subcommands({})) out += fmt::format("    '{} '*) offered='{}' ;;\n", sub->get_name(), words_of(*sub));
  out += fmt::format("    *) offered='{}' ;;\n  esac\n  case \"$command {}\" in\n", words_of(app), word_before);
  for (const CLI::App* sub : app.get_subcommands({}))  // after an option that takes one of a few words
    for (const CLI::Option* option : sub->get_options())
      if (const std::string words = choices_of(*option); !words.empty())
        for (const std::string& name : option->get_lnames()) out += fmt::format("    '{} --{}') offered='{}' ;;\n", sub->get_name(), name, words);
  return out + "    *) ;;\n  esac\n";
}

constexpr std::string_view which_command =
    "      --data|--config) ((i++)) ;;\n      -*) ;;\n"
    "      *) if [[ -z $command ]]; then command=$typed; elif [[ -z $inner ]]; then inner=$typed; fi ;;\n    esac\n  done\n";

std::string bash(const CLI::App& app) {
  return fmt::format(
      "_weir() {{\n  local word=${{COMP_WORDS[COMP_CWORD]}} typed= command= inner= offered= i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    typed=${{COMP_WORDS[i]}}\n    case $typed in\n{}{}"
      "  COMPREPLY=($(compgen -W \"$offered\" -- \"$word\"))\n"
      "  [[ ${{#COMPREPLY[@]}} -eq 0 && $word != -* ]] && COMPREPLY=($(compgen -f -- \"$word\"))\n}}\ncomplete -o filenames -F _weir weir",
      which_command, cases(app, "${COMP_WORDS[COMP_CWORD-1]}"));
}

std::string zsh(const CLI::App& app) {
  return fmt::format(
      "#compdef weir\n_weir() {{\n  local typed= command= inner= offered= i\n  for ((i = 2; i < CURRENT; i++)); do\n    typed=$words[i]\n"
      "    case $typed in\n{}{}  compadd -- ${{=offered}} || {{ [[ $PREFIX != -* ]] && _files }}\n}}\n"
      // From a folder of completions this file is the function's first call; sourced, it names the function.
      "if [[ $funcstack[1] == _weir ]]; then\n  _weir \"$@\"\nelse\n"
      "  (( $+functions[compdef] )) || {{ autoload -U compinit && compinit -u }}\n  compdef _weir weir\nfi",
      which_command, cases(app, "$words[CURRENT-1]"));
}

bool takes_files(const CLI::App& app) {  // as its argument, or as one of its options
  const auto options = app.get_options();
  return std::any_of(options.begin(), options.end(), [](const CLI::Option* option) {
    const std::string type = option->get_type_name();
    return type.find("FILE") != std::string::npos || type.find("DIR") != std::string::npos;
  });
}

std::string fish(const CLI::App& app) {
  std::string out =
      "function __weir_words\n  set -l skip 0\n  for word in (commandline -opc)[2..]\n    if test $skip = 1\n      set skip 0\n    else\n      switch $word\n"
      "        case --data --config\n          set skip 1\n        case '-*'\n        case '*'\n          echo $word\n      end\n    end\n  end\nend\n"
      "function __weir_at\n  set -l words (__weir_words)\n  for i in (seq (count $argv))\n    test \"$words[$i]\" = $argv[$i]; or return 1\n  end\nend\n"
      "complete -c weir -f\n";
  // A command's own: options, the few words that it takes, files. `condition` says that the command is what is being typed.
  const auto own = [&](const CLI::App& of, const std::string& condition) {
    for (const CLI::Option* option : of.get_options())
      if (!option->get_group().empty())
        for (const std::string& name : option->get_lnames()) {
          const std::string words = choices_of(*option);
          const bool value = option->get_items_expected_max() > 0, file = option->get_type_name().find("FILE") != std::string::npos;
          out += fmt::format("complete -c weir {}-l {}{} -d '{}'\n", condition, name,
                             !words.empty() ? fmt::format(" -x -a '{}'", words)
                             : file         ? " -r -F"
                             : value        ? " -x"
                                            : "",
                             quoted(option->get_description()));
        }
    if (const std::string words = arguments_of(of); words.find_first_not_of(' ') != std::string::npos)
      out += fmt::format("complete -c weir {}-a '{}'\n", condition, words);
    if (!condition.empty() && takes_files(of)) out += fmt::format("complete -c weir {}-F\n", condition);
  };
  own(app, "");
  for (const CLI::App* sub : app.get_subcommands({})) {
    const std::string name = sub->get_name();
    out += fmt::format("complete -c weir -n 'test (count (__weir_words)) = 0' -a {} -d '{}'\n", name, quoted(sub->get_description()));
    const std::string at = fmt::format("__weir_at {}{}", name, sub->get_subcommands({}).empty() ? "" : "; and test (count (__weir_words)) = 1");
    for (const CLI::App* inner : sub->get_subcommands({})) {
      out += fmt::format("complete -c weir -n '{}' -a {} -d '{}'\n", at, inner->get_name(), quoted(inner->get_description()));
      own(*inner, fmt::format("-n '__weir_at {} {}' ", name, inner->get_name()));
    }
    own(*sub, fmt::format("-n '{}' ", at));
  }
  return out;
}

}  // namespace

std::string completion(const CLI::App& app, const std::string& shell) {
  if (shell == "fish") return fish(app);
  if (shell == "zsh") return zsh(app);
  return bash(app);
}

}  // namespace weir::cli
