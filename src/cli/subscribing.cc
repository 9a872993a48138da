// add, import, export, fetch, sources.
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/embedded.h"
#include "cli/terminal.h"

namespace weir::cli {
namespace {

std::string text_of(const json::object& object, std::string_view key) { return std::string(find_string(object, key).value_or("")); }

bool looks_like_opml(std::string_view bytes) {
  std::string head(bytes.substr(0, 8192));
  std::erase(head, '\0');  // UTF-16
  return to_lower_ascii(head).find("<opml") != std::string::npos;
}

// What the server said of one name, for programs and for people.
struct Added {
  json::object answer;
  std::string text;
  std::vector<std::string> refused;  // of a list: what was passed over, and why; of a feed: what was mended or left out
  bool nothing = false;              // of a list: nothing in it was of use
};

Result<Added> import_bytes(Client& client, std::string_view bytes, const std::string& name) {
  const bool opml = looks_like_opml(bytes);
  const json::value answer = TRY(parse_json(TRY(client.call("POST", opml ? "/api/import" : "/api/import?kind=feed&name=" + percent_encoded(name), bytes,
                                                            opml ? "text/x-opml" : "application/octet-stream"))));
  const json::object& report = answer.get_object();
  if (opml) {
    std::string line = fmt::format("{} sources added, {} known", find_int(report, "added").value_or(0), find_int(report, "known").value_or(0));
    Added out{report, {}, {}, find_int(report, "added").value_or(0) + find_int(report, "known").value_or(0) == 0};
    if (const json::array* refused = find_array(report, "refused"))
      for (const json::value& one : *refused)
        if (const json::object* error = one.if_object())
          out.refused.push_back(text_of(*error, "message") + (text_of(*error, "where").empty() ? "" : ": " + text_of(*error, "where")));
    out.text = out.refused.empty() ? line : line + fmt::format(", {} passed over", out.refused.size());
    return out;
  }
  Added out{report, fmt::format("{} items stored, {} known", find_int(report, "stored").value_or(0), find_int(report, "duplicates").value_or(0)), {}, false};
  if (const json::array* warnings = find_array(report, "warnings"))
    for (const json::value& one : *warnings)
      if (one.is_string()) out.refused.emplace_back(one.get_string());
  return out;
}

// What is wrong with a file says which file, then the place in it.
Result<Added> import_path(Client& client, const std::string& name) {
  const std::string base = repair_utf8(std::filesystem::path(name).filename().string());
  auto added = import_bytes(client, TRY(read_file(name, std::size_t{64} << 20)), base);
  if (added) return added;
  Error error = added.error();
  error.where = error.where.empty() || error.where == base ? name : name + ", " + error.where;
  return std::unexpected(std::move(error));
}

Result<Added> add_one(Client& client, const std::string& name, const std::string& folder, bool files_only) {
  std::error_code error;
  const bool path = name == "-" || name.starts_with('/') || name.starts_with("./") || name.starts_with("../");
  if (files_only || path || std::filesystem::is_regular_file(name, error)) return import_path(client, name);
  json::object body{{"url", name}};
  if (!folder.empty()) body["folder"] = folder;
  const json::value answer = TRY(client.ask("POST", "/api/sources", body));
  const json::object& source = answer.get_object();
  std::string line =
      fmt::format("{} (source {}, {} items)", text_of(source, "title"), find_int(source, "id").value_or(0), find_int(source, "total").value_or(0));
  if (const json::array* others = find_array(source, "feeds")) {
    line += "; the page has more feeds:";
    for (const json::value& one : *others) line += fmt::format(" {}", text_of(one.as_object(), "url"));
  }
  return Added{source, line, {}, false};
}

// Without a server and before the first start nobody reads here: then this command makes the reader that serve would make.
Result<Client> open_to_add(const Options& options) {
  Client client = TRY(Client::open(options, true));
  if (!client.remote())
    if (const auto user = client.accounts()->first_user(); !user) {
      if (user.error().code != Code::not_found) return std::unexpected(user.error());
      TRY(client.accounts()->add_user("reader"));
    }
  return client;
}

}  // namespace

bool add_names(Client& client, const std::vector<std::string>& names, const std::string& folder, bool as_json, bool files_only) {
  std::vector<std::string> all;
  for (const std::string& name : names) {
    std::error_code error;
    if (!std::filesystem::is_directory(name, error)) {
      all.push_back(name);
      continue;
    }
    std::vector<std::string> inside;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(name, std::filesystem::directory_options::skip_permission_denied, error)) {
      static constexpr std::string_view feeds[] = {".xml", ".rss", ".atom", ".rdf", ".json", ".opml"};
      const std::string ending = to_lower_ascii(entry.path().extension().string());
      if (entry.is_regular_file(error) && std::find(std::begin(feeds), std::end(feeds), ending) != std::end(feeds)) inside.push_back(entry.path().string());
    }
    std::sort(inside.begin(), inside.end());
    all.insert(all.end(), inside.begin(), inside.end());
  }
  bool well = true;
  Bar bar("adding");
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all.size() > 3) bar.show(i, all.size());
    const auto added = add_one(client, all[i], folder, files_only);
    if (added) {
      json::object line{{"name", repair_utf8(all[i])}};
      line.insert(added->answer.begin(), added->answer.end());
      if (as_json) print_json(line);
      else {
        fmt::print(stderr, "{}: {}\n", plain(all[i]), plain(added->text));
        for (const std::string& one : added->refused) fmt::print(stderr, "{}:   {}\n", plain(all[i]), plain(one));
      }
      if (added->nothing) {
        well = false;
        print_error({Code::malformed, "no feed is in this list", all[i], "is it OPML that another reader exported?"}, as_json);
      }
    } else if (added.error().code == Code::exists) {
      if (as_json) print_json(json::object{{"name", repair_utf8(all[i])}, {"known", true}});
      else fmt::print(stderr, "{}: is there already\n", plain(all[i]));
    } else {
      well = false;
      Error named = added.error();
      if (named.where.empty()) named.where = all[i];
      print_error(named, as_json);
    }
  }
  return well;
}

