#include "ingest/schedule.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

namespace weir {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

const Time kNow = *parse_rfc3339("2026-11-24T10:30:00Z");  // a Tuesday
const PollBounds kBounds;

std::vector<Time> every(Duration gap, int n, Duration newest_ago = {}) {
  std::vector<Time> out;
  for (int i = 0; i < n; ++i) out.push_back(kNow - newest_ago - gap * i);
  return out;
}

Duration wait_of(const PollHistory& history, double chance = 0) { return *next_poll(history, kNow, chance) - kNow; }

TEST(Schedule, FollowsTheFeedsOwnRhythm) {
  const auto hourly = every(hours(1), 20, hours(1)), daily = every(hours(24), 20, hours(24)), rare = every(hours(24 * 30), 20);
  EXPECT_EQ(wait_of({.published = hourly}), minutes(30));
  EXPECT_EQ(wait_of({.published = daily}), hours(12));
  EXPECT_EQ(wait_of({.published = rare}), kBounds.longest);
  EXPECT_EQ(wait_of({.published = every(minutes(1), 20)}), kBounds.shortest);
}

TEST(Schedule, ASilentFeedIsPolledLessAndLess) {
  Duration last{};
  for (const int days : {1, 2, 4, 8}) {
    const auto silent = every(hours(1), 10, hours(24 * days));
    const Duration wait = wait_of({.published = silent});
    EXPECT_GT(wait, last);
    last = wait;
  }
}

TEST(Schedule, WithoutDatesItFeelsItsWay) {
  EXPECT_EQ(wait_of({}), kBounds.first);
  EXPECT_EQ(wait_of({.outcome = PollOutcome::changed, .previous = hours(3)}), hours(2));
  EXPECT_EQ(wait_of({.outcome = PollOutcome::unchanged, .previous = hours(2)}), hours(3));
  const std::vector<Time> future = {kNow + hours(1), kNow + hours(2), kNow + hours(24 * 365 * 1000)};
  EXPECT_EQ(wait_of({.published = future}), kBounds.first);
}

TEST(Schedule, PublishersWishesAreObeyedWithinReason) {
  const auto hourly = every(hours(1), 10, hours(1));
  EXPECT_EQ(wait_of({.published = hourly, .ttl = hours(6)}), hours(6));
  EXPECT_EQ(wait_of({.published = hourly, .max_age = hours(3)}), hours(3));
  EXPECT_EQ(wait_of({.published = hourly, .ttl = Duration(0)}), minutes(30));
  EXPECT_EQ(wait_of({.published = hourly, .ttl = std::chrono::seconds(1'000'000'000)}), kBounds.longest);
  EXPECT_EQ(wait_of({.outcome = PollOutcome::failed, .failures = 1, .retry_after = hours(48)}), hours(48));
  EXPECT_EQ(wait_of({.outcome = PollOutcome::failed, .failures = 1, .retry_after = hours(24 * 365)}), kBounds.obeyed);
}

TEST(Schedule, FailuresBackOffExponentially) {
  EXPECT_EQ(wait_of({.outcome = PollOutcome::failed, .failures = 1}), minutes(15));
  EXPECT_EQ(wait_of({.outcome = PollOutcome::failed, .failures = 3}), minutes(60));
  EXPECT_EQ(wait_of({.outcome = PollOutcome::failed, .failures = 50}), kBounds.longest);
  EXPECT_EQ(next_poll({.outcome = PollOutcome::gone}, kNow, 0), std::nullopt);
}

TEST(Schedule, SkippedHoursAndDays) {
  // Due at 11:30; hours 11 and 12 are skipped.
  EXPECT_EQ(*next_poll({.skip_hours = 3u << 11}, kNow, 0), *parse_rfc3339("2026-11-24T13:00:00Z"));
  // Tuesday and Wednesday are skipped.
  EXPECT_EQ(*next_poll({.skip_days = 1u << 2 | 1u << 3}, kNow, 0), *parse_rfc3339("2026-11-26T00:00:00Z"));
  EXPECT_EQ(*next_poll({.skip_hours = 0xffffff, .skip_days = 0x7f}, kNow, 0), kNow + hours(1)) << "all of them skipped is none";
}

TEST(Schedule, HoldsForEveryHistory) {
  EXPECT_TRUE(rc::check([] {
    const auto duration = [] { return rc::gen::map(rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000), [](std::int64_t us) { return Duration(us); }); };
    std::vector<Time> published;
    for (const std::int64_t ago : *rc::gen::container<std::vector<std::int64_t>>(rc::gen::inRange<std::int64_t>(-1'000'000'000'000, 1'000'000'000'000'000)))
      published.push_back(kNow - Duration(ago));
    PollHistory history{.outcome = *rc::gen::element(PollOutcome::changed, PollOutcome::unchanged, PollOutcome::failed),
                        .failures = *rc::gen::inRange(1, 100),
                        .published = published,
                        .previous = std::nullopt,
                        .skip_hours = *rc::gen::inRange(0u, 1u << 24),
                        .skip_days = static_cast<std::uint8_t>(*rc::gen::inRange(0, 128))};
    if (*rc::gen::arbitrary<bool>()) history.previous = *duration();
    if (*rc::gen::arbitrary<bool>()) history.max_age = *duration();
    if (*rc::gen::arbitrary<bool>()) history.ttl = *duration();
    if (*rc::gen::arbitrary<bool>()) history.retry_after = *duration();
    const double chance = *rc::gen::inRange(0, 1000) / 1000.0;

    const auto next = next_poll(history, kNow, chance);
    RC_ASSERT(next.has_value());
    const Duration wait = *next - kNow;
    RC_ASSERT(wait >= kBounds.shortest);
    RC_ASSERT(wait <= kBounds.obeyed * 11 / 10 + kBounds.obeyed + hours(1));
    if (history.retry_after) RC_ASSERT(wait >= std::min<Duration>(*history.retry_after, kBounds.obeyed));
    if (history.ttl) RC_ASSERT(wait >= std::min<Duration>(*history.ttl, kBounds.longest));
    if (history.max_age) RC_ASSERT(wait >= std::min<Duration>(*history.max_age, kBounds.longest));
    RC_ASSERT(next == next_poll(history, kNow, chance));
    const auto hour = std::chrono::duration_cast<hours>(*next - std::chrono::floor<std::chrono::days>(*next)).count();
    const auto day = std::chrono::weekday(std::chrono::floor<std::chrono::days>(*next)).c_encoding();
    if (history.skip_hours != 0xffffff && history.skip_days != 0x7f) {
      RC_ASSERT((history.skip_hours >> hour & 1) == 0);
      RC_ASSERT((history.skip_days >> day & 1) == 0);
    }
  }));
}

TEST(Schedule, MoreFailuresNeverMeanSooner) {
  EXPECT_TRUE(rc::check([] {
    const int failures = *rc::gen::inRange(1, 60);
    const auto wait = [](int n) { return wait_of({.outcome = PollOutcome::failed, .failures = n}, 0.5); };
    RC_ASSERT(wait(failures) <= wait(failures + 1));
  }));
}

TEST(Schedule, AStartSpreadsWhatIsOverdueAndKeepsTheRest) {
  EXPECT_TRUE(rc::check([](std::int64_t offset) {
    const Time due = kNow + Duration(offset % 1'000'000'000'000);
    const double chance = *rc::gen::inRange(0, 1000) / 1000.0;
    const Time at = spread(due, kNow, chance);
    if (due > kNow) RC_ASSERT(at == due);
    else RC_ASSERT(at >= kNow && at < kNow + minutes(5));
  }));
}

}  // namespace
}  // namespace weir
