// Dates: any bytes give none, or a moment that can be written and read again.
#include <cstdint>
#include <cstdlib>

#include "ingest/dates.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  if (const auto time = parse_date({reinterpret_cast<const char*>(data), size}))
    if (parse_date(to_rfc3339(*time)) != time || parse_rfc3339(to_rfc3339(*time)) != time) std::abort();
  return 0;
}