int add(const Options& options, const std::vector<std::string>& names, const std::string& folder) {
  auto client = open_to_add(options);
  if (!client) return print_error(client.error(), options.json);
  return add_names(*client, names, folder, options.json) ? done : failed;
}

int import(const Options& options, const std::vector<std::string>& names, bool starter) {
  auto client = open_to_add(options);
  if (!client) return print_error(client.error(), options.json);
  if (starter) {
    const auto report = import_bytes(*client, starter_opml(), "starter.opml");
    if (!report) return print_error(report.error(), options.json);
    if (options.json) print_json(report->answer);
    else fmt::print(stderr, "starter list: {}\n", report->text);
  }
  return add_names(*client, names, "", options.json, true) ? done : failed;
}

int export_opml(const Options& options, const std::string& file) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  const auto opml = client->call("GET", "/api/export");
  if (!opml) return print_error(opml.error(), options.json);
  if (file.empty() || file == "-") {
    if (options.json) print_json(json::object{{"opml", *opml}});
    else print_line(trim(*opml));
    return done;
  }
  const Status written = write_file(file, *opml);
  if (!written) return print_error(written.error(), options.json);
  if (options.json) print_json(json::object{{"file", file}});
  return done;
}

int fetch(const Options& options, std::int64_t source) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  if (client->remote()) {
    const auto asked = client->ask("POST", source ? fmt::format("/api/sources/{}/refresh", source) : "/api/refresh");
    if (!asked) return print_error(asked.error(), options.json);
    if (options.json) print_json(json::object{{"fetching", true}});
    else fmt::print(stderr, "the server fetches now\n");
    return done;
  }
  const auto user = client->accounts()->first_user();
  if (!user) return print_error({Code::not_found, "nobody reads here yet", options.data.string(), "start with `weir serve`"}, options.json);
  Bar bar("fetching");
  const Status fetched = client->engine()->refresh_and_wait(user->id, SourceId{source}, [&](std::size_t now, std::size_t of) { bar.show(now, of); });
  if (!fetched) return print_error(fetched.error(), options.json);
  const auto all = client->engine()->sources(user->id);
  if (!all) return print_error(all.error(), options.json);
  if (all->empty() && !options.json) fmt::print(stderr, "{}\n", no_sources);
  std::size_t well = 0, ill = 0;
  for (const Subscription& one : *all) {
    if (one.source.kind != SourceKind::feed || (source && one.source.id.value != source)) continue;
    if (one.source.health == Health::ok) {
      ++well;
      continue;
    }
    ++ill;
    const std::string name = one.title.empty() ? one.source.title : one.title;
    print_error({Code::unavailable, one.source.error, fmt::format("source {}{}", one.source.id.value, name.empty() ? "" : ", " + name), ""}, options.json);
  }
  if (options.json) print_json(json::object{{"fetched", well}, {"failing", ill}});
  return ill ? failed : done;
}

