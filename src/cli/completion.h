// Completion scripts for shells, written from the commands themselves, so that they cannot lag behind.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace weir::cli {

std::string completion(const CLI::App& app, const std::string& shell);  // bash, zsh or fish

}  // namespace weir::cli
