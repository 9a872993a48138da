// Addresses and ranges as the operator writes them: what is read can be written and is read as the same; a range holds its own base.
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "ingest/dialer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto address = NetAddress::parse(text)) {
    CHECK(NetAddress::parse(address->text()) == address);
    CHECK(NetRange::parse(address->text())->contains(*address));
    (void)is_public(*address);
  }
  if (const auto range = NetRange::parse(text)) {
    CHECK(range->bits <= 128 && range->contains(range->base));
    const auto again = NetRange::parse(range->text());
    CHECK(again && again->text() == range->text());
  }
  return 0;
}
