#include "ingest/discover.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "base/url.h"

namespace weir {

namespace {

constexpr std::array<std::string_view, 8> kPlaces = {"feed", "rss", "atom.xml", "feed.xml", "rss.xml", "index.xml", "feed.json", "feed/"};

bool has(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

bool is_feed_type(std::string_view type) {
  const std::string lower = to_lower_ascii(trim(type.substr(0, type.find(';'))));
  return lower == "application/rss+xml" || lower == "application/atom+xml" || lower == "application/feed+json" || lower == "application/rdf+xml" ||
         lower == "application/xml" || lower == "text/xml" || lower == "application/json";
}

// Does the path end as feeds' paths do?
bool looks_like_feed(const Url& url) {
  const std::string path = to_lower_ascii(url.path);
  std::string_view last(path);
  while (last.size() > 1 && last.ends_with('/')) last.remove_suffix(1);
  last = last.substr(last.rfind('/') + 1);
  constexpr std::array<std::string_view, 6> names = {"feed", "feeds", "rss", "atom", "rdf", "rss2"};
  if (std::ranges::find(names, last) != names.end()) return true;
  if (last.ends_with(".rss") || last.ends_with(".atom") || last.ends_with(".rdf")) return true;
  constexpr std::array<std::string_view, 8> files = {"feed.xml", "rss.xml", "atom.xml", "index.xml", "index.rdf", "feed.json", "feeds.xml", "rss2.xml"};
  return std::ranges::find(files, last) != files.end() || has(to_lower_ascii(url.query), "feed=rss") || has(to_lower_ascii(url.query), "feed=atom");
}

// 0 is tried first; −1: no candidate.
int rank_of(const FeedLink& link, const Url& url) {
  const bool comments = has(to_lower_ascii(link.title), "comment") || has(to_lower_ascii(url.path), "comment");
  if (link.alternate && is_feed_type(link.type)) return comments ? 3 : 0;
  if (link.alternate && link.type.empty() && looks_like_feed(url)) return comments ? 3 : 1;
  if (!link.alternate && looks_like_feed(url)) return comments ? 4 : 2;
  return -1;
}

}  // namespace

std::vector<std::string> feed_candidates(std::string_view page_url, std::span<const FeedLink> links, std::size_t limit) {
  std::vector<std::pair<int, std::string>> found;
  for (const FeedLink& link : links) {
    const Result<Url> url = parse_url(link.url);
    if (!url || (url->scheme != "http" && url->scheme != "https")) continue;
    if (const int rank = rank_of(link, *url); rank >= 0) found.push_back({rank, link.url});
  }
  constexpr int places = 5;
  if (const Result<Url> page = parse_url(page_url); page && (page->scheme == "http" || page->scheme == "https")) {
    const bool at_top = page->path.rfind('/') == 0;
    for (const std::string_view place : kPlaces) {
      if (!at_top) found.push_back({places, resolve(place, page_url)});
      found.push_back({places, resolve("/" + std::string(place), page_url)});
    }
  }
  std::vector<std::string> out;
  for (int rank = 0; rank <= places; ++rank)  // few links, fewer ranks; clang's std::stable_sort warns about libstdc++ 12
    for (const auto& [of, url] : found)
      if (of == rank && out.size() < limit && !url.empty() && std::ranges::find(out, url) == out.end()) out.push_back(url);
  return out;
}

std::vector<FeedLink> declared_feeds(std::span<const FeedLink> links, std::size_t limit) {
  std::vector<FeedLink> out;
  for (const int wanted : {0, 1, 3})
    for (const FeedLink& link : links) {
      const Result<Url> url = parse_url(link.url);
      if (!link.alternate || !url || (url->scheme != "http" && url->scheme != "https") || rank_of(link, *url) != wanted) continue;
      if (out.size() < limit && std::ranges::find(out, link.url, &FeedLink::url) == out.end()) out.push_back(link);
    }
  return out;
}

std::string default_icon(std::string_view page_url) { return resolve("/favicon.ico", page_url); }

}  // namespace weir
