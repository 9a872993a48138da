#include "ingest/formats/format.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/hash.h"
#include "base/text.h"
#include "base/url.h"
#include "ingest/dates.h"

namespace weir {
namespace {

using xml::core;
using xml::Element;
using xml::key;
using xml::Ns;

// At most `limit` bytes, cut between code points.
std::string_view cut(std::string_view text, std::size_t limit) {
  if (text.size() <= limit) return text;
  while (limit > 0 && (text[limit] & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

// Whether HTML would read this text otherwise than as it stands: a tag, a reference.
bool has_markup(std::string_view text) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  for (std::size_t at = 0; at + 1 < text.size(); ++at) {
    const char next = text[at + 1];
    if (text[at] == '<' && (letter(next) || next == '/' || next == '!' || next == '?')) return true;
    if (text[at] == '&' && (letter(next) || next == '#')) return true;
  }
  return false;
}

bool is_quiet(std::string_view text) {  // one space at most between words, none at the ends
  bool space = true;
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if (u < ' ' || (c == ' ' && space) || u == 0xC2 || u == 0xE3) return false;  // 0xC2, 0xE3 lead U+00A0 and U+3000
    space = c == ' ';
  }
  return !text.empty() && !space;
}

}  // namespace

void Builder::warn(std::string_view text) {
  if (feed.warnings.size() < 20 && warned_.emplace(text).second) feed.warnings.emplace_back(text);
}

bool Builder::room() {
  if (read_ < options.limits.items_read) return true;
  warn("more than " + std::to_string(options.limits.items_read) + " items: the rest was not read");
  return false;
}

void Builder::add(Item item) {
  ++read_;
  feed.items.push_back(std::move(item));
}

std::string Builder::base(Element element, const std::string& outer) const {
  if (!has_base) return outer;
  const std::string_view own = trim(element.attribute(key(Ns::xml, "base")));
  if (own.empty()) return outer;
  const std::string resolved = resolve(own, outer);
  return is_http(resolved) ? resolved : outer;
}

std::string Builder::url(std::string_view written, std::string_view base) const {
  written = trim(written);
  if (written.empty() || written.size() > max_url) return {};
  // As it is written when a browser would take it so.
  const bool clean =
      std::ranges::none_of(written, [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '<' || c == '>' || c == '"' || c == '\\'; });
  if (clean && written.size() > 7 && (equal_ignoring_case(written.substr(0, 7), "http://") || equal_ignoring_case(written.substr(0, 8), "https://")))
    return is_http(written) ? std::string(written) : std::string();
  const std::string resolved = resolve(written, base);
  return is_http(resolved) ? resolved : std::string();
}

std::string Builder::line(std::string_view text, bool html) {
  text = cut(trim(text), options.limits.field);
  if (html && options.html.text && has_markup(text)) return options.html.text(text);
  return is_quiet(text) ? std::string(text) : collapse_spaces(text);
}

std::string Builder::content(std::string_view html, std::string_view base) {
  html = trim(html);
  if (html.size() > options.limits.field) {
    warn("a field longer than " + std::to_string(options.limits.field) + " bytes was cut");
    html = cut(html, options.limits.field);
  }
  if (html.empty()) return {};
  const auto treat = options.raw && options.html.resolve ? options.html.resolve : options.html.clean;
  return treat ? treat(html, base) : std::string(html);
}

std::string Builder::field(std::string_view text) {
  text = trim(text);
  if (text.size() > options.limits.field) warn("a field longer than " + std::to_string(options.limits.field) + " bytes was cut");
  return std::string(cut(text, options.limits.field));
}

std::string Builder::markup(Element element, const std::string& outer) const {
  if (!has_base) return element.inner_html();
  return element.inner_html([&](Element at, std::string_view value) {
    // From the outside in, the bases between the element and the attribute; the tree is at most `depth` deep.
    std::vector<Element> path;
    for (Element e = at; e && e.key() && e != element; e = e.parent()) path.push_back(e);
    std::string inner = outer;
    for (std::size_t i = path.size(); i-- > 0;) inner = base(path[i], inner);
    if (inner == outer) return std::string(value);
    const std::string resolved = resolve(value, inner);
    return resolved.empty() ? std::string(value) : resolved;
  });
}

void Builder::finish() {
  const std::size_t keep = options.limits.items_kept;
  if (feed.items.size() > keep) {
    std::vector<std::size_t> order(feed.items.size());
    std::iota(order.begin(), order.end(), 0u);
    const auto date = [&](std::size_t i) {
      const Item& item = feed.items[i];
      return item.date_published ? *item.date_published : item.date_modified.value_or(Time::max());
    };
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return date(a) != date(b) ? date(a) > date(b) : a < b; });
    order.resize(keep);
    std::ranges::sort(order);
    std::vector<Item> kept;
    kept.reserve(keep);
    for (const std::size_t i : order) kept.push_back(std::move(feed.items[i]));
    warn(std::to_string(feed.items.size()) + " items: the newest " + std::to_string(keep) + " were kept");
    feed.items = std::move(kept);
  }
  for (Item& item : feed.items) {
    if (!item.id.empty()) continue;
    if (!item.url.empty()) {
      item.id = item.url;
      continue;
    }
    // What makes it that item; the date only where there is nothing else.
    std::string identity = item.title + '\0' + item.content_html + '\0' + item.content_text + '\0' + item.summary;
    for (const Attachment& attachment : item.attachments) identity += '\0' + attachment.url;
    if (identity.size() == 3)
      identity += item.date_published ? to_rfc3339(*item.date_published) : item.date_modified ? to_rfc3339(*item.date_modified) : item.image;
    item.id = "sha256:" + to_hex(sha256(identity));
  }
}

