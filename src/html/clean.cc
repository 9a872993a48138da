// The sanitiser: walks lexbor's tree and writes a new document from the allow-list of rules.h. What it writes is what a standard parser reads back as the
// same tree: a start tag that would end an element still open, or would be moved out of a table, is not written (place()). That makes cleaning idempotent
// and leaves no room for mutation: the browser sees the tree that was judged. Why rebuild and not edit: reliability of sanitisers, docs/decisions.
#include <algorithm>
#include <array>
#include <vector>

#include "base/text.h"
#include "base/url.h"
#include "html/html.h"
#include "html/plain.h"
#include "html/rules.h"
#include "html/tree.h"

namespace weir::html {
namespace {

constexpr std::size_t written_depth = 250;  // below the tree's own budget, so that reading back passes it
constexpr int tiny = 2;                     // pixels: a picture of this size is there to count readers

// --- attributes we read ---

enum class At : std::uint8_t {
  alt,
  colspan,
  data_lazy_src,
  data_lazy_srcset,
  data_original,
  data_src,
  data_srcset,
  datetime,
  dir,
  height,
  href,
  lang,
  media,
  open,
  poster,
  reversed,
  rowspan,
  sizes,
  span,
  src,
  srcset,
  start,
  style,
  title,
  type,
  value,
  width,
  count
};
constexpr std::array<std::string_view, static_cast<std::size_t>(At::count)> at_names = {
    "alt",   "colspan", "data-lazy-src", "data-lazy-srcset", "data-original", "data-src", "data-srcset", "datetime", "dir",    "height", "href",  "lang",
    "media", "open",    "poster",        "reversed",         "rowspan",       "sizes",    "span",        "src",      "srcset", "start",  "style", "title",
    "type",  "value",   "width"};
static_assert(std::ranges::is_sorted(at_names));

class Attributes {
 public:
  explicit Attributes(lxb_dom_node_t* node) {
    for (const lxb_dom_attr_t* one = lxb_dom_interface_element(node)->first_attr; one != nullptr; one = one->next) {
      if (one->node.ns != LXB_NS_HTML || one->node.local_name == LXB_DOM_ATTR_CLASS || one->node.local_name == LXB_DOM_ATTR_ID) continue;
      const std::string_view name = name_of(one);
      const auto found = std::ranges::lower_bound(at_names, name);
      if (found == at_names.end() || *found != name) continue;
      const auto index = static_cast<std::size_t>(found - at_names.begin());
      values_[index] = value_of(one);
      there_ |= 1u << index;
    }
  }
  bool has(At at) const { return (there_ >> static_cast<unsigned>(at) & 1u) != 0; }
  std::string_view operator[](At at) const { return has(at) ? values_[static_cast<std::size_t>(at)] : std::string_view(); }
  bool any() const { return there_ != 0; }

