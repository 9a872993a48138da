// What stood where something else was expected, short enough for an error.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "base/text.h"

namespace weir {

inline std::string shown(std::string_view text) {
  constexpr std::size_t most = 40;
  return text.size() <= most ? repair_utf8(text) : repair_utf8(text.substr(0, most)) + "…";
}
inline std::string shown(const json::value* found) { return found == nullptr ? "nothing" : shown(json::serialize(*found)); }

}  // namespace weir
