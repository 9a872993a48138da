// The door alone, for its tests while `weir serve` is not there: dev_server DIR ADDR:PORT [USER=PASSWORD…]. Prints "listening on http://…".
#include <csignal>
#include <cstdio>
#include <string>

#include "engine/accounts.h"
#include "engine/engine.h"
#include "http/server.h"

int main(int argc, char** argv) {
  using namespace weir;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const std::string dir = argc > 1 ? argv[1] : "";
  auto engine = Engine::open({.data = dir, .model = false, .allow_net = {"127.0.0.0/8"}});
  if (!engine) return std::fprintf(stderr, "%s\n", engine.error().text().c_str()), 1;
  Accounts accounts((*engine)->store(), (*engine)->clock());
  if (const Status started = (*engine)->start(); !started) return std::fprintf(stderr, "%s\n", started.error().text().c_str()), 1;
  for (int i = 3; i < argc; ++i) {
    const std::string pair = argv[i];
    auto user = accounts.add_user(pair.substr(0, pair.find('=')));
    if (!user) user = accounts.user_named(pair.substr(0, pair.find('=')));
    if (const Status set = accounts.set_password(user->id, pair.substr(pair.find('=') + 1)); !set) return std::fprintf(stderr, "%s\n", set.error().text().c_str()), 1;
  }
  const http::Router router(**engine, accounts, {.assets = getenv("WEIR_WEB_DIR") ? getenv("WEIR_WEB_DIR") : ""});
  auto server = http::Server::start(router, {.listen = argc > 2 ? argv[2] : "127.0.0.1:0", .socket = dir + "/weir.sock"});
  if (!server) return std::fprintf(stderr, "%s\n", server.error().text().c_str()), 1;
  std::printf("listening on http://%s\n", (*server)->address().c_str());
  std::fflush(stdout);
  int got = 0;
  sigwait(&signals, &got);
  (*server)->stop();
  (*engine)->stop();
}
