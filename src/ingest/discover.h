// Where a page's feed may be: what it links to first, then the places where feeds usually are. Pure; any thread. URLs only: fetching them is the caller's.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

struct FeedLink {
  std::string url;  // absolute
  std::string title;
  std::string type;        // MIME type, may be empty
  bool alternate = false;  // from <link rel="alternate"> (or rel="feed") rather than an <a href>
};

// The candidates in the order in which to try them, at most `limit`, each once: alternates with a feed's type, then links that look like a feed's, then
// well-known paths under the page's folder and its host. Comment feeds come after the others. http(s) only.
std::vector<std::string> feed_candidates(std::string_view page_url, std::span<const FeedLink> links, std::size_t limit = 8);

// The feeds that the page itself declares (rel=alternate), in the same order, each once: what a reader can choose from.
std::vector<FeedLink> declared_feeds(std::span<const FeedLink> links, std::size_t limit = 20);

// Where the icon is when the page names none: /favicon.ico of its host.
std::string default_icon(std::string_view page_url);

}  // namespace weir
