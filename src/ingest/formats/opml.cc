// OPML 1.0 and 2.0 (opml.org/spec2.opml), twice: as a document that lists what it links to, and as subscriptions in folders (ingest/opml.h).
#include "ingest/opml.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "base/url.h"
#include "ingest/charset.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

using xml::core;
using xml::Element;

constexpr std::size_t max_outlines = 50'000, max_folders = 16, max_named = 20;

std::string_view title_of(Element outline) {
  const std::string_view title = trim(outline.attribute("title"));
  return title.empty() ? trim(outline.attribute("text")) : title;
}

// Calls visit(outline, depth) for every outline in document order, depth 1 at the top. Iterative.
template <class Visit>
Status walk(Element body, Visit visit) {
  std::size_t depth = 1, seen = 0;
  Element at = body.child(core("outline"));
  const auto next_outline = [](Element from) {
    while (from && from.key() != core("outline")) from = from.next();
    return from;
  };
  while (at) {
    if (++seen > max_outlines)
      return fail(Code::too_large, say("outlines_too_many", "more than {limit} outlines", {{"limit", max_outlines}}), {}, "split the file");
    if (depth > max_folders)
      return fail(Code::too_deep, say("folders_too_deep", "folders nested deeper than {limit} levels", {{"limit", max_folders}}), {}, "flatten the file");
    TRY(visit(at, depth));
    if (const Element child = at.child(core("outline"))) {
      at = child;
      ++depth;
      continue;
    }
    Element next = next_outline(at.next());
    while (!next && depth > 1) {
      at = at.parent();
      --depth;
      next = next_outline(at.next());
    }
    at = next;
  }
  return {};
}

bool claims(const Source& source) { return source.root.key() == core("opml"); }

Status read(const Source& source, Builder& builder) {
  Feed& feed = builder.feed;
  feed.format = "opml";
  std::string scratch;
  feed.title = builder.line(source.root.child(core("head")).child(core("title")).text(scratch), false);
  const std::string base = builder.options.base_url;
  bool full = false;
  return walk(source.root.child(core("body")), [&](Element outline, std::size_t) -> Status {
    Item item;
    for (const std::string_view name : {"xmlUrl", "url", "htmlUrl", "href"})
      if (item.url.empty()) item.url = builder.url(outline.attribute(name), base);
    if (item.url.empty() || full) return {};
    if (!builder.room()) {
      full = true;
      return {};
    }
    item.title = builder.line(title_of(outline), false);
    builder.add(std::move(item));
    return {};
  });
}

void indent(std::string& out, std::size_t depth) { out.append(2 * depth, ' '); }

}  // namespace

const Format opml_format{"opml", claims, read};

Result<Opml> read_opml(std::string_view bytes) {
  Decoded decoded = TRY(to_utf8(bytes));
  const xml::Document document = TRY(xml::Document::parse(decoded.text));
  Opml out;
  out.warnings = std::move(decoded.warnings);
  out.warnings.insert(out.warnings.end(), document.warnings().begin(), document.warnings().end());
  const Element root = document.root().child(core("opml"));
  if (!root) return fail(Code::not_a_feed, say("not_opml", "no <opml> in it"), {}, "give an OPML file");
  std::string scratch;
  out.title = collapse_spaces(root.child(core("head")).child(core("title")).text(scratch));
  std::vector<std::string> folders;
  std::size_t passed_over = 0;
  TRY(walk(root.child(core("body")), [&](Element outline, std::size_t depth) -> Status {
    folders.resize(std::min(folders.size(), depth - 1));
    std::string title = collapse_spaces(title_of(outline));
    const std::string_view address = trim(outline.attribute("xmlUrl"));
    if (is_http(address)) {
      OpmlSource made{title, std::string(address), {}, {}};
      if (const std::string_view home = trim(outline.attribute("htmlUrl")); is_http(home)) made.home_page_url = home;
      for (const std::string& folder : folders)
        if (!folder.empty()) made.folders.push_back(folder);
      // Where it stands in no folder, its category says one: "/a/b,/c".
      if (made.folders.empty())
        if (const std::string_view category = split(outline.attribute("category"), ',').front(); !trim(category).empty())
          for (const std::string_view part : split(category, '/'))
            if (std::string folder = collapse_spaces(part); !folder.empty() && made.folders.size() < max_folders) made.folders.push_back(std::move(folder));
      out.sources.push_back(std::move(made));
    } else if ((!address.empty() || !outline.child(core("outline"))) && ++passed_over <= max_named) {
      const std::string what = address.empty() ? "no address" : without_credentials(address) + " is no http(s) address";
      out.warnings.push_back("outline \"" + title + "\": " + what);
    }
    folders.push_back(std::move(title));
    return {};
  }));
  if (passed_over > max_named) out.warnings.push_back(std::to_string(passed_over - max_named) + " more outlines without an http(s) address");
  return out;
}

std::string write_opml(const Opml& opml) {
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<opml version=\"2.0\">\n  <head>\n    <title>";
  const auto attribute = [&](std::string_view name, std::string_view value) {
    out += ' ';
    out += name;
    out += "=\"";
    for (const char c : std::string_view(value)) {  // bare line ends and tabs become a reader's spaces
      if (c == '\n') out += "&#10;";
      else if (c == '\t') out += "&#9;";
      else if (static_cast<unsigned char>(c) >= ' ') xml::append_escaped(out, {&c, 1});
    }
    out += '"';
  };
  xml::append_escaped(out, opml.title);
  out += "</title>\n  </head>\n  <body>\n";
  // Sources by folder path, in the order of each path's first source.
  std::vector<std::pair<const std::vector<std::string>*, std::vector<const OpmlSource*>>> groups;
  std::map<std::vector<std::string>, std::size_t> index;
  for (const OpmlSource& source : opml.sources) {
    const auto [at, fresh] = index.try_emplace(source.folders, groups.size());
    if (fresh) groups.push_back({&source.folders, {}});
    groups[at->second].second.push_back(&source);
  }
  std::vector<std::string> open;
  const auto go_to = [&](const std::vector<std::string>& folders) {
    std::size_t same = 0;
    while (same < open.size() && same < folders.size() && open[same] == folders[same]) ++same;
    while (open.size() > same) {
      open.pop_back();
      indent(out, open.size() + 2);
      out += "</outline>\n";
    }
    for (; open.size() < folders.size(); open.push_back(folders[open.size()])) {
      indent(out, open.size() + 2);
      out += "<outline";
      attribute("text", folders[open.size()]);
      out += ">\n";
    }
  };
  for (const auto& [folders, sources] : groups) {
    go_to(*folders);
    for (const OpmlSource* source : sources) {
      indent(out, open.size() + 2);
      out += "<outline type=\"rss\"";
      attribute("text", source->title.empty() ? source->url : source->title);
      if (!source->title.empty()) attribute("title", source->title);
      attribute("xmlUrl", source->url);
      if (!source->home_page_url.empty()) attribute("htmlUrl", source->home_page_url);
      out += "/>\n";
    }
  }
  go_to({});
  out += "  </body>\n</opml>\n";
  return out;
}

}  // namespace weir
