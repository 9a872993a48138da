// What one document of a source says: JSON Feed 1.1 at the top level, with what `weir parse` adds. Plain data; made by ingest.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "types/item.h"

namespace weir {

struct Feed {
  std::string title, home_page_url, feed_url, description, language, icon;
  std::vector<Author> authors;
  std::vector<Item> items;

  std::string format;    // rss0.90 rss0.91 rss0.92 rss1.0 rss2.0 atom0.3 atom1.0 json1.0 json1.1 opml html
  std::string encoding;  // the WHATWG name in lower case
  std::vector<std::string> warnings;
  bool is_cut = false;  // the document ends inside an element: there may be more of it

  // What the source asks of its readers' schedule.
  std::optional<std::chrono::seconds> ttl;  // rss ttl, sy:updatePeriod/Frequency
  std::uint32_t skip_hours = 0;             // bit h: not at hour h, UTC
  std::uint8_t skip_days = 0;               // bit d: not on that day, Sunday is bit 0
};

// The document of `weir parse`; `file` goes to _weir.file when it is not empty.
json::object to_json(const Feed& feed, std::string_view file = {});
// The other way, for what crosses from the parser child to its parent: to_json and back is the same Feed.
Result<Feed> feed_from_json(const json::value& value);

}  // namespace weir
