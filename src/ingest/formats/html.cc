// A page as a list of what it links to. The reading is the html module's (HtmlTools::links); here stands only what becomes of it.
#include "base/text.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

bool claims(const Source& source) {
  // A doctype or a root that says so, behind whatever an XML declaration and comments put in front.
  std::string_view text = source.text;
  for (int skipped = 0; skipped < 64; ++skipped) {
    const std::size_t at = text.find_first_not_of(" \t\n");
    if (at == std::string_view::npos) return false;
    text.remove_prefix(at);
    if (text.starts_with("<?")) text.remove_prefix(std::min(text.size(), text.find('>')));
    else if (text.starts_with("<!--")) text.remove_prefix(std::min(text.size(), text.find("-->")));
    else break;
    const std::size_t end = text.find('>');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  const std::string start = to_lower_ascii(text.substr(0, 16));
  return start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head") || start.starts_with("<body");
}

Status read(const Source& source, Builder& builder) {
  if (!builder.options.html.links) return fail(Code::not_a_feed, say("web_page", "a web page"), {}, "give the address of its feed");
  const PageLinks page = TRY(builder.options.html.links(source.text, builder.options.base_url));
  builder.feed.format = "html";
  builder.feed.title = builder.line(page.title, false);
  builder.feed.language = language_tag(page.language);
  builder.feed.icon = builder.url(page.icon, {});
  for (const PageLinks::Link& link : page.links) {
    if (!builder.room()) break;
    Item item;
    item.url = builder.url(link.url, builder.options.base_url);
    item.title = builder.line(link.title, false);
    if (!item.url.empty()) builder.add(std::move(item));
  }
  return {};
}

}  // namespace

const Format html_format{"html", claims, read};

}  // namespace weir
