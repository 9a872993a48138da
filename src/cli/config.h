// Where DIR is and what the config file says. The command line wins over the file, the file over the defaults.
#pragma once

#include <string>
#include <vector>

#include "cli/client.h"

namespace weir::cli {

// The file (TOML): listen = "…", allow_net = ["…"], model = "e5-small" | false. Errors: malformed with file and line, invalid (an unknown key).
Status settle(Options& options, const std::string& data, const std::string& config_file, const std::vector<std::string>& allow_net, bool no_model,
              std::string& listen);

}  // namespace weir::cli
