// Channel Definition Format (W3C note NOTE-CDFsubmit, 1997): everything stands in attributes. Old, small, and still among the feeds that lists name.
#include "base/text.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

using xml::core;
using xml::Element;

bool claims(const Source& source) { return source.root.key() == core("channel"); }  // one with RSS's items is RSS's: that row stands first

Status read(const Source& source, Builder& builder) {
  Feed& feed = builder.feed;
  std::string scratch;
  feed.format = "cdf";
  const std::string base = builder.base(source.root, builder.options.base_url);
  const auto address = [&](Element element) { return builder.url(element.attribute("href"), base); };
  feed.home_page_url = address(source.root);
  for (Element child = source.root.first(); child; child = child.next()) {
    switch (child.key()) {
      case core("title"): feed.title = builder.line(child.text(scratch), true); break;
      case core("abstract"): feed.description = builder.line(child.text(scratch), true); break;
      case core("logo"):
        if (feed.icon.empty()) feed.icon = address(child);
        break;
      case core("item"): {
        if (!builder.room()) return {};
        Item item;
        Dates dates;
        item.url = address(child);
        set_date(builder, item.date_modified, dates.modified, 0, child.attribute("lastmod"));
        item.title = builder.line(child.child(core("title")).text(scratch), true);
        item.summary = builder.line(child.child(core("abstract")).text(scratch), true);
        builder.add(std::move(item));
        break;
      }
      default: break;
    }
  }
  return {};
}

}  // namespace

const Format cdf_format{"cdf", claims, read};

}  // namespace weir
