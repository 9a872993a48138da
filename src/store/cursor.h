// Where a list goes on: opaque to everybody outside, refused when it was touched or belongs to another list or reader. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/id.h"
#include "base/result.h"
#include "types/query.h"

namespace weir::store {

struct Cursor {
  std::int64_t place = 0;    // the last one seen; with relevance: the newest that took part
  std::uint32_t offset = 0;  // relevance: how many were shown
};

std::string write_cursor(std::string_view secret, UserId user, const ItemQuery& query, Cursor cursor);
// Errors: invalid.
Result<Cursor> read_cursor(std::string_view secret, UserId user, const ItemQuery& query);

}  // namespace weir::store