std::string language_tag(std::string_view written) {
  written = trim(written);
  if (written.empty() || written.size() > 35) return {};
  std::string tag(written);
  for (char& c : tag) {
    if (c == '_') c = '-';
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-')) return {};
  }
  return tag;
}

Author person(std::string_view text) {
  text = trim(text);
  const auto strip = [](std::string_view s) {
    s = trim(s);
    while (s.size() > 1 && (s.front() == '"' || s.front() == '\'') && s.back() == s.front()) s = trim(s.substr(1, s.size() - 2));
    return s;
  };
  std::string_view name = text;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    if (const std::size_t open = text.find('('); open != std::string_view::npos && text.back() == ')') {  // email (Name), or Name (email)
      const std::string_view inside = strip(text.substr(open + 1, text.size() - open - 2)), outside = strip(text.substr(0, open));
      name = at < open ? inside : outside;
      if (name.empty()) name = at < open ? outside : inside;
    } else if (const std::size_t less = text.find('<'); less != std::string_view::npos && text.back() == '>' && less > 0) {  // Name <email>
      name = strip(text.substr(0, less));
    }
  }
  return {.name = collapse_spaces(strip(name)), .url = {}};
}

void add_author(std::vector<Author>& authors, Author author) {
  if ((!author.name.empty() || !author.url.empty()) && authors.size() < 100 && std::ranges::find(authors, author) == authors.end())
    authors.push_back(std::move(author));
}

void add_tag(std::vector<std::string>& tags, std::string_view tag) {
  std::string clean = collapse_spaces(tag.substr(0, 1024));
  if (!is_valid_utf8(clean)) clean = repair_utf8(clean);
  if (!clean.empty() && tags.size() < 200 && std::ranges::find(tags, clean) == tags.end()) tags.push_back(std::move(clean));
}

void add_attachment(std::vector<Attachment>& attachments, std::string url, std::string_view type, std::string_view size, json::object extra) {
  if (url.empty() || attachments.size() >= 200) return;
  size = trim(size);
  std::int64_t bytes = 0;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bytes);
  const bool sized = error == std::errc() && end == size.data() + size.size() && bytes > 0;  // 0 is what is written when nobody knows
  const auto same = std::ranges::find(attachments, url, &Attachment::url);
  if (same != attachments.end()) {
    if (same->mime_type.empty()) same->mime_type = trim(type);
    if (sized && !same->size_in_bytes) same->size_in_bytes = bytes;
    return;
  }
  attachments.push_back({std::move(url), std::string(trim(type)), sized ? std::optional(bytes) : std::nullopt, std::move(extra)});
}

void set_date(Builder& builder, std::optional<Time>& date, int& held, int rank, std::string_view text) {
  if (rank > held) return;  // of equals the last one counts
  if (const auto parsed = parse_date(text)) {
    date = parsed;
    held = rank;
  } else if (text = trim(text); !text.empty()) {
    builder.warn("a date that is none was left out" + (text.size() <= 40 ? ": " + std::string(text) : ""));
  }
}

namespace {
std::string link_address(Builder& builder, Element link, const std::string& base) {
  std::string scratch;
  return builder.url(link.has_attribute("href") ? link.attribute("href") : link.text(scratch), builder.base(link, base));
}

json::object& ours(Item& item) {
  json::value& weir = item.extra["_weir"];
  if (!weir.is_object()) weir = json::object();
  return weir.as_object();
}
}  // namespace

void read_link(Builder& builder, Element link, const std::string& base, Item& item) {
  const std::string_view rel = trim(link.attribute("rel"));
  std::string url = link_address(builder, link, base);
  if (url.empty()) return;
  if (rel.empty() || equal_ignoring_case(rel, "alternate")) {
    if (item.url.empty()) item.url = std::move(url);
  } else if (equal_ignoring_case(rel, "enclosure")) {
    add_attachment(item.attachments, std::move(url), link.attribute("type"), link.attribute("length"));
  } else if (equal_ignoring_case(rel, "replies")) {
    ours(item)["comments_url"] = url;
  }
}

