#include "ingest/schedule.h"

#include <algorithm>
#include <vector>

namespace weir {

namespace {

constexpr std::size_t kLatest = 10;  // items from which the rhythm is read

// Half the mean time between the latest items, the silence since the newest one counted as the beginning of a gap: the maximum-likelihood estimate of a
// Poisson process that is still being watched. Half, so that an item waits a quarter of a gap for us on average.
std::optional<Duration> rhythm(std::span<const Time> published, Time now) {
  std::vector<Time> past;
  for (const Time time : published)
    if (time <= now) past.push_back(time);
  if (past.size() < 2) return std::nullopt;
  const std::size_t n = std::min(past.size(), kLatest);
  std::ranges::partial_sort(past, past.begin() + static_cast<std::ptrdiff_t>(n), std::greater<>());
  return (now - past[n - 1]) / static_cast<std::int64_t>(2 * n);
}

Duration usual_interval(const PollHistory& history, Time now, const PollBounds& bounds) {
  if (const auto own = rhythm(history.published, now)) return *own;
  if (!history.previous) return bounds.first;
  return history.outcome == PollOutcome::changed ? *history.previous / 3 * 2 : *history.previous / 2 * 3;
}

// 1, 2, 4, … times the shortest interval.
Duration back_off(std::int32_t failures, const PollBounds& bounds) {
  Duration wait = bounds.shortest;
  for (std::int32_t i = 1; i < failures && wait < bounds.longest; ++i) wait *= 2;
  return std::min(wait, bounds.longest);
}

bool is_skipped(Time time, std::uint32_t hours, std::uint8_t days) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const auto hour = std::chrono::duration_cast<std::chrono::hours>(time - day).count();
  return (hours >> hour & 1) != 0 || (days >> std::chrono::weekday(day).c_encoding() & 1) != 0;
}

// The first moment from `time` on that is in no skipped hour or day; `time` itself when there is none within `obeyed`.
Time past_skipped(Time time, std::uint32_t hours, std::uint8_t days, Duration obeyed) {
  for (Time at = time; at - time <= obeyed; at = std::chrono::floor<std::chrono::hours>(at) + std::chrono::hours(1))
    if (!is_skipped(at, hours, days)) return at;
  return time;
}

}  // namespace

std::optional<Time> next_poll(const PollHistory& history, Time now, double chance, const PollBounds& bounds) {
  if (history.outcome == PollOutcome::gone) return std::nullopt;
  Duration wait = history.outcome == PollOutcome::failed ? back_off(history.failures, bounds) : usual_interval(history, now, bounds);
  for (const auto& asked : {history.max_age, history.ttl})
    if (asked) wait = std::max(wait, *asked);
  wait = std::clamp(wait, bounds.shortest, bounds.longest);
  if (history.retry_after) wait = std::max(wait, std::min(*history.retry_after, bounds.obeyed));
  const auto later = [&](Duration by) { return std::chrono::duration_cast<Duration>(by * (std::clamp(chance, 0.0, 1.0) / 10)); };
  const Time due = now + wait + later(wait);
  const Time allowed = past_skipped(due, history.skip_hours, history.skip_days, bounds.obeyed);
  return allowed == due ? due : allowed + later(std::chrono::hours(1));  // not everybody at the stroke of the hour
}

Time spread(Time due, Time now, double chance, Duration window) {
  if (due > now) return due;
  return now + std::chrono::duration_cast<Duration>(window * std::clamp(chance, 0.0, 1.0));
}

}  // namespace weir
