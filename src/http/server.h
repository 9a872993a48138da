// The listener: TCP and the unix socket DIR/weir.sock (0600; who may open it is the operator). Reads heads, asks the Router who may, reads bodies,
// lets handlers run on small pools, writes answers, keeps connections, streams events. One thread does all I/O and never waits for a handler.
//
// Limits: head 16 KiB and 10 s, body by route and 30 s (+1 s for 64 KiB), idle connection 75 s, answer 60 s without a byte taken, 2,048 connections.
// A full lane answers 503 with Retry-After at once.
//
// Threads: start() and stop() from one thread. Borrows the Router, which must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "http/router.h"

namespace weir::http {

struct ServerOptions {
  std::string listen = "127.0.0.1:8088";  // ADDR:PORT, [ADDR]:PORT; port 0 picks a free one; empty: no TCP
  std::filesystem::path socket;           // of the unix socket; empty: none
  std::size_t workers = 0;                // threads of the fast lane; 0: 2 … 4 by the machine
  std::size_t connections = 2048;
};

Status check_listen(std::string_view listen);  // invalid: not ADDR:PORT

class Server {
 public:
  // Errors: invalid (the address), io (in use, no right), exists (a live server answers on the socket).
  static Result<std::unique_ptr<Server>> start(const Router& router, ServerOptions options);
  ~Server();

  // "127.0.0.1:43211": what the client is told, with the port that was picked.
  std::string address() const;
  // Takes no more connections, ends streams, lets what runs finish; what still runs after 5 s waits for a network: then the engine is stopped, which ends
  // that too. Idempotent.
  void stop();

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace weir::http
