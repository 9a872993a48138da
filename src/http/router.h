// One table of routes, and the one way through it. Order of the checks: who are you (401), where does it go (404), with this method (405), may you
// (403), from our own page (403), how big (413); only then is the body read and the handler called. Never a redirect.
//
// Threads: all calls from any thread. Borrows Engine and Accounts.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/id.h"
#include "base/result.h"
#include "engine/accounts.h"
#include "engine/engine.h"
#include "http/parse.h"
#include "http/request.h"
#include "types/reader.h"

namespace weir::http {

enum class Access {
  unset,
  open,       // anybody: the public paths of interfaces.md
  read,       // may_read()
  write,      // may_write()
  push,       // may_push() to the source in the path
  operator_,  // may_operate()
  local,      // the operator, by the unix socket or in process only
};

// Whose things a route touches, and so what the id in its pattern is. The router reads the id; the engine's call takes it with the caller's UserId.
enum class Owner {
  unset,
  nobody,  // nothing that belongs to a reader
  caller,  // what hangs on the caller's own UserId
  source,  // {source}: a subscription of the caller
  item,    // {item}: an item of a subscription of the caller
  token,   // {id}: a token of the caller
  user,    // {id}: a user; for the operator
};

// Where the handler runs: fast ones read and write the store; ingest ones wait for a parser child; slow ones for a network or a disk; hash ones run argon2id.
enum class Lane { fast, ingest, slow, hash };

struct Route;
struct RouterOptions {
  std::vector<std::string> trusted_proxies;  // addresses whose X-Forwarded-* are believed; loopback always is
  std::string assets;                        // a folder to serve the reader's pages from instead of the built-in ones
};

class Router;

// One admitted request on its way to its handler.
struct Call {
  Engine& engine;
  Accounts& accounts;
  const Router& router;
  const Request& request;
  const Route* route = nullptr;
  Principal who;          // user 0 on an open route that nobody signed in to
  Credential credential;  // what it was proved with
  Query query;
  SourceId source;      // of {source}
  ItemId item;          // of {item}
  std::int64_t id = 0;  // of {id}
  std::string rest;     // of {rest}: the end of the path
  std::string address;  // of the client, looked for behind trusted proxies
  bool tls = false;     // the client's own connection is encrypted
};

using Handler = Result<Response> (*)(Call&);

struct Route {
  Method method = Method::other;
  std::string_view path;  // "/api/items/{item}/why"
  Access access = Access::unset;
  Owner owner = Owner::unset;
  Handler handler = nullptr;
  std::string_view says;  // one line, for /api/openapi.json and docs/api.md
  // What a success is, by spaces: "200:" or another status, then a shape of openapi.cc or a media type; without a status 200; a status alone: no body.
  std::string_view answers;
  Lane lane = Lane::fast;
  std::size_t body = 0;  // bytes a body may have; 0: it has none
  // Parameters and members, "name:type" by spaces; "?" after the name: may be absent; "&" before it: in the query although there is a body. Types are JSON
  // Schema's, and of whole bodies: items (an array or JSON lines), opml, many (the members as one object, or an array of those).
  std::string_view accepts;
};

// Every route, in the order of docs/api.md. A route without a complete entry does not compile (routes.cc).
std::span<const Route> routes();

class Router {
 public:
  Router(Engine& engine, Accounts& accounts, RouterOptions options = {});

  // The head of a request, its body not yet read: the call to make, or the answer that says no.
  std::variant<Call, Response> admit(const Request& head) const;
  // Runs the handler of an admitted call, its request now complete. Every error becomes its status and JSON form.
  Response run(Call& call) const;
  // Both.
  Response answer(const Request& request) const;
  // An error that the server itself found: 400, 408, 413, 431, 503. For `retry_after` seconds > 0 a Retry-After header.
  Response refuse(int status, std::string_view code, std::string_view message, int retry_after = 0) const;

  // The answer to an error of a handler or of the store.
  Response fail_with(const Error& error) const;
  // How many answers there were with status 1xx … 5xx.
  std::array<std::uint64_t, 5> answered() const;

  const RouterOptions& options() const { return options_; }
  Engine& engine() const { return engine_; }
  Accounts& accounts() const { return accounts_; }

 private:
  void count(int status) const { answered_[static_cast<std::size_t>(status / 100 - 1)].fetch_add(1, std::memory_order_relaxed); }

  Engine& engine_;
  Accounts& accounts_;
  RouterOptions options_;
  mutable std::array<std::atomic<std::uint64_t>, 5> answered_{};
};

}  // namespace weir::http
