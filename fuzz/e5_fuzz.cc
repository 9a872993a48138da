// Any bytes as an E5S1 file: an error, or tensors whose rows can be read and a tokenizer that works.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encode/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto e5 = weir::parse_e5({reinterpret_cast<const std::byte*>(data), size});
  if (!e5) return 0;
  for (const auto& [name, t] : e5->tensors) {
    std::vector<float> row(t.columns);
    t.row(t.rows - 1, row.data());
  }
  (void)e5->tokenizer.encode(
      "query the stre\xCC\x81"
      "am\t\xEF\xBC\xA1 \xE6\xB3\xA8",
      64);
  return 0;
}
