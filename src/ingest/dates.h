// A date as feeds write it → a moment. RFC 822 and 2822 with every habit around them, ISO 8601 and W3CDTF in all their shapes, asctime, numbers since
// 1970, day.month.year and month/day/year, month names in a dozen languages, Chinese, Japanese and Korean forms. Pure, any thread; linear, ≤ 200 bytes.
//
// Nothing is guessed: a date that does not exist (30 February, 25 o'clock, year 0001) is none. Where no zone is written it is UTC; Korean forms, which
// come from one country's servers, are +09:00. Two-digit years are RFC 2822's: 00 to 49 are 20xx. 1/2/2004 is 2 January, 1.2.2004 is 1 February.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace weir {

std::optional<Time> parse_date(std::string_view text);

}  // namespace weir
