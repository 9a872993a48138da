// Cursors from outside: none that was not written here is accepted.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/cursor.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string secret(32, 's');
  ItemQuery query;
  query.text = "q";
  query.cursor.assign(reinterpret_cast<const char*>(data), size);
  CHECK(!store::read_cursor(secret, UserId{1}, query).has_value());
  // One bit of a true one.
  query.cursor = store::write_cursor(secret, UserId{1}, query, {.place = static_cast<std::int64_t>(size), .offset = 7});
  CHECK(store::read_cursor(secret, UserId{1}, query)->place == static_cast<std::int64_t>(size));
  if (size > 0) {
    query.cursor[data[0] % query.cursor.size()] ^= static_cast<char>(1 << (data[0] >> 5));
    CHECK(!store::read_cursor(secret, UserId{1}, query).has_value());
  }
  return 0;
}
