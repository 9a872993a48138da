// RSS 0.90, 0.91, 0.92, 1.0 and 2.0 (rssboard.org/rss-specification; web.resource.org/rss/1.0/spec) with content, dc, dcterms, media, itunes, thr, sy and
// Atom's links. Items are looked for in the channel and beside it, whatever the version says: feeds mix them.
#include <array>
#include <charconv>

#include "base/text.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

using xml::core;
using xml::Element;
using xml::key;
using xml::Ns;

std::string version(const Source& source) {
  const std::string_view written = trim(source.root.attribute("version"));
  if (source.root.key() == key(Ns::rdf, "RDF") || source.root.key() == core("RDF"))
    return source.document->dialect() == xml::Dialect::rss090 ? "rss0.90" : "rss1.0";
  if (written.starts_with("0.90")) return "rss0.90";
  if (written.starts_with("0.91")) return "rss0.91";
  if (written.starts_with("0.9")) return "rss0.92";  // 0.93 and 0.94 are drafts between it and 2.0
  if (written.starts_with("1.")) return "rss1.0";
  return "rss2.0";
}

// Content as its publisher meant it: escaped HTML, or markup written straight into the XML.
std::string_view html_of(Builder& builder, Element element, const std::string& base, std::string& scratch) {
  if (!element.has_elements()) return element.text(scratch);
  scratch = builder.markup(element, base);
  return scratch;
}

// "email (Name)" as the specification asks, or a name; an email in angle brackets is not markup.
Author writer(Builder& builder, std::string_view text) { return person(builder.line(text, text.find('@') == std::string_view::npos)); }

bool is_plain(Element element) {
  return equal_ignoring_case(trim(element.attribute("type")), "text") || equal_ignoring_case(trim(element.attribute("type")), "text/plain");
}

void read_item(Builder& builder, Element element, const std::string& outer, const std::string& home) {
  Item item;
  Dates dates;
  std::string scratch, title, guid, origin, description, summary;
  const std::string base = builder.base(element, outer);
  bool permalink = false, full = false;
  const std::string& link_base = base.empty() ? home : base;
  item.id = builder.field(element.attribute(key(Ns::rdf, "about")));
  item.language = language_tag(element.attribute(key(Ns::xml, "lang")));
  for (Element child = element.first(); child; child = child.next()) {
    const auto text = [&] { return child.text(scratch); };
    switch (child.key()) {
      case core("title"):
        if (title.empty()) title = builder.line(child.has_elements() ? html_of(builder, child, base, scratch) : text(), true);
        break;
      case core("link"):
        if (child.has_attribute("href") && trim(text()).empty()) read_link(builder, child, link_base, item);
        else if (item.url.empty()) item.url = builder.url(text(), builder.has_base ? builder.base(child, link_base) : link_base);
        break;
      case core("guid"):
      case core("id"):
        if (!guid.empty()) break;
        guid = builder.field(text());
        permalink = child.key() == core("guid") && !equal_ignoring_case(trim(child.attribute("isPermaLink")), "false");
        break;
      case core("description"):
      case core("summary"):
      case core("abstract"): {
        // A second text beside a first one is the longer form; see feedparser's tests for both orders.
        if (is_plain(child)) {
          if (item.content_text.empty()) item.content_text = builder.field(text());
          break;
        }
        std::string html = std::string(trim(html_of(builder, child, base, scratch)));
        const std::string inner_base = builder.base(child, base);
        if (html.empty()) break;
        if (description.empty()) {
          description = std::move(html);
          summary = inner_base;
        } else if (!full && child.key() != core("abstract")) {
          item.content_html = builder.content(html, inner_base.empty() ? home : inner_base);
          full = true;
        }
        break;
      }
      case key(Ns::content, "encoded"):
      case core("fullitem"):
      case core("body"):
      case key(Ns::xhtml, "body"):
      case core("content"):
      case key(Ns::xhtml, "div"): {
        if (full && child.key() != key(Ns::content, "encoded")) break;
        const std::string inner_base = builder.base(child, base);
        std::string html = builder.content(html_of(builder, child, base, scratch), inner_base.empty() ? home : inner_base);
        if (html.empty()) break;
        item.content_html = std::move(html);
        full = true;
        break;
      }
      case core("pubDate"): set_date(builder, item.date_published, dates.published, 0, text()); break;
      case core("date"):
      case core("published"):
      case core("issued"): set_date(builder, item.date_published, dates.published, 4, text()); break;
      case core("updated"):
      case core("modified"):
      case core("lastBuildDate"): set_date(builder, item.date_modified, dates.modified, 4, text()); break;
      case core("author"):
        if (const Element name = child.child(core("name"))) add_author(item.authors, {builder.line(name.text(scratch), true), {}});
        else add_author(item.authors, writer(builder, text()));
        break;
      case core("category"):
      case core("keywords"): add_tag(item.tags, builder.line(text(), true)); break;
      case core("tags"):
        for (const std::string_view tag : split(text(), ',')) add_tag(item.tags, tag);
        break;
      case core("enclosure"):
        add_attachment(item.attachments, builder.url(child.has_attribute("url") ? child.attribute("url") : child.attribute("href"), link_base),
                       child.attribute("type"), child.attribute("length"));
        break;
      case core("image"):
      case core("thumbnail"):
        if (item.image.empty())
          item.image = builder.url(child.has_attribute("url") ? child.attribute("url")
                                   : child.has_elements()     ? child.child(core("url")).text(scratch)
                                                              : text(),
                                   link_base);
        break;
      case core("language"):
        if (item.language.empty()) item.language = language_tag(text());
        break;
      case key(Ns::feedburner, "origLink"): origin = builder.url(text(), link_base); break;
      default: read_module(builder, child, link_base, item, dates);
    }
  }
  if (!title.empty()) item.title = std::move(title);  // its own before a module's
  if (item.id.empty()) item.id = guid;
  if (item.url.empty()) item.url = std::move(origin);
  if (item.url.empty() && permalink) {
    const std::string_view address = guid;
    if (address.size() > 7 && (equal_ignoring_case(address.substr(0, 7), "http://") || equal_ignoring_case(address.substr(0, 8), "https://")))
      item.url = builder.url(address, {});
  }
  if (!description.empty()) {
    const std::string& description_base = summary.empty() ? home : summary;
    if (item.content_html.empty()) item.content_html = builder.content(description, description_base);
    else item.summary = builder.line(description, true);
  }
  builder.add(std::move(item));
}

