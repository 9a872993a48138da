// Bytes of a document → Feed: RSS 0.90 to 2.0, Atom 0.3 and 1.0, JSON Feed, OPML, and a page's
// links. One file a format in formats/, one row in its table.
//
// Pure: no I/O, no clock, no state; any thread. Every byte is hostile: time and memory are linear in the bytes, nothing recurses on the document, and
// Limits bounds what is kept. What is broken is mended as far as it goes, with a line in Feed::warnings; what cannot be read at all is an Error.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "types/feed.h"

namespace weir {

// What a page says of itself, for format "html".
struct PageLinks {
  struct Link {
    std::string url, title;
  };
  std::string title, language, icon;
  std::vector<Link> links;  // http(s), absolute, in the order of the page
};

// HTML is another module's work, which ingest may not include: whoever wires them gives its functions. A null one is left out: without `text` markup in
// titles stays as it is, without `clean` content does (and without `resolve` raw content is cleaned), without `links` a page is not_a_feed. All must be callable from the calling thread.
struct HtmlTools {
  std::string (*text)(std::string_view html) = nullptr;                                // plain text of a fragment, on one line, UTF-8
  std::string (*clean)(std::string_view html, std::string_view base_url) = nullptr;    // sanitised, URLs resolved
  std::string (*resolve)(std::string_view html, std::string_view base_url) = nullptr;  // as it is, URLs resolved: what --raw asks for
  Result<PageLinks> (*links)(std::string_view html, std::string_view base_url) = nullptr;
};

struct ParseLimits {
  std::size_t bytes = 64u << 20;   // of the document, before and after decoding: too_large. The fetcher cuts at 10 MB on its own
  std::size_t depth = 256;         // of elements and of JSON: too_deep
  std::size_t elements = 500'000;  // too_large; text that never becomes an element does not count
  std::size_t attributes = 512;    // of one element; the others are dropped, with a warning
  std::size_t items_read = 5'000;  // in file order; the rest is not looked at, with a warning
  std::size_t items_kept = 1'000;  // the newest of those by date (undated ones count as newest), in file order, with a warning
  std::size_t field = 1u << 20;    // bytes of one field; cut at a code point, with a warning
};

struct ParseOptions {
  std::string base_url;      // where the document came from; relative URLs are read against xml:base, then this, then the feed's own home page
  std::string content_type;  // the HTTP header as it came; its charset counts below a byte order mark and above the document's own declaration
  bool raw = false;          // content is not sanitised; its URLs are resolved all the same
  HtmlTools html;
  ParseLimits limits;
};

// Errors: not_a_feed (what it looks like instead), too_large, too_deep (which limit), malformed (offset in bytes), encoding (the name that nobody knows, or
// bytes that are no text).
// Cost: 1 to 2 ns a byte without sanitising (bench/peers/parse).
Result<Feed> parse_feed(std::string_view bytes, const ParseOptions& options = {});

}  // namespace weir