 private:
  std::array<std::string_view, static_cast<std::size_t>(At::count)> values_;
  std::uint32_t there_ = 0;
};

// The leading digits of "120", "120px", " 120 "; −1 for none, for a percentage and for what is beyond `limit`.
int pixels(std::string_view text, int limit = 99'999) {
  text = trim(text);
  if (text.empty() || text.ends_with('%')) return -1;
  int out = -1;
  for (const char c : text) {
    if (c < '0' || c > '9') break;
    out = std::max(out, 0) * 10 + (c - '0');
    if (out > limit) return -1;
  }
  return out;
}

bool is_tiny(const Attributes& of) {
  const int width = pixels(of[At::width]), height = pixels(of[At::height]);
  if ((width >= 0 && width <= tiny) || (height >= 0 && height <= tiny)) return true;
  if (!of.has(At::style)) return false;
  std::string style;
  for (const char c : of[At::style].substr(0, 2000))
    if (c > ' ') style += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  if (style.find("display:none") != std::string::npos || style.find("visibility:hidden") != std::string::npos) return true;
  for (const std::string_view side : {"width:", "height:"})
    for (std::size_t at = style.find(side); at != std::string::npos; at = style.find(side, at + 1)) {
      if (at > 0 && style[at - 1] != ';') continue;  // max-width
      const std::string_view size = std::string_view(style).substr(at + side.size(), 12);
      if (size.starts_with("0;") || size == "0" || size.starts_with("0px") || size.starts_with("1px") || size.starts_with("2px")) return true;
    }
  return false;
}

// Hosts that serve pictures to count readers, whatever size they claim.
bool is_counter(std::string_view url) {
  static constexpr std::string_view marks[] = {"://feeds.feedburner.com/~r/", "://pixel.wp.com/",
                                               "://stats.wordpress.com/",     "://feeds.wordpress.com/1.0/",
                                               "://pixel.quantserve.com/",    "://www.google-analytics.com/",
                                               "://ad.doubleclick.net/",      "://googleads.g.doubleclick.net/",
                                               "://b.scorecardresearch.com/", "://sb.scorecardresearch.com/",
                                               "://da.feedsportal.com/",      "://rss.feedsportal.com/",
                                               "://pi.feedsportal.com/",      "://feedads.g.doubleclick.net/",
                                               "://www.facebook.com/tr?",     "://medium.com/_/stat"};
  return std::ranges::any_of(marks, [&](std::string_view mark) { return url.find(mark) != std::string_view::npos; });
}

bool is_word(std::string_view text, std::size_t limit, std::string_view more) {
  return !text.empty() && text.size() <= limit && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.find(c) != std::string_view::npos;
  });
}

// --- writing ---

constexpr std::array<bool, 256> needs_care = [] {
  std::array<bool, 256> out{};
  for (const char c : std::string_view("&<>\"\r\0", 6)) out[static_cast<unsigned char>(c)] = true;
  return out;
}();

void append_escaped(std::string& out, std::string_view text, bool in_attribute) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && !needs_care[static_cast<unsigned char>(text[end])]) ++end;
    out.append(text, at, end - at);
    if (end == text.size()) return;
    switch (text[end]) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += in_attribute ? "&quot;" : "\""; break;
      case '\r': out += '\n'; break;  // a raw one would come back as a line feed
      default: break;                 // NUL
    }
    at = end + 1;
  }
}

// What is open around the place where we write, as far as it decides what a parser would do there.
struct Context {
  std::uint16_t parent = 0;      // the innermost written element; 0: none
  std::uint16_t formatting = 0;  // flags of formatting elements that are open
  std::uint16_t depth = 0;
  bool in_p = false;  // a <p> in button scope: the next block would end it
  bool in_a = false;  // an <a> that the next <a> would end
  bool in_li = false, in_dd = false;
  bool in_pre = false;
};

struct Open {
  Context outside;                // to go back to
  const Rule* written = nullptr;  // null: passed over, nothing to close
  std::uint16_t flags = 0;
};

bool is_one_of(std::uint16_t tag, auto... tags) { return ((tag == tags) || ...); }
bool holds_rows(std::uint16_t tag) { return is_one_of(tag, LXB_TAG_TABLE, LXB_TAG_THEAD, LXB_TAG_TBODY, LXB_TAG_TFOOT, LXB_TAG_TR, LXB_TAG_COLGROUP); }
bool is_table_part(std::uint16_t tag) {
  return is_one_of(tag, LXB_TAG_CAPTION, LXB_TAG_COLGROUP, LXB_TAG_COL, LXB_TAG_THEAD, LXB_TAG_TBODY, LXB_TAG_TFOOT, LXB_TAG_TR, LXB_TAG_TD, LXB_TAG_TH);
}
bool fits_in_table(std::uint16_t parent, std::uint16_t tag) {
  switch (parent) {
    case LXB_TAG_TABLE: return is_one_of(tag, LXB_TAG_CAPTION, LXB_TAG_COLGROUP, LXB_TAG_THEAD, LXB_TAG_TBODY, LXB_TAG_TFOOT);
    case LXB_TAG_THEAD:
    case LXB_TAG_TBODY:
    case LXB_TAG_TFOOT: return tag == LXB_TAG_TR;
    case LXB_TAG_TR: return is_one_of(tag, LXB_TAG_TD, LXB_TAG_TH);
    case LXB_TAG_COLGROUP: return tag == LXB_TAG_COL;
    default: return false;
  }
}

