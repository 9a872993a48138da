// JSON from outside, and the nouns that are read from it: what parses can be written and read again as the same; nothing that is not UTF-8 comes out.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/json.h"
#include "base/text.h"
#include "types/feed.h"
#include "types/item.h"

namespace {

// The same but for the last bits of a double: Boost 1.81 reads a number of dozens of digits one bit off.
bool alike(const weir::json::value& a, const weir::json::value& b) {
  if (a.is_double() && b.is_double()) return a == b || std::abs(a.get_double() - b.get_double()) <= 1e-14 * std::abs(a.get_double());
  if (a.is_array() && b.is_array()) return std::ranges::equal(a.get_array(), b.get_array(), alike);
  if (a.is_object() && b.is_object())
    return std::ranges::equal(a.get_object(), b.get_object(), [](const auto& x, const auto& y) { return x.key() == y.key() && alike(x.value(), y.value()); });
  return weir::json::serialize(a) == weir::json::serialize(b);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const auto demand = [](bool holds) {
    if (!holds) std::abort();
  };
  const auto value = parse_json({reinterpret_cast<const char*>(data), size});
  if (!value) {
    demand(!value.error().message.empty());
    return 0;
  }
  const auto again = parse_json(json::serialize(*value));
  demand(again && alike(*again, *value));
  if (const auto item = item_from_json(*value)) {
    const auto same = item_from_json(to_json(*item));
    demand(same && alike(to_json(*same), to_json(*item)));
    demand(is_valid_utf8(item->title) && item->title.find('\0') == std::string::npos && is_valid_utf8(plain_text(*item)));
  }
  if (const auto feed = feed_from_json(*value)) {
    const auto same = feed_from_json(to_json(*feed));
    demand(same && alike(to_json(*same), to_json(*feed)));
  }
  return 0;
}
