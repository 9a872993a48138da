// Views: other readings of a text, so that a secret is found as the reader's program would read it. For matching only; nobody is shown one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir::guard {

// A view's text, and for each of its bytes where it comes from: bytes [origin[i], origin[j]) of the text made bytes [i, j) of the view. Only the
// neighbourhoods of what reads differently are there, with a line feed between: elsewhere the text itself was searched.
struct Reading {
  std::string text;
  std::vector<std::uint32_t> origin;  // one more than text
};

struct View {
  std::string_view name;
  // Nothing to see: false. Cheap then; a view is made only where it can change what a rule sees.
  bool (*read)(std::string_view text, Reading& out);
};

// In the order of reading; each reads the text, and what those before it made.
std::span<const View> views();
bool read_percent(std::string_view text, Reading& out);

}  // namespace weir::guard
