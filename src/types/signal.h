// What the reader did. Idempotent by id.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/id.h"
#include "base/time.h"

namespace weir {

enum class SignalKind { like, dislike, open, finish, dismiss, star, hide };

std::string_view to_string(SignalKind kind);
std::optional<SignalKind> signal_kind(std::string_view text);

struct Signal {
  std::string id;  // chosen by whoever sends it; the same id again changes nothing
  ItemId item;
  SignalKind kind = SignalKind::open;
  Time at{};
  std::optional<double> dwell_seconds;
};

// The strength with which a signal speaks for (+) or against (−) an item, in [−1, 1]: like, open, finish, star are positive; dislike, dismiss, hide
// negative; an open that ended within 10 s is negative (algorithms.md §2.3).
double strength(const Signal& signal);

}  // namespace weir