void read_schedule(Element element, Feed& feed) {
  std::string scratch;
  const auto number = [&](Element from) {
    const std::string_view text = trim(from.text(scratch));
    int value = -1;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  if (element.key() == core("ttl")) {
    const int minutes = number(element);
    if (minutes > 0 && minutes <= 525'600) feed.ttl = std::chrono::minutes(minutes);  // beyond a year it is a mistake
  } else if (element.key() == core("skipHours")) {
    for (Element hour = element.first(); hour; hour = hour.next())
      if (const int h = number(hour); h >= 0 && h <= 24) feed.skip_hours |= 1u << (h % 24);
  } else {
    static constexpr std::array<std::string_view, 7> days{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"};
    for (Element day = element.first(); day; day = day.next())
      for (std::size_t d = 0; d < days.size(); ++d)
        if (equal_ignoring_case(trim(day.text(scratch)), days[d])) feed.skip_days = static_cast<std::uint8_t>(feed.skip_days | 1u << d);
  }
}

void read_channel(Builder& builder, Element channel, const std::string& base) {
  Feed& feed = builder.feed;
  std::string scratch;
  if (feed.language.empty()) feed.language = language_tag(channel.attribute(key(Ns::xml, "lang")));
  for (Element child = channel.first(); child; child = child.next()) {
    const auto text = [&] { return child.text(scratch); };
    switch (child.key()) {
      case core("item"): break;
      case core("title"):
        if (feed.title.empty()) feed.title = builder.line(child.has_elements() ? html_of(builder, child, base, scratch) : text(), true);
        break;
      case core("link"):
        if (child.has_attribute("href") && trim(text()).empty()) read_link(builder, child, base, feed);
        else if (feed.home_page_url.empty()) feed.home_page_url = builder.url(text(), builder.base(child, base));
        break;
      case core("description"):
      case core("tagline"):
      case core("subtitle"):
      case core("info"):
        if (feed.description.empty()) feed.description = builder.line(html_of(builder, child, base, scratch), true);
        break;
      case core("language"):
        if (const std::string tag = language_tag(text()); !tag.empty()) feed.language = tag;
        break;
      case core("managingEditor"):
      case core("author"): add_author(feed.authors, writer(builder, text())); break;
      case core("image"):
        if (feed.icon.empty())
          feed.icon = builder.url(child.has_elements() ? child.child(core("url")).text(scratch) : text(), base.empty() ? feed.home_page_url : base);
        break;
      case core("ttl"):
      case core("skipHours"):
      case core("skipDays"): read_schedule(child, feed); break;
      default: read_module(builder, child, base, feed);
    }
  }
}

void read_items(Builder& builder, Element parent, const std::string& base) {
  for (Element child = parent.first(); child; child = child.next())
    if (child.key() == core("item")) {
      if (!builder.room()) return;
      read_item(builder, child, base, builder.feed.home_page_url);
    }
}

bool claims(const Source& source) {
  const xml::Key root = source.root.key();
  if (root == core("rss") || root == key(Ns::rdf, "RDF") || root == core("RDF")) return true;
  // A channel on its own, without what CDF has.
  return root == core("channel") && !source.root.has_attribute("href") && !source.root.has_attribute("lastmod") && !source.root.child(core("abstract")) &&
         !source.root.child(core("item")).has_attribute("href") && !source.root.child(core("item")).has_attribute("lastmod");
}

Status read(const Source& source, Builder& builder) {
  builder.feed.format = version(source);
  const std::string root_base = builder.base(source.root, builder.options.base_url);
  builder.feed.language = language_tag(source.root.attribute(key(Ns::xml, "lang")));
  if (source.root.key() == core("channel")) {
    read_channel(builder, source.root, root_base);
    read_items(builder, source.root, root_base);
    return {};
  }
  // Channels first, wherever they stand: items are read against their home page.
  for (Element channel = source.root.first(); channel; channel = channel.next())
    if (channel.key() == core("channel")) read_channel(builder, channel, builder.base(channel, root_base));
  if (const Element image = source.root.child(core("image")); image && builder.feed.icon.empty()) {  // RSS 0.90 and 1.0 have it beside the channel
    std::string scratch;
    builder.feed.icon = builder.url(image.child(core("url")).text(scratch), root_base);
  }
  for (Element child = source.root.first(); child; child = child.next())
    if (child.key() == core("channel")) read_items(builder, child, builder.base(child, root_base));
  read_items(builder, source.root, root_base);
  return {};
}

}  // namespace

const Format rss_format{"rss", claims, read};

}  // namespace weir
