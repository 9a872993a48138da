// JSON from outside, and the nouns that are read from it: what parses can be written and read again as the same; nothing that is not UTF-8 comes out.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/json.h"
#include "base/text.h"
#include "types/feed.h"
#include "types/item.h"

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
  const std::string written = json::serialize(*value);
  const auto again = parse_json(written);
  demand(again && json::serialize(*again) == written);
  if (const auto item = item_from_json(*value)) {
    const auto same = item_from_json(to_json(*item));
    demand(same && json::serialize(to_json(*same)) == json::serialize(to_json(*item)));
    demand(is_valid_utf8(item->title) && item->title.find('\0') == std::string::npos && is_valid_utf8(plain_text(*item)));
  }
  if (const auto feed = feed_from_json(*value)) {
    const auto same = feed_from_json(to_json(*feed));
    demand(same && json::serialize(to_json(*same)) == json::serialize(to_json(*feed)));
  }
  return 0;
}