class Writer {
 public:
  Writer(std::string_view base, bool html, Cleaned& out) : base_(base), html_(html), out_(out), plain_(out.text) {}

  void body(lxb_dom_node_t* root, bool text) {
    text_ = text;
    lxb_dom_node_t* node = root->first_child;
    while (node != nullptr) {
      const bool inside = visit(node);
      if (inside && node->first_child != nullptr) {
        node = node->first_child;
        continue;
      }
      if (inside) leave();
      while (node->next == nullptr) {
        node = node->parent;
        if (node == root) {
          finish();
          return;
        }
        leave();
      }
      node = node->next;
    }
  }

 private:
  // True when what is in the node is to be visited; then leave() follows.
  bool visit(lxb_dom_node_t* node) {
    if (node->type == LXB_DOM_NODE_TYPE_TEXT) characters(text_of(node));
    if (!is_element(node) || node->ns != LXB_NS_HTML) return false;
    static constexpr Rule unknown;
    const Rule& rule = node->local_name < rules.size() ? rules[node->local_name] : unknown;
    if (rule.kind == Kind::unwrap) return pass_over(0);
    if (rule.kind == Kind::drop) return false;
    switch (place(rule)) {
      case Place::nowhere: return false;
      case Place::unwrapped: {
        const std::uint16_t flags = at_.parent == LXB_TAG_PICTURE ? 0 : rule.flags;
        write_boundary(flags);
        return rule.kind == Kind::keep || rule.kind == Kind::link ? pass_over(flags) : false;
      }
      case Place::here: break;
    }
    boundary(rule.flags);
    const Attributes attributes(node);
    switch (rule.kind) {
      case Kind::keep: return element(rule, attributes);
      case Kind::empty: open_tag(rule, attributes); return false;
      case Kind::link: return link(rule, attributes);
      case Kind::image: image(attributes); return false;
      case Kind::frame: frame(attributes, node); return false;
      case Kind::media: media(rule, attributes, node); return false;
      case Kind::source: source(attributes); return false;
      default: return false;
    }
  }

  enum class Place { here, unwrapped, nowhere };

  // Would a parser put this element where we are? (HTML Standard, "in body" and "in table" insertion modes.)
  Place place(const Rule& rule) const {
    if (holds_rows(at_.parent)) return fits_in_table(at_.parent, rule.tag) && at_.depth < written_depth ? Place::here : Place::nowhere;
    if (is_table_part(rule.tag)) return Place::unwrapped;
    if (at_.parent == LXB_TAG_PICTURE) return rule.kind == Kind::image || rule.kind == Kind::source ? Place::here : Place::unwrapped;
    if (rule.kind == Kind::source) return Place::nowhere;
    if ((rule.flags & closes_p) != 0 && at_.in_p) return Place::unwrapped;
    if ((rule.flags & heading) != 0 && (rules[at_.parent].flags & heading) != 0) return Place::unwrapped;
    if ((rule.flags & formatting & at_.formatting) != 0) return Place::unwrapped;
    if (rule.tag == LXB_TAG_LI && at_.in_li) return Place::unwrapped;
    if (is_one_of(rule.tag, LXB_TAG_DD, LXB_TAG_DT) && at_.in_dd) return Place::unwrapped;
    if (rule.tag == LXB_TAG_A && at_.in_a) return Place::unwrapped;
    if (is_one_of(rule.tag, LXB_TAG_RT, LXB_TAG_RP) && at_.parent != LXB_TAG_RUBY) return Place::unwrapped;
    return at_.depth < written_depth ? Place::here : Place::unwrapped;
  }

