// Ids are types, not ints: a UserId never passes for an ItemId. Public item ids are small positive integers (below 2^31: reader clients need that).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace weir {

template <class Tag>
struct Id {
  std::int64_t value = 0;  // 0 is "none"
  explicit operator bool() const { return value != 0; }
  auto operator<=>(const Id&) const = default;
};

using ItemId = Id<struct ItemTag>;
using SourceId = Id<struct SourceTag>;
using UserId = Id<struct UserTag>;

}  // namespace weir

template <class Tag>
struct std::hash<weir::Id<Tag>> {
  std::size_t operator()(weir::Id<Tag> id) const noexcept { return std::hash<std::int64_t>{}(id.value); }
};
