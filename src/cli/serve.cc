#include "cli/serve.h"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/terminal.h"
#include "http/router.h"
#include "http/server.h"
#include "math/cpu.h"
#include "store/store.h"

namespace weir::cli {
namespace {

// DIR is served already: the names go to that server.
int join(const Options& options, const ServeArguments& arguments) {
  auto client = Client::open(options);
  if (!client) return print_error(client.error(), options.json);
  const bool well = add_names(*client, arguments.add, "", false);
  print_line("listening on " + client->address());
  return well ? done : failed;
}

Status set_passwords(Accounts& accounts, const std::vector<std::string>& passwords) {
  for (const std::string& given : passwords) {
    const std::size_t equals = given.find('=');
    if (equals == std::string::npos || equals == 0) return fail(Code::invalid, "must be USER=FILE", "--set-password");
    const std::string name = given.substr(0, equals);
    const std::string text = TRY(read_file(given.substr(equals + 1), 4096));
    const std::string_view password = std::string_view(text).substr(0, text.find_first_of("\r\n"));
    if (const Status fits = Accounts::check_password(password); !fits)  // before a user is made for it
      return fail(fits.error().code, fits.error().message, given.substr(equals + 1), "its first line is taken");
    auto user = accounts.user_named(name);
    if (!user && user.error().code == Code::not_found) user = accounts.add_user(name);
    if (!user) return std::unexpected(user.error());
    TRY(accounts.set_password(user->id, password));
  }
  return {};
}

// Somebody to read here: the first user is made when there is nobody. True when it was.
Result<bool> ensure_user(Accounts& accounts) {
  const auto user = accounts.first_user();
  if (user) return false;
  if (user.error().code != Code::not_found) return std::unexpected(user.error());
  TRY(accounts.add_user("reader"));
  return true;
}

constexpr std::string_view link_printed = "link_printed";

// The first user came by `weir add` or `weir import`, before any start: there is no way in yet.
bool nobody_was_let_in(Engine& engine, Accounts& accounts) {
  const auto user = accounts.first_user();
  const auto printed = engine.store().reader()->value(link_printed);
  return user && !user->has_password && printed && !*printed;
}

Status print_link(Engine& engine, Accounts& accounts, const std::string& address) {
  const User user = TRY(accounts.first_user());
  fmt::print(stderr, "sign in, once: http://{}/login?link={}\n", address, TRY(accounts.new_link(user.id)));
  return engine.store().write([](store::Writer& writer) { return writer.set_value(link_printed, "1"); });
}

}  // namespace

int serve(const Options& options, const ServeArguments& arguments) {
  // Signals are waited for below; every thread made from here on leaves them alone.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  // Each thread's own arena, and large answers kept for reuse, would hold what one burst needed.
  ::mallopt(M_ARENA_MAX, 2);            // NOLINT(concurrency-mt-unsafe): before any thread
  ::mallopt(M_MMAP_THRESHOLD, 65536);   // NOLINT(concurrency-mt-unsafe)
  ::mallopt(M_TRIM_THRESHOLD, 131072);  // NOLINT(concurrency-mt-unsafe)
  set_log_json(arguments.log_json || options.json);

  if (const auto row = math::choose_row(); !row) log_warn("serve", "{}", row.error().text());
  auto engine = Engine::open(
      {.data = options.data, .model = options.model, .model_name = options.model_name, .allow_net = options.allow_net, .program = "/proc/self/exe"});
  if (!engine) {
    if (engine.error().code == Code::unavailable && arguments.started_by_script) return join(options, arguments);
    return print_error(engine.error(), options.json);
  }
  Accounts accounts((*engine)->store(), (*engine)->clock());
  if (const Status set = set_passwords(accounts, arguments.passwords); !set) return print_error(set.error(), options.json);
  const auto made = ensure_user(accounts);
  if (!made) return print_error(made.error(), options.json);
  if (const Status started = (*engine)->start(); !started) return print_error(started.error(), options.json);

  const char* web = std::getenv("WEIR_WEB_DIR");  // NOLINT(concurrency-mt-unsafe): before any thread that could set it
  const http::Router router(**engine, accounts, {.trusted_proxies = arguments.trusted_proxies, .assets = web ? web : ""});
  auto server = http::Server::start(router, {.listen = arguments.listen, .socket = options.data / "weir.sock"});
  if (!server) {
    (*engine)->stop();
    return print_error(server.error(), options.json);
  }
  const std::string address = (*server)->address();
  if (const Status said = (*engine)->store().lock().say(fmt::format("pid {} http://{}", ::getpid(), address)); !said)
    log_warn("serve", "the lock file keeps no address: {}", said.error().text());
  print_line("listening on http://" + address);
  if (*made || arguments.started_by_script || nobody_was_let_in(**engine, accounts))
    if (const Status offered = print_link(**engine, accounts, address); !offered) print_error(offered.error(), options.json);
  if (const auto user = accounts.first_user(); user && arguments.add.empty())
    if (const auto sources = (*engine)->sources(user->id); sources && sources->empty()) fmt::print(stderr, "{}\n", no_sources);

  std::jthread adding([&] {
    if (arguments.add.empty()) return;
    auto client = Client::open(options);  // over our own socket, as any other command
    if (client) add_names(*client, arguments.add, "", false);
  });

  int caught = 0;
  sigwait(&signals, &caught);
  fmt::print(stderr, "stopping\n");
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);  // a second signal ends at once: what was answered is on disk
  (*server)->stop();
  adding.join();
  (*engine)->stop();
  return done;
}

}  // namespace weir::cli
