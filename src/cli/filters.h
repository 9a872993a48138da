// The commands that are filters on JSON lines, and `parse`: no server, no database (interfaces.md "Filters on JSON lines").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"

namespace weir::cli {

struct ParseArguments {
  bool raw = false;
  std::string base;
  std::vector<std::string> files;
};
int parse(const ParseArguments& arguments, bool as_json);

struct EncodeArguments {
  std::string model = "e5-small", precision, field;
  bool tokens = false;
  std::vector<std::string> files;
};
int encode(const EncodeArguments& arguments, bool as_json);

struct RankArguments {
  std::string signals, model = "e5-small";
  std::size_t limit = SIZE_MAX;
  bool why = false, with_model = true;
  std::optional<Time> now;
  std::vector<std::string> files;
};
int rank(const RankArguments& arguments, bool as_json);

struct GuardArguments {
  std::vector<std::string> files;
};
int guard_scan(const GuardArguments& arguments, bool as_json);

}  // namespace weir::cli