  // Where a block or a cell begins or ends, plain text breaks.
  void boundary(std::uint16_t flags) {
    if ((flags & block) != 0) plain_.line();
    if ((flags & separate) != 0) plain_.space();
  }
  // Where its tag could not be written, something else says so.
  void write_boundary(std::uint16_t flags) {
    boundary(flags);
    if (!html_) return;
    if ((flags & block) != 0) out_.html += "<br>";
    else if ((flags & separate) != 0 && !out_.html.empty()) out_.html += ' ';
  }

  bool pass_over(std::uint16_t flags) {
    open_.push_back({at_, nullptr, flags});
    return true;
  }

  void go_into(const Rule& rule) {
    open_.push_back({at_, &rule, rule.flags});
    at_.parent = rule.tag;
    ++at_.depth;
    at_.formatting |= static_cast<std::uint16_t>(rule.flags & formatting);
    const bool scope = is_one_of(rule.tag, LXB_TAG_TABLE, LXB_TAG_TD, LXB_TAG_TH, LXB_TAG_CAPTION);
    const bool stops = (rule.flags & special) != 0 && !is_one_of(rule.tag, LXB_TAG_ADDRESS, LXB_TAG_DIV, LXB_TAG_P);
    at_.in_p = rule.tag == LXB_TAG_P || (at_.in_p && !scope);
    at_.in_a = rule.tag == LXB_TAG_A || (at_.in_a && !is_one_of(rule.tag, LXB_TAG_TD, LXB_TAG_TH, LXB_TAG_CAPTION));
    at_.in_li = rule.tag == LXB_TAG_LI || (at_.in_li && !stops);
    at_.in_dd = is_one_of(rule.tag, LXB_TAG_DD, LXB_TAG_DT) || (at_.in_dd && !stops);
    at_.in_pre = at_.in_pre || rule.tag == LXB_TAG_PRE;
    if (rule.tag == LXB_TAG_PRE) pre_start_ = out_.html.size();
  }

  void leave() {
    const Open& last = open_.back();
    if (last.written == nullptr) write_boundary(last.flags);
    else boundary(last.flags);
    if (last.written != nullptr && html_) out_.html.append("</").append(last.written->name).append(">");
    at_ = last.outside;
    open_.pop_back();
  }

  void characters(std::string_view text) {
    if (holds_rows(at_.parent) || at_.parent == LXB_TAG_PICTURE) return;
    if (text_) plain_.add(text, at_.in_pre);
    if (!html_) return;
    if (out_.html.empty()) text.remove_prefix(std::min(text.find_first_not_of(" \t\n\f\r"), text.size()));
    if (at_.in_pre && out_.html.size() == pre_start_ && (text.starts_with('\n') || text.starts_with('\r'))) out_.html += '\n';  // a parser eats the first one
    append_escaped(out_.html, text, false);
  }

  void finish() {
    if (html_) out_.html.resize(out_.html.find_last_not_of(" \t\n\f\r") + 1);
  }

  // --- one tag ---

  void attribute(std::string_view name, std::string_view value) {
    out_.html.append(" ").append(name).append("=\"");
    append_escaped(out_.html, value, true);
    out_.html += '"';
  }
  void number(std::string_view name, int value) { attribute(name, std::to_string(value)); }
  void size(const Attributes& of) {
    if (const int width = pixels(of[At::width]); width > tiny) number("width", width);
    if (const int height = pixels(of[At::height]); height > tiny) number("height", height);
  }
  void begin(std::string_view name) { out_.html.append("<").append(name); }
  void end() { out_.html += '>'; }

  // What every element may carry.
  void global(const Attributes& of) {
    if (of.has(At::title) && !of[At::title].empty()) attribute("title", of[At::title]);
    if (is_word(of[At::lang], 35, "-")) attribute("lang", of[At::lang]);
    for (const std::string_view dir : {"ltr", "rtl", "auto"})
      if (equal_ignoring_case(of[At::dir], dir)) attribute("dir", dir);
  }

  void open_tag(const Rule& rule, const Attributes& of) {
    if (!html_) return;
    begin(rule.name);
    if (of.any()) {
      own(rule.tag, of);
      global(of);
    }
    end();
  }

