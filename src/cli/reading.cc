// list, search, read, why, like, dislike, star.
#include <fmt/format.h>

#include "base/text.h"
#include "base/time.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "types/item.h"

namespace weir::cli {
namespace {

std::string text_of(const json::object& object, std::string_view key) { return std::string(find_string(object, key).value_or("")); }

// "5m", "3h", "2d", then the date.
std::string age(std::string_view rfc3339) {
  const auto time = parse_rfc3339(rfc3339);
  if (!time) return "";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(SystemClock().now() - *time).count();
  if (seconds < 3600) return fmt::format("{}m", std::max<std::int64_t>(seconds / 60, 0));
  if (seconds < 86400) return fmt::format("{}h", seconds / 3600);
  if (seconds < 86400 * 30) return fmt::format("{}d", seconds / 86400);
  return std::string(rfc3339.substr(0, 10));
}

Result<std::vector<std::pair<std::int64_t, std::string>>> source_titles(Client& client) {
  std::vector<std::pair<std::int64_t, std::string>> out;
  const json::value answer = TRY(client.ask("GET", "/api/sources"));
  const json::array* sources = answer.is_array() ? answer.if_array() : answer.is_object() ? find_array(answer.get_object(), "sources") : nullptr;
  if (sources)
    for (const json::value& one : *sources)
      if (const json::object* source = one.if_object()) out.emplace_back(find_int(*source, "id").value_or(0), text_of(*source, "title"));
  return out;
}

Status show_list(Client& client, const Options& options, const ListArguments& arguments) {
  std::string target =
      fmt::format("/api/items?order={}&state={}&limit={}&bodies={}", arguments.order, arguments.state, arguments.limit, options.json ? "true" : "false");
  if (arguments.source) target += fmt::format("&source={}", arguments.source);
  if (!arguments.folder.empty()) target += "&folder=" + percent_encoded(arguments.folder);
  if (!arguments.text.empty()) target += "&q=" + percent_encoded(arguments.text);
  if (!arguments.cursor.empty()) target += "&cursor=" + percent_encoded(arguments.cursor);
  const json::value answer = TRY(client.ask("GET", target));
  if (options.json) {
    print_json(answer);
    return {};
  }
  const auto titles = TRY(source_titles(client));
  std::vector<std::vector<std::string>> rows;
  const json::array* items = answer.is_object() ? find_array(answer.get_object(), "items") : nullptr;
  if (items)
    for (const json::value& one : *items) {
      const json::object* item = one.if_object();
      const json::object* weir = item ? find_object(*item, "_weir") : nullptr;
      if (!weir) continue;
      std::string source;
      for (const auto& [id, title] : titles)
        if (id == find_int(*weir, "source")) source = title;
      const std::string mark = find_bool(*weir, "starred").value_or(false) ? "*" : find_bool(*weir, "read").value_or(false) ? " " : "•";
      rows.push_back({std::to_string(find_int(*weir, "id").value_or(0)), mark, age(text_of(*weir, "at")), plain(source, 24), text_of(*item, "title")});
    }
  if (rows.empty()) fmt::print(stderr, "{}\n", titles.empty() ? no_sources : "nothing here");
  if (arguments.order == "ranked") {
    const json::value me = TRY(client.ask("GET", "/api/me"));
    const json::object* taste = me.is_object() ? find_object(me.get_object(), "taste") : nullptr;
    if (taste && !find_bool(*taste, "enough").value_or(true))
      fmt::print(stderr,
                 "Weir does not know enough about you yet: {} of 10 signals. Until then the order is mostly by time: open, star, like and dislike items\n",
                 find_int(*taste, "signals").value_or(0));
  }
  print_table({"ID", " ", "AGE", "SOURCE", "TITLE"}, rows);
  if (const auto cursor = find_string(answer.get_object(), "cursor")) fmt::print(stderr, "more: --cursor {}\n", *cursor);
  return {};
}

}  // namespace

int list(const Options& options, const ListArguments& arguments) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  const Status shown = show_list(*client, options, arguments);
  return shown ? done : print_error(shown.error(), options.json);
}

int read(const Options& options, std::int64_t id, bool keep_unread) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  const auto answer = client->ask("GET", fmt::format("/api/items/{}", id));
  if (!answer) return print_error(answer.error(), options.json);
  if (!keep_unread)
    if (const auto marked = client->ask("PATCH", fmt::format("/api/items/{}", id), json::object{{"read", true}}); !marked)
      return print_error(marked.error(), options.json);
  if (options.json) {
    print_json(*answer);
    return done;
  }
  const auto item = item_from_json(*answer);
  if (!item) return print_error(item.error(), options.json);
  print_line(bold(plain(item->title)));
  std::string line;
  for (const Author& author : item->authors) line += (line.empty() ? "" : ", ") + author.name;
  if (item->date_published) line += (line.empty() ? "" : " · ") + to_rfc3339(*item->date_published);
  if (!line.empty()) print_line(dim(plain(line)));
  if (!item->url.empty()) print_line(dim(plain(item->url)));
  print_line("");
  const std::string text = !item->content_text.empty()   ? item->content_text
                           : !item->content_html.empty() ? text_of_clean_html(item->content_html)
                                                         : item->summary;
  print_line(plain(text));
  for (const Attachment& attachment : item->attachments) print_line(dim(plain(attachment.url)));
  return done;
}

int why(const Options& options, std::int64_t id) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  const auto answer = client->ask("GET", fmt::format("/api/items/{}/why", id));
  if (!answer) return print_error(answer.error(), options.json);
  if (options.json) {
    print_json(*answer);
    return done;
  }
  const json::object& score = answer->get_object();
  if (!find_bool(score, "enough").value_or(false))
    print_line(fmt::format("Weir does not know enough yet: {} of 10 signals. Until then new items come first, and sources you open.",
                           find_int(score, "signals").value_or(0)));
  if (const json::array* parts = find_array(score, "why"))
    for (const json::value& one : *parts) {
      const json::object& part = one.get_object();
      print_line(fmt::format("{:+8.3f}  {}", find_number(part, "value").value_or(0), plain(text_of(part, "part"))));
      if (const json::array* from = find_array(part, "from"))
        for (const json::value& cause : *from) {
          const json::object& past = cause.get_object();
          const std::string title = text_of(past, "title");
          print_line(dim(fmt::format("{:+8.3f}    {}", find_number(past, "value").value_or(0), plain(title.empty() ? text_of(past, "item") : title, 80))));
        }
    }
  print_line(bold(fmt::format("{:+8.3f}  score", find_number(score, "score").value_or(0))));
  return done;
}

int signal(const Options& options, const std::string& kind, const std::vector<std::int64_t>& ids) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  json::array signals;
  for (const std::int64_t id : ids) signals.push_back({{"item", id}, {"kind", kind}});
  const auto answer = client->ask("POST", "/api/signals", signals);
  if (!answer) return print_error(answer.error(), options.json);
  if (options.json) print_json(*answer);
  return done;
}

int star(const Options& options, const std::vector<std::int64_t>& ids, bool undo) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  for (const std::int64_t id : ids) {
    const auto answer = client->ask("PATCH", fmt::format("/api/items/{}", id), json::object{{"starred", !undo}});
    if (!answer) return print_error(answer.error(), options.json);
    if (options.json) print_json(*answer);
  }
  return done;
}

}  // namespace weir::cli
