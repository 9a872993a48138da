// Atom 1.0 (RFC 4287), Atom 0.3 and the drafts before it, with threading (RFC 4685), media, dc and itunes. A lone <entry> is a feed of one.
#include <algorithm>
#include <array>

#include "base/text.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

using xml::core;
using xml::Element;
using xml::key;
using xml::Ns;

std::string base64(std::string_view text) {
  std::string out;
  unsigned bits = 0, held = 0;
  for (const char c : text) {
    const int v = c >= 'A' && c <= 'Z'   ? c - 'A'
                  : c >= 'a' && c <= 'z' ? c - 'a' + 26
                  : c >= '0' && c <= '9' ? c - '0' + 52
                  : c == '+' || c == '-' ? 62
                  : c == '/' || c == '_' ? 63
                                         : -1;
    if (v < 0) continue;
    bits = bits << 6 | static_cast<unsigned>(v);
    if ((held += 6) >= 8) out += static_cast<char>(bits >> (held -= 8) & 0xFF);
  }
  return is_valid_utf8(out) ? out : repair_utf8(out);
}

// XHTML content stands in one <div> that does not belong to it (RFC 4287, 3.1.1.3).
Element without_div(Element element) {
  const Element only = element.first();
  return only && !only.next() && equal_ignoring_case(only.local_name(), "div") ? only : element;
}

enum class Kind { none, text, html };
struct Construct {
  Kind kind = Kind::none;
  std::string value;
  std::string base;
};

// A text construct of either Atom: `type` is text, html, xhtml or a MIME type; 0.3 adds `mode`.
Construct read_construct(Builder& builder, Element element, const std::string& outer) {
  Construct out{Kind::text, {}, builder.base(element, outer)};
  std::string scratch;
  const std::string type = to_lower_ascii(trim(element.attribute("type")));
  const std::string mode = to_lower_ascii(trim(element.attribute("mode")));
  const bool html = type == "html" || type.find("text/html") != std::string::npos;
  const bool xhtml = type == "xhtml" || type.find("xhtml+xml") != std::string::npos;
  const bool encoded =
      mode == "base64" || (mode.empty() && type.find('/') != std::string::npos && !xhtml && !type.starts_with("text/") && !type.ends_with("xml"));
  if (encoded) {
    if (type.starts_with("image/") || type.starts_with("audio/") || type.starts_with("video/")) return {};  // nothing to read
    out.value = base64(element.text(scratch));
    out.kind = type.starts_with("text/plain") ? Kind::text : Kind::html;
    return out;
  }
  // Elements inside are markup, whatever the type says; escaped ones are markup when the type says so.
  if (element.has_elements()) {
    out.kind = Kind::html;
    const Element inner = without_div(element);
    if (inner != element) out.base = builder.base(inner, out.base);
    if (html && !inner.has_elements()) out.value = inner.text(scratch);  // escaped markup inside a div: the type is right, the div is not
    else out.value = builder.markup(inner, out.base);
    return out;
  }
  if (xhtml && mode != "escaped") {
    xml::append_escaped(out.value, element.text(scratch));
    out.kind = Kind::html;
    return out;
  }
  out.value = element.text(scratch);
  out.kind = html || xhtml ? Kind::html : Kind::text;
  return out;
}

std::string line(Builder& builder, Element element, const std::string& base) {
  if (!element.has_elements() && (!element.has_attribute("type") || element.attribute("type") == "text") && !element.has_attribute("mode")) {
    std::string scratch;
    return builder.line(element.text(scratch), false);
  }
  const Construct text = read_construct(builder, element, base);
  return builder.line(text.value, text.kind == Kind::html);
}

Author read_person(Builder& builder, Element element, const std::string& base) {
  std::string scratch;
  Author author;
  author.name = builder.line(element.child(core("name")).text(scratch), false);
  for (const std::string_view name : std::to_array<std::string_view>({"uri", "url", "homepage"}))
    if (const Element address = element.child(core(name)); address && author.url.empty()) author.url = builder.url(address.text(scratch), base);
  if (author.name.empty()) author.name = builder.line(element.child(core("email")).text(scratch), false);
  if (author.name.empty() && author.url.empty() && !element.has_elements()) return person(builder.line(element.text(scratch), false));
  return author;
}

void add_category(Builder& builder, Element element, std::vector<std::string>& tags) {
  std::string scratch;
  std::string_view term = element.attribute("term");
  if (trim(term).empty()) term = element.attribute("label");
  if (trim(term).empty()) term = element.text(scratch);
  add_tag(tags, builder.line(term, false));
}

