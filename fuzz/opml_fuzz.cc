// OPML: what is read can be written, and what is written is read as the same sources.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <tuple>
#include <vector>

#include "base/text.h"
#include "ingest/opml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const auto opml = read_opml({reinterpret_cast<const char*>(data), size});
  if (!opml) return 0;
  const auto again = read_opml(write_opml(*opml));
  if (!again || again->sources.size() != opml->sources.size() || again->title != opml->title) std::abort();
  const auto order = [](const OpmlSource& a, const OpmlSource& b) { return std::tie(a.folders, a.url, a.title) < std::tie(b.folders, b.url, b.title); };
  std::vector<OpmlSource> before = opml->sources, after = again->sources;
  for (OpmlSource& source : before)
    if (source.title.empty()) source.title = collapse_spaces(source.url);  // an outline must have a text
  std::ranges::sort(before, order);
  std::ranges::sort(after, order);
  if (before != after) std::abort();
  return 0;
}
