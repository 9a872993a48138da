// OPML as a list of subscriptions: read for import, written for export. Pure; any thread. Limits: 50,000 outlines (too_large), 16 folders deep (too_deep).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir {

struct OpmlSource {
  std::string title;                 // title or text of the outline; may be empty
  std::string url;                   // xmlUrl, http(s)
  std::string home_page_url;         // htmlUrl; may be empty
  std::vector<std::string> folders;  // from the outside in; empty at the top
  bool operator==(const OpmlSource&) const = default;
};

struct Opml {
  std::string title;
  std::vector<OpmlSource> sources;  // in file order; outlines without an http(s) xmlUrl are not among them
  std::vector<std::string> warnings;
};

// Errors: not_a_feed (no <opml>), too_large, too_deep, malformed, encoding.
Result<Opml> read_opml(std::string_view bytes);

// OPML 2.0, UTF-8; sources of one folder path stand together in the order of their first one. read_opml(write_opml(x)) has the same sources.
std::string write_opml(const Opml& opml);

}  // namespace weir