void read_entry(Builder& builder, Element entry, const std::string& outer) {
  Item item;
  Dates dates;
  std::string scratch, title;
  std::vector<Author> of_source;
  const std::string base = builder.base(entry, outer);
  item.language = language_tag(entry.attribute(key(Ns::xml, "lang")));
  Construct summary, content;
  for (Element child = entry.first(); child; child = child.next()) {
    const auto text = [&] { return child.text(scratch); };
    switch (child.key()) {
      case core("title"):
        if (title.empty()) title = line(builder, child, base);
        break;
      case core("id"):
      case core("guid"):
        if (item.id.empty()) item.id = builder.field(text());
        break;
      case core("link"): read_link(builder, child, base, item); break;
      case core("published"): set_date(builder, item.date_published, dates.published, 0, text()); break;
      case core("issued"):
      case core("pubDate"): set_date(builder, item.date_published, dates.published, 1, text()); break;
      case core("created"): set_date(builder, item.date_published, dates.published, 2, text()); break;
      case core("updated"):
      case core("modified"): set_date(builder, item.date_modified, dates.modified, 0, text()); break;
      case core("author"): add_author(item.authors, read_person(builder, child, base)); break;
      case core("source"):
        for (Element inner = child.first(); inner; inner = inner.next())
          if (inner.key() == core("author")) add_author(of_source, read_person(builder, inner, base));
        break;
      case core("category"): add_category(builder, child, item.tags); break;
      case core("summary"):
      case core("description"):
        if (summary.kind == Kind::none) summary = read_construct(builder, child, base);
        break;
      case core("content"): {
        if (const std::string_view src = trim(child.attribute("src")); !src.empty()) {  // it lies elsewhere
          std::string address = builder.url(src, builder.base(child, base));
          if (item.url.empty() && child.attribute("type").find("html") != std::string_view::npos) item.url = address;
          add_attachment(item.attachments, std::move(address),
                         child.attribute("type").find('/') == std::string_view::npos ? std::string_view() : child.attribute("type"), {});
          break;
        }
        // One content is the rule; where there are several, HTML goes before text.
        if (content.kind == Kind::none || (content.kind == Kind::text && child.attribute("type").find("html") != std::string_view::npos))
          content = read_construct(builder, child, base);
        break;
      }
      case key(Ns::thr, "total"): break;
      default: read_module(builder, child, base, item, dates);
    }
  }
  if (!title.empty()) item.title = std::move(title);  // its own before a module's
  if (item.authors.empty()) item.authors = std::move(of_source);
  const auto keep = [&](const Construct& from) {
    if (from.kind == Kind::html) item.content_html = builder.content(from.value, from.base);
    else item.content_text = builder.field(from.value);
  };
  if (content.kind != Kind::none && !trim(content.value).empty()) {
    keep(content);
  } else if (summary.kind == Kind::html && !trim(summary.value).empty()) keep(summary);  // the only text there is: its markup is worth keeping
  if (summary.kind != Kind::none && !trim(summary.value).empty()) item.summary = builder.line(summary.value, summary.kind == Kind::html);
  builder.add(std::move(item));
}

bool claims(const Source& source) { return source.root.key() == core("feed") || source.root.key() == core("entry"); }

Status read(const Source& source, Builder& builder) {
  Feed& feed = builder.feed;
  const Element root = source.root;
  const std::string_view version = root.attribute("version");
  feed.format = source.document->dialect() == xml::Dialect::atom03 || version.starts_with("0.") ? "atom0.3" : "atom1.0";
  const std::string base = builder.base(root, builder.options.base_url);
  feed.language = language_tag(root.attribute(key(Ns::xml, "lang")));
  if (root.key() == core("entry")) {
    read_entry(builder, root, builder.options.base_url);
    return {};
  }
  std::string scratch, logo, info;
  for (Element child = root.first(); child; child = child.next()) {
    const auto text = [&] { return child.text(scratch); };
    switch (child.key()) {
      case core("title"):
        if (feed.title.empty()) feed.title = line(builder, child, base);
        break;
      case core("subtitle"):
      case core("tagline"):
        if (feed.description.empty()) feed.description = line(builder, child, base);
        break;
      case core("info"):
      case core("description"):
        if (info.empty()) info = line(builder, child, base);
        break;
      case core("link"): read_link(builder, child, base, feed); break;
      case core("icon"):
        if (feed.icon.empty()) feed.icon = builder.url(text(), builder.base(child, base));
        break;
      case core("logo"): logo = builder.url(text(), builder.base(child, base)); break;
      case core("author"): add_author(feed.authors, read_person(builder, child, base)); break;
      case core("entry"):
      case core("item"):
        if (builder.room()) read_entry(builder, child, base);
        break;
      default: read_module(builder, child, base, feed);
    }
  }
  if (feed.icon.empty()) feed.icon = std::move(logo);
  if (feed.description.empty()) feed.description = std::move(info);
  return {};
}

}  // namespace

const Format atom_format{"atom", claims, read};

}  // namespace weir
