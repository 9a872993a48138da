#include "types/reader.h"

#include <array>

namespace weir {
namespace {
constexpr std::array<std::string_view, 5> names{"read", "write", "ingest", "agent", "operator"};
}

std::string_view to_string(Scope scope) { return names[static_cast<std::size_t>(scope)]; }

std::optional<Scope> scope_named(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return static_cast<Scope>(i);
  return std::nullopt;
}

}  // namespace weir
