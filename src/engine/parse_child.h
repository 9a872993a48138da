// What runs on hostile bytes inside the sandbox, and how to ask for it: feeds, pages, subscription lists and pushed items are read by a child that can do
// nothing else; what comes back is JSON, read with the limits of any other input.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ingest/discover.h"
#include "ingest/opml.h"
#include "ingest/sandbox.h"
#include "types/feed.h"

namespace weir {

struct ParseRequest {
  std::string base_url, content_type;  // as ParseOptions
  bool raw = false;                    // `weir parse --raw`
};

struct PageReport {  // what a page says of itself, as far as subscribing needs it
  std::string title, language;
  std::vector<FeedLink> links;  // to feeds, and what looks like one
  std::vector<std::string> icons;
};

// The sandbox that runs handle_in_child. `weir parser-zygote` (zygote_command) is what its `anew` starts; only a program that knows that word may be named.
SandboxOptions parser_sandbox(const std::string& program = {});
inline constexpr const char* zygote_command = "parser-zygote";

std::string handle_in_child(std::string_view request);
void warm_up_child();

// Errors: those of parse_feed, read_opml; crashed, timeout, too_large, unavailable of Sandbox::run.
Result<Feed> parse_feed_in(Sandbox& sandbox, std::string_view bytes, const ParseRequest& request);
Result<PageReport> read_page_in(Sandbox& sandbox, std::string_view html, std::string_view base_url);
Result<Opml> read_opml_in(Sandbox& sandbox, std::string_view bytes);
// Pushed items: content_html sanitised against the item's own url, titles and summaries left as the plain text they are.
Result<std::vector<Item>> clean_items_in(Sandbox& sandbox, const std::vector<Item>& items);
// The plain text of HTML that is not ours yet: what `weir encode` reads of content_html.
Result<std::vector<std::string>> texts_in(Sandbox& sandbox, const std::vector<std::string>& html);

}  // namespace weir
