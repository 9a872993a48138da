#include "ingest/parse.h"

#include "base/text.h"
#include "ingest/charset.h"
#include "ingest/formats/format.h"

namespace weir {
namespace {

// The formats, in the order in which they are asked. The first two read the text itself, the others its XML tree.
constexpr const Format* text_formats[] = {&json_format, &html_format};
constexpr const Format* xml_formats[] = {&rss_format, &atom_format, &opml_format, &cdf_format};

// The element that a feed begins with: at the top, where broken servers put messages in front of it, or inside an envelope (SOAP, <xml>).
Result<const Format*> find_format(Source& source) {
  for (xml::Element top = source.document->root().first(); top; top = top.next())
    for (xml::Element at = top; at; at = at == top ? at.first() : at.next()) {
      source.root = at;
      for (const Format* format : xml_formats)
        if (format->claims(source)) return format;
    }
  const std::string_view seen = source.document->root().first().name();
  if (seen.empty()) return fail(Code::not_a_feed, say("no_markup", "no markup and no JSON in it"), {}, "give a feed");
  return fail(Code::not_a_feed, say("other_xml", "XML that begins with <{name}>", {{"name", repair_utf8(seen.substr(0, 64))}}), {},
              "give RSS, Atom, JSON Feed or OPML");
}

Status read(Source& source, std::string& text, Builder& builder) {
  source.text = text;
  for (const Format* format : text_formats)
    if (format->claims(source)) return format->read(source, builder);
  const ParseLimits& limits = builder.options.limits;
  const xml::Document document = TRY(xml::Document::parse(text, {limits.depth, limits.elements, limits.attributes}));
  source.document = &document;
  const Format* const format = TRY(find_format(source));
  builder.has_base = document.has_base();
  for (const std::string& warning : document.warnings()) builder.warn(warning);
  builder.feed.is_cut = document.is_cut();
  return format->read(source, builder);
}

}  // namespace

Result<Feed> parse_feed(std::string_view bytes, const ParseOptions& options) {
  const auto too_large = [&](std::size_t size) {
    return fail(Code::too_large,
                say("document_too_large", "{size} bytes are more than the limit of {limit}", {{"size", size}, {"limit", options.limits.bytes}}), {},
                "give a smaller document");
  };
  if (bytes.size() > options.limits.bytes) return too_large(bytes.size());
  if (trim(bytes).empty()) return fail(Code::not_a_feed, say("document_empty", "the document is empty"), {}, "give a feed");
  Decoded decoded = TRY(to_utf8(bytes, options.content_type));
  if (decoded.text.size() > options.limits.bytes) return too_large(decoded.text.size());
  Feed feed;
  Builder builder(feed, options);
  for (const std::string& warning : decoded.warnings) builder.warn(warning);
  feed.encoding = std::move(decoded.encoding);
  Source source;
  TRY(read(source, decoded.text, builder));
  builder.finish();
  return feed;
}

}  // namespace weir
