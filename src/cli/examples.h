// What `weir COMMAND --help` closes with: the command as people use it.
#pragma once

#include <string_view>

namespace weir::cli {

std::string_view examples(std::string_view command);  // lines, each a command and what it is for; empty for a command that has none

}  // namespace weir::cli
