#include "store/cursor.h"

#include <fmt/format.h>

#include "base/hash.h"
#include "store/shared.h"

namespace weir::store {
namespace {

constexpr std::size_t digits = 16 + 8 + 16;  // place, offset, proof

// Over what the cursor says and everything that makes the list what it is; page size and bodies may change on the way.
std::uint64_t proof(std::string_view secret, UserId user, const ItemQuery& query, std::string_view payload) {
  const auto time = [](const std::optional<Time>& t) { return t ? fmt::format("{}", to_micros(*t)) : std::string("-"); };
  const std::string list = fmt::format("cursor\n{}\n{}\n{}\n{}\n{}:{}\n{}\n{}\n{}\n{}", payload, user.value, to_string(query.order), to_string(query.state),
                                       query.folder ? query.folder->size() + 1 : 0, query.folder.value_or(""), query.source.value, time(query.after),
                                       time(query.before), query.text);
  return first_word(keyed_hash(secret, list));
}

bool parse_hex(std::string_view text, std::uint64_t& out) {
  out = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) return false;
    out = out << 4 | static_cast<unsigned>(digit);
  }
  return true;
}

}  // namespace

std::string write_cursor(std::string_view secret, UserId user, const ItemQuery& query, Cursor cursor) {
  const std::string payload = fmt::format("{:016x}{:08x}", static_cast<std::uint64_t>(cursor.place), cursor.offset);
  return payload + fmt::format("{:016x}", proof(secret, user, query, payload));
}

Result<Cursor> read_cursor(std::string_view secret, UserId user, const ItemQuery& query) {
  const std::string_view text = query.cursor;
  std::uint64_t place = 0, offset = 0, claimed = 0;
  if (text.size() != digits || !parse_hex(text.substr(0, 16), place) || !parse_hex(text.substr(16, 8), offset) || !parse_hex(text.substr(24), claimed) ||
      claimed != proof(secret, user, query, text.substr(0, 24)))
    return fail(Code::invalid, "the cursor does not belong to this list", "cursor", "begin again without it");
  return Cursor{.place = static_cast<std::int64_t>(place), .offset = static_cast<std::uint32_t>(offset)};
}

}  // namespace weir::store