namespace {

constexpr std::int64_t keep_by_default = 365, keep_starred_by_default = 0;  // as the API says

std::string days_text(std::int64_t days) { return days == 0 ? "for ever" : fmt::format("{} days", days); }

// The settings that say how long items stay are two of a reader's; the others go back as they came.
int keep(Client& client, const Options& options, const SourceArguments& arguments) {
  auto settings = client.ask("GET", "/api/settings");
  if (!settings) return print_error(settings.error(), options.json);
  json::object& own = settings->as_object();
  if (arguments.keep_days) own["keep_days"] = *arguments.keep_days;
  if (arguments.keep_starred_days) own["keep_starred_days"] = *arguments.keep_starred_days;
  if (arguments.keep_days || arguments.keep_starred_days)
    if (const auto saved = client.ask("PUT", "/api/settings", own); !saved) return print_error(saved.error(), options.json);
  const auto answer = client.ask("GET", "/api/sources");
  if (!answer) return print_error(answer.error(), options.json);
  const std::int64_t in_all = find_int(own, "keep_days").value_or(keep_by_default);
  const std::int64_t starred = find_int(own, "keep_starred_days").value_or(keep_starred_by_default);
  json::array others;
  std::vector<std::vector<std::string>> rows{{"", days_text(in_all), "all sources"}, {"", days_text(starred), "what has a star"}};
  if (const json::array* all = find_array(answer->get_object(), "sources"))
    for (const json::value& one : *all) {
      const json::object& source = one.get_object();
      const auto days = find_int(source, "keep_days");
      if (!days) continue;
      const std::int64_t id = find_int(source, "id").value_or(0);
      others.push_back(json::object{{"id", id}, {"title", text_of(source, "title")}, {"keep_days", *days}});
      rows.push_back({std::to_string(id), days_text(*days), text_of(source, "title")});
    }
  if (options.json) print_json(json::object{{"keep_days", in_all}, {"keep_starred_days", starred}, {"sources", std::move(others)}});
  else print_table({"ID", "ITEMS STAY", "OF"}, rows);
  return done;
}

}  // namespace

int sources(const Options& options, const SourceArguments& arguments) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  if (arguments.action == "keep") return keep(*client, options, arguments);
  if (arguments.action == "remove") {
    const auto gone = client->ask("DELETE", fmt::format("/api/sources/{}", arguments.id));
    if (!gone) return print_error(gone.error(), options.json);
    if (options.json) print_json(json::object{{"removed", arguments.id}});
    return done;
  }
  if (arguments.action == "push") {
    const auto made = client->ask("POST", "/api/sources", json::object{{"push", true}, {"title", arguments.title.value_or("pushed")}});
    if (!made) return print_error(made.error(), options.json);
    if (options.json) print_json(*made);
    else print_line(std::to_string(find_int(made->get_object(), "id").value_or(0)));
    return done;
  }
  if (arguments.action == "edit") {
    json::object edit;
    if (arguments.title) edit["title"] = *arguments.title;
    if (arguments.folder) edit["folder"] = *arguments.folder;
    if (arguments.url) edit["url"] = *arguments.url;
    if (arguments.keep_days) edit["keep_days"] = *arguments.keep_days;
    if (arguments.keep_as_all) edit["keep_days"] = nullptr;
    const auto changed = client->ask("PATCH", fmt::format("/api/sources/{}", arguments.id), edit);
    if (!changed) return print_error(changed.error(), options.json);
    if (options.json) print_json(*changed);
    return done;
  }
  const auto answer = client->ask("GET", "/api/sources");
  if (!answer) return print_error(answer.error(), options.json);
  if (options.json) {
    print_json(*answer);
    return done;
  }
  std::vector<std::vector<std::string>> rows;
  const json::array* all = answer->is_array() ? answer->if_array() : find_array(answer->get_object(), "sources");
  if (all)
    for (const json::value& one : *all) {
      const json::object& source = one.get_object();
      const std::string health = text_of(source, "health");
      rows.push_back({std::to_string(find_int(source, "id").value_or(0)), std::to_string(find_int(source, "unread").value_or(0)),
                      std::to_string(find_int(source, "total").value_or(0)), health, text_of(source, "folder"),
                      text_of(source, "title") + (health == "ok" ? "" : " — " + text_of(source, "error"))});
    }
  if (rows.empty()) fmt::print(stderr, "{}\n", no_sources);
  print_table({"ID", "UNREAD", "TOTAL", "HEALTH", "FOLDER", "TITLE"}, rows);
  return done;
}

}  // namespace weir::cli
