// A feed of any kind: no crash, no overrun; every address is http(s), every text UTF-8, every limit kept, and what is made survives the way to JSON and back.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/text.h"
#include "base/url.h"
#include "ingest/parse.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto demand = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::abort();
  };
  ParseOptions options{.base_url = "https://e.example/a/b?c"};
  options.limits.items_kept = 50;
  // The html module has a target of its own; here stands what is enough to walk through the calls to it.
  options.html.text = [](std::string_view html) { return std::string(html); };
  options.html.clean = [](std::string_view html, std::string_view) { return std::string(html); };
  options.html.links = [](std::string_view html, std::string_view base) -> Result<PageLinks> {
    return PageLinks{std::string(html), "", "", {{std::string(base), std::string(html)}}};
  };
  const Result<Feed> feed = parse_feed(bytes, options);
  if (!feed) {
    demand(!feed.error().message.empty(), "an error without a message");
    return 0;
  }
  demand(!feed->format.empty() && !feed->encoding.empty(), "no format or no encoding");
  demand(feed->items.size() <= 50 && feed->warnings.size() <= 20, "a limit");
  const auto address = [&](const std::string& url) { demand(url.empty() || (is_http(url) && is_valid_utf8(url)), url.c_str()); };
  const auto text = [&](const std::string& s) { demand(is_valid_utf8(s) && s.find('\0') == s.npos && s.size() <= (1u << 20) + 64, "a text"); };
  address(feed->home_page_url);
  address(feed->feed_url);
  address(feed->icon);
  text(feed->title);
  for (const Item& item : feed->items) {
    demand(!item.id.empty(), "an item without id");
    address(item.url);
    address(item.image);
    for (const Attachment& attachment : item.attachments) address(attachment.url);
    for (const Author& author : item.authors) address(author.url);
    for (const std::string* s : {&item.id, &item.title, &item.content_html, &item.content_text, &item.summary, &item.language}) text(*s);
    for (const std::string& tag : item.tags) text(tag);
  }
  for (const std::string& warning : feed->warnings) text(warning);
  const auto again = feed_from_json(to_json(*feed));
  demand(again.has_value() && json::serialize(to_json(*again)) == json::serialize(to_json(*feed)), "not the same after JSON");
  return 0;
}
