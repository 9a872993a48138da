#include "types/signal.h"

#include <array>

namespace weir {
namespace {
constexpr std::array<std::string_view, 7> names{"like", "dislike", "open", "finish", "dismiss", "star", "hide"};
}

std::string_view to_string(SignalKind kind) { return names[static_cast<std::size_t>(kind)]; }

std::optional<SignalKind> signal_kind(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return static_cast<SignalKind>(i);
  return std::nullopt;
}

double strength(const Signal& signal) {
  switch (signal.kind) {
    case SignalKind::like: return 1.0;
    case SignalKind::star: return 1.0;
    case SignalKind::finish: return 0.7;
    case SignalKind::open: return signal.dwell_seconds && *signal.dwell_seconds < 10.0 ? -0.2 : 0.3;
    case SignalKind::dismiss: return -0.3;
    case SignalKind::dislike: return -1.0;
    case SignalKind::hide: return -1.0;
  }
  return 0.0;
}

}  // namespace weir
