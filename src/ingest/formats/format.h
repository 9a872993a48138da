// What a format is: a row in the table of parse.cc, made of a test and a reader; and the Builder that all readers write through, so that limits, URLs,
// dates, markup and identity are treated alike whatever the dialect.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/result.h"
#include "ingest/parse.h"
#include "ingest/xml.h"
#include "types/feed.h"

namespace weir {

// The document in the form that its reader wants. `text` is UTF-8; for XML formats `root` is the feed's own element, else empty.
struct Source {
  std::string_view text;
  xml::Element root;
  const xml::Document* document = nullptr;
};

class Builder {
 public:
  Builder(Feed& to, const ParseOptions& how) : feed(to), options(how) {}

  Feed& feed;
  const ParseOptions& options;
  bool has_base = false;  // xml:base occurs: then base() has to look

  void warn(std::string_view text);  // each once, at most 20
  bool room();                       // may one more item be read? Warns when not
  void add(Item item);

  // The base below `element`, given the one outside of it.
  std::string base(xml::Element element, const std::string& outer) const;

  // An http(s) address, absolute: as it is written when it is one already. Empty when it cannot be one.
  std::string url(std::string_view written, std::string_view base) const;
  // One line of plain text: of HTML when `html`, else as written.
  std::string line(std::string_view text, bool html);
  // Content: sanitised (or only resolved, with raw), cut at the limit.
  std::string content(std::string_view html, std::string_view base);
  std::string field(std::string_view text);                                 // as it is, trimmed and cut at the limit
  std::string markup(xml::Element element, const std::string& base) const;  // inner_html(), with xml:base inside it heeded

  // ids where there are none, the newest of too many, what the feed lacks but its items need.
  void finish();

 private:
  std::unordered_set<std::string> warned_;
  std::size_t read_ = 0;
};

std::string language_tag(std::string_view written);            // "en_US" → "en-US"; empty when it is no language tag
Author person(std::string_view text);                          // "email (Name)", "Name <email>", a name, an email
void add_author(std::vector<Author>& authors, Author author);  // unless empty or there already
void add_tag(std::vector<std::string>& tags, std::string_view tag);
void add_attachment(std::vector<Attachment>& attachments, std::string url, std::string_view type, std::string_view size, json::object extra = {});

// The modules that RSS and Atom share: dc, dcterms, media, itunes, thr. True when it was one of theirs.
struct Dates {
  int published = 100, modified = 100;
};  // how trustworthy what stands there is; smaller is better
bool read_module(Builder& builder, xml::Element element, const std::string& base, Item& item, Dates& dates);
bool read_module(Builder& builder, xml::Element element, const std::string& base, Feed& feed);
void set_date(Builder& builder, std::optional<Time>& date, int& held, int rank, std::string_view text);

// A link as Atom writes it, wherever it stands.
void read_link(Builder& builder, xml::Element link, const std::string& base, Item& item);
void read_link(Builder& builder, xml::Element link, const std::string& base, Feed& feed);

struct Format {
  std::string_view name;
  bool (*claims)(const Source& source);
  Status (*read)(const Source& source, Builder& builder);
};
extern const Format rss_format, atom_format, cdf_format, opml_format, json_format, html_format;

}  // namespace weir