void read_link(Builder& builder, Element link, const std::string& base, Feed& feed) {
  const std::string_view rel = trim(link.attribute("rel"));
  const std::string_view type = trim(link.attribute("type"));
  std::string url = link_address(builder, link, base);
  if (url.empty()) return;
  if (rel.empty() || equal_ignoring_case(rel, "alternate")) {
    if (feed.home_page_url.empty() && (type.empty() || type.find("html") != std::string_view::npos || !type.find("text/"))) feed.home_page_url = std::move(url);
  } else if (equal_ignoring_case(rel, "self") && feed.feed_url.empty()) {
    feed.feed_url = std::move(url);
  }
}

namespace {

// media:content, its thumbnail, its group.
void read_media(Builder& builder, Element element, const std::string& base, Item& item) {
  std::string scratch;
  switch (element.key()) {
    case key(Ns::media, "content"): {
      std::string url = builder.url(element.attribute("url"), base);
      const bool picture = equal_ignoring_case(element.attribute("medium"), "image") || element.attribute("type").starts_with("image/");
      if (picture && item.image.empty()) item.image = url;
      add_attachment(item.attachments, std::move(url), element.attribute("type"), element.attribute("fileSize"));
      break;
    }
    case key(Ns::media, "thumbnail"): {
      std::string url = builder.url(element.attribute("url"), base);
      if (url.empty()) url = builder.url(element.text(scratch), base);
      if (!url.empty() && item.image.empty()) item.image = std::move(url);
      break;
    }
    case key(Ns::media, "title"):
      if (item.title.empty()) item.title = builder.line(element.text(scratch), element.attribute("type") == "html");
      break;
    case key(Ns::media, "description"):
      if (item.content_text.empty() && item.content_html.empty() && item.summary.empty()) {
        if (element.attribute("type") == "html") item.content_html = builder.content(element.text(scratch), base);
        else item.content_text = builder.field(element.text(scratch));
      }
      break;
    case key(Ns::media, "credit"):
      if (item.authors.empty() && (!element.has_attribute("role") || equal_ignoring_case(element.attribute("role"), "author")))
        add_author(item.authors, {builder.line(element.text(scratch), false), {}});
      break;
    case key(Ns::media, "category"): add_tag(item.tags, element.has_attribute("label") ? element.attribute("label") : element.text(scratch)); break;
    case key(Ns::media, "keywords"):
      for (const std::string_view word : split(element.text(scratch), ',')) add_tag(item.tags, word);
      break;
    default: break;
  }
}

// <itunes:image href>, with its misspelling, and <itunes:link rel="image">.
std::string itunes_image(Builder& builder, Element element, const std::string& base) {
  if (element.key() == key(Ns::itunes, "link") && !equal_ignoring_case(element.attribute("rel"), "image")) return {};
  return builder.url(element.has_attribute("href") ? element.attribute("href") : element.attribute("url"), base);
}

void add_in_reply_to(Builder& builder, Element element, const std::string& base, Item& item) {
  json::object reply;
  if (const std::string_view ref = trim(element.attribute("ref")); !ref.empty()) reply["id"] = builder.field(ref);
  if (const std::string url = builder.url(element.attribute("href"), base); !url.empty()) reply["url"] = url;
  if (!reply.empty()) ours(item)["in_reply_to"] = std::move(reply);
}

}  // namespace

