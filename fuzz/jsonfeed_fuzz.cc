// JSON Feed: the bytes as the inside of an item, of a list of items and of a feed, so that mutations stay near what a feed looks like.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/text.h"
#include "ingest/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const std::string version = R"("version":"https://jsonfeed.org/version/1.1")";
  for (const std::string& document :
       {"{" + version + ",\"items\":[{" + bytes + "}]}", "{" + version + ",\"items\":[" + bytes + "]}", "{" + version + "," + bytes + "}"}) {
    const auto feed = parse_feed(document, {.base_url = "https://e.example/"});
    if (!feed) continue;
    const auto again = feed_from_json(to_json(*feed));
    if (!again || json::serialize(to_json(*again)) != json::serialize(to_json(*feed))) std::abort();
  }
  return 0;
}
