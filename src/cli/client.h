// How a command reaches Weir: over DIR/weir.sock when a server runs there, else in this process. The same requests, the same answers.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "engine/accounts.h"
#include "engine/engine.h"

namespace weir::cli {

struct Options {               // what stands before the command
  std::filesystem::path data;  // DIR
  bool json = false, model = true;
  std::string model_name = "e5-small";
  std::vector<std::string> allow_net;
  std::string listen;  // where a server would, by command line, config or default
};

class Client {
 public:
  // Errors: not_found (no DIR, and `create` is false), and those of Engine::open.
  static Result<Client> open(const Options& options, bool create = false);
  Client(Client&&) noexcept;
  ~Client();

  // The body of a 2xx answer; anything else as its error. `user` names a reader; empty: the first.
  Result<std::string> call(std::string_view method, std::string_view target, std::string_view body = {}, std::string_view type = "application/json");
  Result<json::value> ask(std::string_view method, std::string_view target, const json::value& body = nullptr);

  bool remote() const;          // a server answers
  std::string address() const;  // where it listens, as its lock says
  Engine* engine();             // null when remote
  Accounts* accounts();

 private:
  struct Parts;
  explicit Client(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

std::string percent_encoded(std::string_view text);  // for a query value

}  // namespace weir::cli
