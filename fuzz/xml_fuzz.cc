// The XML reader: whatever the bytes, a tree within its limits; its HTML, read again, is a tree too, and reading is over in one pass.
#include <cstdint>
#include <cstdlib>

#include "base/text.h"
#include "ingest/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  std::string text = repair_utf8({reinterpret_cast<const char*>(data), size});
  const auto document = xml::Document::parse(text, {.depth = 64, .elements = 10'000, .attributes = 16});
  if (!document) return 0;
  std::string scratch;
  std::size_t seen = 0;
  // Every element, by the same steps that formats take.
  xml::Element at = document->root().first();
  while (at) {
    if (++seen > 10'000 || !is_valid_utf8(at.text(scratch)) || !is_valid_utf8(at.attribute("href"))) std::abort();
    if (at.first()) {
      at = at.first();
      continue;
    }
    while (at && !at.next()) at = at.parent();
    if (at) at = at.next();
  }
  std::string html = document->root().inner_html();
  if (!is_valid_utf8(html)) std::abort();
  (void)xml::Document::parse(html, {.depth = 256});
  return 0;
}