bool read_module(Builder& builder, Element element, const std::string& base, Item& item, Dates& dates) {
  std::string scratch;
  const auto text = [&] { return element.text(scratch); };
  switch (element.ns()) {
    case Ns::dc:
    case Ns::dcterms:
    case Ns::media:
    case Ns::itunes:
    case Ns::thr:
    case Ns::atom: break;
    default: return false;
  }
  switch (element.key()) {
    case key(Ns::dc, "date"): set_date(builder, item.date_published, dates.published, 10, text()); break;
    case key(Ns::dcterms, "issued"): set_date(builder, item.date_published, dates.published, 5, text()); break;
    case key(Ns::dcterms, "created"): set_date(builder, item.date_published, dates.published, 20, text()); break;
    case key(Ns::dcterms, "modified"): set_date(builder, item.date_modified, dates.modified, 5, text()); break;
    case key(Ns::atom, "published"): set_date(builder, item.date_published, dates.published, 3, text()); break;
    case key(Ns::atom, "updated"): set_date(builder, item.date_modified, dates.modified, 3, text()); break;
    case key(Ns::dc, "creator"):
    case key(Ns::dc, "author"): add_author(item.authors, person(builder.line(text(), true))); break;
    case key(Ns::itunes, "author"):
      if (item.authors.empty()) add_author(item.authors, person(builder.line(text(), true)));
      break;
    case key(Ns::dc, "subject"): add_tag(item.tags, text()); break;
    case key(Ns::itunes, "category"):
      add_tag(item.tags, element.attribute("text"));
      for (Element inner = element.first(); inner; inner = inner.next()) add_tag(item.tags, inner.attribute("text"));
      break;
    case key(Ns::itunes, "keywords"):
      for (const std::string_view word : split(text(), ',')) add_tag(item.tags, word);
      break;
    case key(Ns::dc, "title"):
    case key(Ns::itunes, "title"):
      if (item.title.empty()) item.title = builder.line(text(), true);
      break;
    case key(Ns::dc, "language"):
      if (item.language.empty()) item.language = language_tag(text());
      break;
    case key(Ns::dc, "description"):
    case key(Ns::itunes, "summary"):
    case key(Ns::itunes, "subtitle"):
      if (item.summary.empty()) item.summary = builder.line(text(), true);
      break;
    case key(Ns::itunes, "image"):
    case key(Ns::itunes, "link"):
      if (item.image.empty()) item.image = itunes_image(builder, element, base);
      break;
    case key(Ns::atom, "link"): read_link(builder, element, base, item); break;
    case key(Ns::atom, "author"): {
      std::string name = builder.line(element.child(key(Ns::atom, "name")).text(scratch), false);
      add_author(item.authors, {std::move(name), builder.url(element.child(key(Ns::atom, "uri")).text(scratch), base)});
      break;
    }
    case key(Ns::atom, "category"): add_tag(item.tags, element.attribute("term")); break;
    case key(Ns::atom, "summary"):
      if (item.summary.empty()) item.summary = builder.line(text(), element.attribute("type") == "html");
      break;
    case key(Ns::atom, "content"):
      if (!item.content_html.empty()) break;
      if (element.has_elements()) item.content_html = builder.content(builder.markup(element, base), base);
      else if (element.attribute("type") == "html") item.content_html = builder.content(text(), base);
      else item.content_text = builder.field(text());
      break;
    case key(Ns::thr, "in-reply-to"): add_in_reply_to(builder, element, base, item); break;
    case key(Ns::media, "group"):
      for (Element inner = element.first(); inner; inner = inner.next()) {
        read_media(builder, inner, base, item);
        if (inner.key() == key(Ns::media, "content"))
          for (Element deep = inner.first(); deep; deep = deep.next()) read_media(builder, deep, base, item);
      }
      break;
    case key(Ns::media, "content"):
      read_media(builder, element, base, item);
      for (Element inner = element.first(); inner; inner = inner.next()) read_media(builder, inner, base, item);
      break;
    default: read_media(builder, element, base, item);
  }
  return true;
}

bool read_module(Builder& builder, Element element, const std::string& base, Feed& feed) {
  std::string scratch;
  const auto text = [&] { return element.text(scratch); };
  switch (element.key()) {
    case key(Ns::dc, "title"):
      if (feed.title.empty()) feed.title = builder.line(text(), true);
      break;
    case key(Ns::dc, "description"):
    case key(Ns::itunes, "subtitle"):
    case key(Ns::itunes, "summary"):
      if (feed.description.empty()) feed.description = builder.line(text(), true);
      break;
    case key(Ns::dc, "language"):
      if (feed.language.empty()) feed.language = language_tag(text());
      break;
    case key(Ns::dc, "creator"):
    case key(Ns::dc, "author"): add_author(feed.authors, person(builder.line(text(), true))); break;
    case key(Ns::itunes, "author"):
      if (feed.authors.empty()) add_author(feed.authors, person(builder.line(text(), true)));
      break;
    case key(Ns::itunes, "image"):
    case key(Ns::itunes, "link"):
      if (feed.icon.empty()) feed.icon = itunes_image(builder, element, base);
      break;
    case key(Ns::atom, "link"): read_link(builder, element, base, feed); break;
    case key(Ns::atom, "icon"):
    case key(Ns::atom, "logo"):
      if (feed.icon.empty()) feed.icon = builder.url(text(), base);
      break;
    case key(Ns::sy, "updateperiod"): {
      static constexpr std::pair<std::string_view, int> periods[] = {
          {"hourly", 3600}, {"daily", 86400}, {"weekly", 604800}, {"monthly", 2592000}, {"yearly", 31536000}};
      for (const auto& [name, seconds] : periods)
        if (equal_ignoring_case(trim(text()), name) && !feed.ttl) {
          std::string other;
          const std::string_view frequency = trim(element.parent().child(key(Ns::sy, "updatefrequency")).text(other));
          int times = 1;
          std::from_chars(frequency.data(), frequency.data() + frequency.size(), times);
          feed.ttl = std::chrono::seconds(seconds / std::clamp(times, 1, 3600));
        }
      break;
    }
    default: return false;
  }
  return true;
}

}  // namespace weir
