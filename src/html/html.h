// HTML from outside → what may be shown, what can be searched, what a page links to. The tree is lexbor's (HTML5, html5lib-conformant) under a budget
// on depth, attributes, names and memory; nothing of the source is ever echoed: what comes out is written anew from an allow-list, once.
//
// Pure. Any thread: each keeps one parser and its arena (some 100 kB). Nothing recurses; a stack of 256 kB is enough. Invalid UTF-8 is repaired; output is
// valid UTF-8 without NUL. What is beyond the budget is left out, never an error. Cost: see bench/html_bench.cc; the worst 8 MB known take 2.5 s.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace weir::html {

struct CleanOptions {
  bool resolve_only = false;  // the source as it is, but for relative URLs in it, which become absolute: `weir parse --raw`. NOT safe to show
  bool text = true;           // fill Cleaned::text
};

struct Cleaned {
  std::string html;   // safe to put into a page
  std::string text;   // to_text(html) of it
  std::string image;  // the first picture that is one, absolute http(s); may be empty
};

// What stays: text, headings, lists, tables, quotes, code, links (http, https, mailto), pictures, video and audio (http, https). URLs are absolute, read
// against base_url; where that is impossible the link goes and its text stays. Links get rel="noopener noreferrer", pictures loading="lazy" and
// referrerpolicy="no-referrer"; a frame becomes a link to its address; of an object what stands in it for those who cannot show it. Gone with all that is in
// them: script, style, svg, math, template, noscript, embed, form controls; gone: id, class, style, on*, every attribute that is not in the table, comments, pictures of 2 pixels or less.
// clean(clean(x)) == clean(x).
Cleaned clean(std::string_view html, std::string_view base_url = {}, const CleanOptions& options = {});

// Plain text of HTML: references decoded, white space collapsed, a line break where a block begins or ends; no script, no style, no controls.
std::string to_text(std::string_view html);
// The same on one line: titles, names.
std::string title_text(std::string_view html);

// What a whole page says of itself. All addresses are absolute http(s), in the order of the page, each once.
struct Page {
  struct Link {
    std::string url, title;
  };
  struct FeedLink {
    std::string url, title, type;
  };  // type: "application/rss+xml", …; empty for a guess
  struct Icon {
    std::string url, type;
    int size = 0;
  };  // the larger side in pixels; 0 when it is not said

  std::string title;  // <title>, else og:title, else the first <h1>
  std::string site_name, description;
  std::string language;           // <html lang>, as written
  std::string base_url;           // after <base href>
  std::string canonical;          // rel=canonical
  std::string image;              // og:image
  std::vector<FeedLink> feeds;    // <link rel=alternate> with a feed's type
  std::vector<FeedLink> guesses;  // <a> that look like a feed's address: …/feed, …/rss.xml, …/atom
  std::vector<Icon> icons;        // rel=icon, shortcut icon, apple-touch-icon
  std::vector<Link> links;        // every <a href>; at most 10,000
};
Page read_page(std::string_view html, std::string_view base_url = {});

}  // namespace weir::html
