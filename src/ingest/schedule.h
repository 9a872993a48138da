// When to poll a source next: by the feed's own rhythm, within what its publisher asks and the operator's bounds. Pure: `now` and chance come in.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/time.h"

namespace weir {

enum class PollOutcome {
  changed,    // something new came
  unchanged,  // 304, or nothing new in it
  failed,     // no answer, no feed, or a status that is none of these; 429 and 503 too
  gone,       // 410
};

struct PollBounds {
  Duration shortest = std::chrono::minutes(15);
  Duration longest = std::chrono::hours(24);
  Duration first = std::chrono::hours(1);        // the interval of a source of which nothing is known
  Duration obeyed = std::chrono::hours(7 * 24);  // the longest Retry-After or skipDays that is obeyed
};

struct PollHistory {
  PollOutcome outcome = PollOutcome::unchanged;
  std::int32_t failures = 0;             // in a row, this one included
  std::span<const Time> published;       // when its latest items came out, any order, the more (up to 20) the better; future ones are ignored
  std::optional<Duration> previous;      // the interval that has just ended; used when the items carry no dates
  std::optional<Duration> max_age, ttl;  // Cache-Control, rss:ttl or sy:update*: not sooner than that, within the bounds
  std::optional<Duration> retry_after;   // not sooner than that, within `obeyed`
  std::uint32_t skip_hours = 0;          // Feed::skip_hours, UTC
  std::uint8_t skip_days = 0;            // Feed::skip_days
};

// The next poll, later than now + bounds.shortest; nothing when the source is gone. `chance` in [0, 1) moves it later by up to a tenth, so that sources do
// not march in step; the same chance gives the same answer.
std::optional<Time> next_poll(const PollHistory& history, Time now, double chance, const PollBounds& bounds = {});

// After a start: what is due in the future keeps its time; what is overdue is spread over [now, now + window).
Time spread(Time due, Time now, double chance, Duration window = std::chrono::minutes(5));

}  // namespace weir
