// Any bytes as a safetensors file: an error, or tensors whose rows can be read.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "encode/weights.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto tensors = weir::parse_safetensors({reinterpret_cast<const std::byte*>(data), size});
  if (!tensors) return 0;
  for (const auto& [name, t] : *tensors) {
    std::vector<float> row(t.columns);
    if (t.rows > 0 && t.columns > 0) t.row(t.rows - 1, row.data());
  }
  return 0;
}
