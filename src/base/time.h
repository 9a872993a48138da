// Times are UTC microseconds. The Clock is a port: stages take `now` as a value, edges and engine take a Clock&.
#pragma once

#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace weir {

using Duration = std::chrono::microseconds;
using Time = std::chrono::sys_time<std::chrono::microseconds>;

inline std::int64_t to_micros(Time time) { return time.time_since_epoch().count(); }
inline Time from_micros(std::int64_t micros) { return Time(Duration(micros)); }

// "2026-11-24T03:41:02Z"; a fraction only when there is one. Years 0000 to 9999.
std::string to_rfc3339(Time time);
// RFC 3339 as interfaces.md has it (any offset, fraction allowed); nothing lenient here: feeds' dates are ingest's work.
std::optional<Time> parse_rfc3339(std::string_view text);

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;                                      // wall clock: may jump
  virtual std::chrono::steady_clock::time_point steady() const = 0;  // for waits and intervals: never jumps
};

class SystemClock final : public Clock {
 public:
  Time now() const override { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::now(); }
};

// A clock that a test sets. Safe from any thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start) : now_(start) {}
  Time now() const override {
    const std::scoped_lock lock(mutex_);
    return now_;
  }
  std::chrono::steady_clock::time_point steady() const override {
    const std::scoped_lock lock(mutex_);
    return steady_;
  }
  void advance(Duration by) {
    const std::scoped_lock lock(mutex_);
    now_ += by;
    steady_ += by;
  }  // time passes
  void jump(Duration by) {
    const std::scoped_lock lock(mutex_);
    now_ += by;
  }  // somebody set the wall clock

 private:
  mutable std::mutex mutex_;
  Time now_;
  std::chrono::steady_clock::time_point steady_{};
};

}  // namespace weir
