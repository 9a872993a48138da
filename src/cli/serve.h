// `weir serve`: the engine, the door, and the wait for a signal.
#pragma once

#include <string>
#include <vector>

#include "cli/client.h"

namespace weir::cli {

struct ServeArguments {
  std::string listen = "127.0.0.1:8088";
  std::vector<std::string> passwords;  // USER=FILE
  std::vector<std::string> add;        // names to subscribe to once it listens
  std::vector<std::string> trusted_proxies;
  bool log_json = false, started_by_script = false;  // by scripts/run: join a server that is there, print a link every time
};

int serve(const Options& options, const ServeArguments& arguments);

}  // namespace weir::cli
