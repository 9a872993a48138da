// What a page says of itself, in one walk over its tree.
#include <algorithm>
#include <array>
#include <unordered_set>

#include "base/hash.h"
#include "base/text.h"
#include "base/url.h"
#include "html/html.h"
#include "html/plain.h"
#include "html/tree.h"

namespace weir::html {
namespace {

constexpr std::size_t most_links = 10'000, most_feeds = 50, most_icons = 50, most_guesses = 20;
constexpr std::size_t longest_title = 300;  // bytes of a link's title
constexpr int nodes_per_link = 1000;        // so that links inside links stay linear

std::string_view attribute(lxb_dom_node_t* node, std::string_view name) {
  for (const lxb_dom_attr_t* one = lxb_dom_interface_element(node)->first_attr; one != nullptr; one = one->next)
    if (name_of(one) == name) return value_of(one);
  return {};
}

bool has_word(std::string_view words, std::string_view word) {
  for (std::size_t at = 0; at < words.size();) {
    const std::size_t begin = std::min(words.find_first_not_of(" \t\n\f\r", at), words.size());
    const std::size_t end = std::min(words.find_first_of(" \t\n\f\r", begin), words.size());
    if (equal_ignoring_case(words.substr(begin, end - begin), word)) return true;
    at = std::max(end, at + 1);
  }
  return false;
}

std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  text.resize(most);
  return text;
}

std::string inner_text(lxb_dom_node_t* element, std::size_t most) {
  std::string out;
  Plain plain(out);
  int left = nodes_per_link;
  for (lxb_dom_node_t* node = element->first_child; node != nullptr && out.size() < most && --left > 0; node = following(node, element)) {
    if (node->type == LXB_DOM_NODE_TYPE_TEXT) plain.add(text_of(node));
    else if (node->local_name == LXB_TAG_IMG && is_element(node)) {
      plain.space();
      plain.add(attribute(node, "alt"));
      plain.space();
    }
  }
  return cut(std::move(out), most);
}

// Types that only feeds have, and those that feeds share with others when the address says feed.
bool is_feed_type(std::string_view type, std::string_view url) {
  const std::string name = to_lower_ascii(trim(type.substr(0, type.find(';'))));
  if (name == "application/rss+xml" || name == "application/atom+xml" || name == "application/feed+json" || name == "application/rdf+xml" ||
      name == "application/x-rss+xml")
    return true;
  if (name == "text/xml" || name == "application/xml") return true;
  return name == "application/json" && url.find("feed") != std::string_view::npos;
}

bool looks_like_feed(std::string_view url) {
  const std::size_t slashes = url.find("//");
  const std::size_t path_at = std::min(url.find_first_of("/?#", slashes + 2), url.size());
  const std::string path = to_lower_ascii(url.substr(path_at, url.find('#') - path_at));
  const std::string_view whole = path;
  const std::string_view query = whole.substr(std::min(whole.find('?'), whole.size()));
  std::string_view file = whole.substr(0, whole.find('?'));
  while (file.ends_with('/')) file.remove_suffix(1);
  const std::string_view last = file.substr(file.rfind('/') + 1);
  static constexpr std::string_view names[] = {"feed",    "feeds",    "rss",       "rss2",      "atom",      "rdf",       "feed.xml",
                                               "rss.xml", "atom.xml", "index.xml", "feed.json", "index.rdf", "feed.atom", "feed.rss"};
  return std::ranges::find(names, last) != std::end(names) || last.ends_with(".rss") || last.ends_with(".atom") || last.ends_with(".rdf") ||
         query.find("feed=rss") != std::string_view::npos || query.find("feed=atom") != std::string_view::npos;
}

int largest_side(std::string_view sizes) {
  int best = 0, number = 0;
  for (const char c : sizes) {
    if (c >= '0' && c <= '9') number = std::min(number * 10 + (c - '0'), 100'000);
    else {
      best = std::max(best, number);
      number = 0;
    }
  }
  return std::max(best, number);
}

class Reader {
 public:
  Reader(std::string_view base_url, Page& page) : page_(page) { page_.base_url = is_http(base_url) ? resolve(base_url) : std::string(); }

  void read(lxb_dom_node_t* document) {
    for (lxb_dom_node_t* node = document; node != nullptr; node = following(node, document))
      if (is_element(node) && node->ns == LXB_NS_HTML) element(node);
    if (page_.title.empty()) page_.title = meta_title_.empty() ? heading_ : meta_title_;
  }

 private:
  std::string address(std::string_view text) const {
    std::string out = resolve(trim(text), page_.base_url);
    if (!out.starts_with("http://") && !out.starts_with("https://")) out.clear();
    return out;
  }

  bool is_new(std::string_view kind, std::string_view url) { return seen_.insert(xxh3(url, xxh3(kind))).second; }

  void element(lxb_dom_node_t* node) {
    switch (node->local_name) {
      case LXB_TAG_HTML: page_.language = trim(attribute(node, "lang")).substr(0, 35); break;
      case LXB_TAG_TITLE:
        if (page_.title.empty()) page_.title = inner_text(node, 1000);
        break;
      case LXB_TAG_H1:
        if (heading_.empty()) heading_ = inner_text(node, 1000);
        break;
      case LXB_TAG_BASE:
        if (const std::string_view href = attribute(node, "href"); !based_ && !href.empty()) {
          based_ = true;
          if (std::string url = address(href); !url.empty()) page_.base_url = std::move(url);
        }
        break;
      case LXB_TAG_META: meta(node); break;
      case LXB_TAG_LINK: link(node); break;
      case LXB_TAG_A: anchor(node); break;
      default: break;
    }
  }

  void meta(lxb_dom_node_t* node) {
    std::string name = to_lower_ascii(trim(attribute(node, "property")));
    if (name.empty()) name = to_lower_ascii(trim(attribute(node, "name")));
    const std::string_view content = attribute(node, "content");
    const auto first = [&](std::string& out) {
      if (out.empty()) out = cut(collapse_spaces(content), 5000);
    };
    if (name == "og:title") first(meta_title_);
    else if (name == "og:site_name") first(page_.site_name);
    else if (name == "description" || name == "og:description") first(page_.description);
    else if (name == "og:image" || name == "og:image:url" || name == "twitter:image") {
      if (page_.image.empty()) page_.image = address(content);
    }
  }

  void link(lxb_dom_node_t* node) {
    const std::string_view rel = attribute(node, "rel");
    std::string url = address(attribute(node, "href"));
    if (rel.empty() || url.empty()) return;
    const std::string_view type = attribute(node, "type");
    if ((has_word(rel, "alternate") || has_word(rel, "feed")) && !has_word(rel, "stylesheet") && is_feed_type(type, url)) {
      if (page_.feeds.size() < most_feeds && is_new("feed", url))
        page_.feeds.push_back({std::move(url), cut(collapse_spaces(attribute(node, "title")), longest_title), to_lower_ascii(trim(type)).substr(0, 100)});
    } else if (has_word(rel, "icon") || has_word(rel, "apple-touch-icon") || has_word(rel, "apple-touch-icon-precomposed")) {
      if (page_.icons.size() < most_icons && is_new("icon", url))
        page_.icons.push_back({std::move(url), to_lower_ascii(trim(type)).substr(0, 100), largest_side(attribute(node, "sizes").substr(0, 200))});
    } else if (has_word(rel, "canonical") && page_.canonical.empty()) {
      page_.canonical = std::move(url);
    }
  }

  void anchor(lxb_dom_node_t* node) {
    const std::string_view href = attribute(node, "href");
    if (trim(href).empty() || trim(href).starts_with('#') || page_.links.size() >= most_links) return;
    std::string url = address(href);
    if (url.empty() || !is_new("link", url)) return;
    std::string title = inner_text(node, longest_title);
    if (title.empty()) title = cut(collapse_spaces(attribute(node, "title")), longest_title);
    if (page_.guesses.size() < most_guesses && looks_like_feed(url)) page_.guesses.push_back({url, title, {}});
    page_.links.push_back({std::move(url), std::move(title)});
  }

  Page& page_;
  std::string meta_title_, heading_;
  bool based_ = false;
  std::unordered_set<std::uint64_t> seen_;
};

}  // namespace

Page read_page(std::string_view html, std::string_view base_url) {
  std::string repaired;
  if (!is_valid_utf8(html)) html = repaired = repair_utf8(html);
  Page page;
  lxb_html_document_t* const document = Tree::mine().parse(html, Start::document);
  Reader(base_url, page).read(lxb_dom_interface_node(document));
  return page;
}

}  // namespace weir::html