  void own(std::uint16_t tag, const Attributes& of) {
    const auto count = [&](std::string_view name, At at, int most) {
      if (const int n = pixels(of[at], most); n > 1) number(name, n);
    };
    switch (tag) {
      case LXB_TAG_TD:
      case LXB_TAG_TH:
        count("colspan", At::colspan, 1000);
        count("rowspan", At::rowspan, 1000);
        break;
      case LXB_TAG_COL:
      case LXB_TAG_COLGROUP: count("span", At::span, 1000); break;
      case LXB_TAG_OL:
        count("start", At::start, 1'000'000'000 / 10);
        if (of.has(At::reversed)) attribute("reversed", "");
        if (of[At::type].size() == 1 && std::string_view("1aAiI").find(of[At::type][0]) != std::string_view::npos) attribute("type", of[At::type]);
        break;
      case LXB_TAG_LI: count("value", At::value, 1'000'000'000 / 10); break;
      case LXB_TAG_TIME:
      case LXB_TAG_INS:
      case LXB_TAG_DEL:
        if (is_word(of[At::datetime], 40, "-:.+ ")) attribute("datetime", of[At::datetime]);
        break;
      case LXB_TAG_DETAILS:
        if (of.has(At::open)) attribute("open", "");
        break;
      default: break;
    }
  }

  bool element(const Rule& rule, const Attributes& of) {
    if ((rule.flags & pointless) != 0) {
      const std::size_t before = out_.html.size();
      begin(rule.name);
      const std::size_t bare = out_.html.size();
      global(of);
      if (out_.html.size() == bare || !html_) {
        out_.html.resize(before);
        return pass_over(0);
      }
      end();
    } else {
      open_tag(rule, of);
    }
    go_into(rule);
    return true;
  }

  // --- addresses ---

  // Absolute and of a scheme that is allowed, or empty.
  std::string address(std::string_view text, bool mail) const {
    text = trim(text);
    if (text.empty() || text.size() > max_url || (text.size() > 5 && equal_ignoring_case(text.substr(0, 5), "data:"))) return {};
    std::string out = resolve(text, base_);
    if (out.starts_with("https://") || out.starts_with("http://") || (mail && out.starts_with("mailto:"))) return out;
    return {};
  }

  // HTML Standard, "parse a srcset attribute", written back with absolute addresses.
  std::string address_set(std::string_view text, std::string* first) const {
    static constexpr std::string_view white = " \t\n\f\r";
    std::string out;
    for (int n = 0; n < 32; ++n) {
      text.remove_prefix(std::min(text.find_first_not_of(" \t\n\f\r,"), text.size()));
      if (text.empty()) break;
      std::string_view url = text.substr(0, text.find_first_of(white));
      text.remove_prefix(url.size());
      std::string_view descriptor;
      if (url.ends_with(',')) {
        url = url.substr(0, url.find_last_not_of(',') + 1);
      } else {
        descriptor = text.substr(0, text.find(','));
        text.remove_prefix(descriptor.size());
        descriptor = trim(descriptor);
      }
      const std::string absolute = address(url, false);
      if (absolute.empty() || absolute.ends_with(',') || (!descriptor.empty() && !is_word(descriptor, 20, "."))) continue;
      if (!out.empty()) out += ", ";
      out += absolute;
      if (!descriptor.empty()) out.append(" ").append(descriptor);
      if (first->empty()) *first = absolute;
    }
    return out;
  }

  // --- elements with addresses ---

  bool link(const Rule& rule, const Attributes& of) {
    if (!html_) return pass_over(0);
    const std::string href = of.has(At::href) ? address(of[At::href], true) : std::string();
    if (href.empty()) return pass_over(0);
    begin("a");
    attribute("href", href);
    out_.html += " rel=\"noopener noreferrer\"";
    global(of);
    end();
    go_into(rule);
    return true;
  }

  void image(const Attributes& of) {
    if (!html_ || is_tiny(of)) return;
    std::string src;
    for (const At at : {At::src, At::data_src, At::data_lazy_src, At::data_original})
      if (src.empty() && of.has(at) && !trim(of[at]).empty()) src = address(of[at], false);
    std::string first, set;
    for (const At at : {At::srcset, At::data_srcset, At::data_lazy_srcset})
      if (set.empty() && of.has(at)) set = address_set(of[at], &first);
    if (src.empty()) src = first;
    if (src.empty() || is_counter(src)) return;
    if (out_.image.empty()) out_.image = src;
    begin("img");
    attribute("src", src);
    if (!set.empty()) attribute("srcset", set);
    if (!set.empty() && !of[At::sizes].empty()) attribute("sizes", of[At::sizes]);
    attribute("alt", of[At::alt]);
    size(of);
    out_.html += " loading=\"lazy\" referrerpolicy=\"no-referrer\"";
    global(of);
    end();
  }

  // A link to the frame's address, named by its title, else by what it says to those who cannot show it, else
  // by the address; plain text without the link has no use for that one.
  void frame(const Attributes& of, const lxb_dom_node_t* node) {
    if (is_tiny(of)) return;
    std::string name = collapse_spaces(of[At::title]);
    if (name.empty() && node->first_child != nullptr && node->first_child->type == LXB_DOM_NODE_TYPE_TEXT)
      if (const std::string_view instead = text_of(node->first_child); !trim(instead).empty() && instead.find('<') == std::string_view::npos) name = instead;
    const std::string src = html_ && !at_.in_a ? address(of[At::src], false) : std::string();
    if (!src.empty()) {
      begin("a");
      attribute("href", src);
      out_.html += " rel=\"noopener noreferrer\">";
    }
    characters(name.empty() && !src.empty() ? std::string_view(src).substr(src.find("//") + 2) : name);
    if (!src.empty()) out_.html += "</a>";
  }

  void media(const Rule& rule, const Attributes& of, lxb_dom_node_t* node) {
    if (!html_) return;
    const std::string src = of.has(At::src) ? address(of[At::src], false) : std::string();
    std::vector<std::pair<std::string, std::string>> sources;  // address, type
    for (lxb_dom_node_t* child = node->first_child; child != nullptr && sources.size() < 16; child = child->next) {
      if (!is_element(child) || child->ns != LXB_NS_HTML || child->local_name != LXB_TAG_SOURCE) continue;
      const Attributes attributes(child);
      std::string url = attributes.has(At::src) ? address(attributes[At::src], false) : std::string();
      if (!url.empty()) sources.emplace_back(std::move(url), attributes[At::type]);
    }
    if (src.empty() && sources.empty()) return;
    begin(rule.name);
    if (!src.empty()) attribute("src", src);
    if (rule.tag == LXB_TAG_VIDEO && of.has(At::poster))
      if (const std::string poster = address(of[At::poster], false); !poster.empty()) {
        attribute("poster", poster);
        if (out_.image.empty()) out_.image = poster;
      }
    if (rule.tag == LXB_TAG_VIDEO) size(of);
    out_.html += " controls=\"\" preload=\"none\"";
    global(of);
    end();
    for (const auto& [url, type] : sources) {
      begin("source");
      attribute("src", url);
      if (is_word(type, 100, "/.+-;=\", ")) attribute("type", type);
      end();
    }
    out_.html.append("</").append(rule.name).append(">");
  }

  void source(const Attributes& of) {  // of a <picture>
    std::string first;
    const std::string set = html_ ? address_set(of.has(At::srcset) ? of[At::srcset] : of[At::data_srcset], &first) : std::string();
    if (set.empty()) return;
    begin("source");
    attribute("srcset", set);
    if (is_word(of[At::type], 100, "/.+-")) attribute("type", of[At::type]);
    for (const auto& [name, at] : {std::pair{"media", At::media}, {"sizes", At::sizes}})
      if (!of[at].empty()) attribute(name, of[at]);
    end();
  }

  std::string_view base_;
  bool html_, text_ = true;
  Cleaned& out_;
  Plain plain_;
  Context at_;
  std::vector<Open> open_;
  std::size_t pre_start_ = std::string::npos;
};

// --- resolve_only: the source, with the values of some attributes replaced in place ---

struct Resolver {
  std::string_view source, base;
  std::string out;
  std::size_t copied = 0;  // bytes of source that are in out

  static bool holds_address(std::string_view name) {
    static constexpr std::string_view names[] = {"href", "src", "action", "background", "cite", "data", "formaction", "longdesc", "poster", "usemap"};
    return std::ranges::find(names, name) != std::end(names);
  }

  void replace(const lxb_html_token_attr_t& attribute, std::string_view value) {
    const auto begin = static_cast<std::size_t>(reinterpret_cast<const char*>(attribute.value_begin) - source.data());
    const auto end = static_cast<std::size_t>(reinterpret_cast<const char*>(attribute.value_end) - source.data());
    if (begin < copied || begin > end || end > source.size()) return;
    out.append(source, copied, begin - copied);
    for (const char c : value) {
      if (c == '\'') out += "&#39;";  // whatever quotes stand around it
      else append_escaped(out, std::string_view(&c, 1), true);
    }
    copied = end;
  }

  std::string absolute_set(std::string_view text) const {
    std::string all;
    for (const std::string_view candidate : split(text, ',')) {
      const std::string_view one = trim(candidate);
      const std::size_t space = std::min(one.find_first_of(" \t\n\f\r"), one.size());
      const std::string url = resolve(one.substr(0, space), base);
      if (!all.empty()) all += ", ";
      all.append(url.empty() ? std::string(one.substr(0, space)) : url).append(one.substr(space));
    }
    return all;
  }

  static void on_tag(void* self, const lxb_html_token_t& tag) {
    auto& me = *static_cast<Resolver*>(self);
    for (const lxb_html_token_attr_t* one = tag.attr_first; one != nullptr; one = one->next) {
      if (one->name == nullptr || one->value == nullptr || one->value_begin == nullptr || one->value_end == nullptr) continue;
      const std::string_view name = view(lexbor_hash_entry_str(&one->name->entry), one->name->entry.length), value = trim(view(one->value, one->value_size));
      std::string absolute;
      if (holds_address(name)) {
        if (resolve(value).empty()) absolute = resolve(value, me.base);
      } else if (name == "srcset" && value.find("data:") == std::string_view::npos) absolute = me.absolute_set(value);
      if (!absolute.empty() && absolute != value) me.replace(*one, absolute);
    }
  }
};

}  // namespace

Cleaned clean(std::string_view html, std::string_view base_url, const CleanOptions& options) {
  std::string repaired;
  if (!is_valid_utf8(html)) html = repaired = repair_utf8(html);
  Cleaned out;
  Tree& tree = Tree::mine();
  Resolver resolver{html, base_url, {}, 0};
  lxb_html_document_t* const document = options.resolve_only ? tree.parse(html, Start::body, &Resolver::on_tag, &resolver) : tree.parse(html, Start::body);
  if (!options.resolve_only) out.html.reserve(html.size() + html.size() / 8);
  if (document->body != nullptr && (options.text || !options.resolve_only))
    Writer(base_url, true, out).body(lxb_dom_interface_node(document->body), options.text);
  if (options.resolve_only) {
    resolver.out.append(html, resolver.copied);
    out.html = std::move(resolver.out);
  }
  return out;
}

std::string to_text(std::string_view html) {
  std::string repaired;
  if (!is_valid_utf8(html)) html = repaired = repair_utf8(html);
  Cleaned out;
  if (html.find_first_of("<&") == std::string_view::npos) {
    Plain(out.text).add(html);
    return std::move(out.text);
  }
  lxb_html_document_t* const document = Tree::mine().parse(html, Start::body);
  if (document->body != nullptr) Writer({}, false, out).body(lxb_dom_interface_node(document->body), true);
  return std::move(out.text);
}

std::string title_text(std::string_view html) {
  std::string out = to_text(html);
  std::ranges::replace(out, '\n', ' ');
  return out;
}

}  // namespace weir::html
