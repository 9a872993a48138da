#include "types/query.h"

#include <array>

namespace weir {
namespace {

constexpr std::array<std::string_view, 4> orders{"newest", "oldest", "ranked", "relevance"};
constexpr std::array<std::string_view, 4> states{"unread", "read", "starred", "all"};

template <class E>
std::optional<E> named(const std::array<std::string_view, 4>& names, std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i)
    if (names[i] == text) return static_cast<E>(i);
  return std::nullopt;
}

}  // namespace

std::string_view to_string(Order order) { return orders[static_cast<std::size_t>(order)]; }
std::string_view to_string(ReadState state) { return states[static_cast<std::size_t>(state)]; }
std::optional<Order> order_named(std::string_view text) { return named<Order>(orders, text); }
std::optional<ReadState> read_state_named(std::string_view text) { return named<ReadState>(states, text); }

}  // namespace weir
