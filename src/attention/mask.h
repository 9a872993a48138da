// Who sees whom, for attention/attention.h's Mask: one pair at a time, and as ranges of keys, so that causal, windowed and blocked attention costs what is
// seen and not Tq × Tk. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "attention/attention.h"

namespace weir::attention {

// The whole truth about query i and key j.
inline bool visible(const Mask& mask, std::size_t i, std::size_t j) {
  if (mask.causal && j > i) return false;
  if (i >= mask.globals && j >= mask.globals) {
    if (mask.window != 0 && (i > j ? i - j : j - i) > mask.window) return false;
    if (mask.block != 0 && i / mask.block != j / mask.block) return false;
  }
  return (mask.keys.empty() || mask.keys[j] != 0) && (mask.pairs.data == nullptr || mask.pairs(i, j) != 0);
}

struct Range {
  std::size_t begin = 0, end = 0;
  std::size_t size() const { return end - begin; }
};

// Keys that a query may see as far as causal, window, globals and block say: two ranges in ascending order that do not touch, either may be empty. Inside
// them only `keys` and `pairs` can still say no.
struct Seen {
  Range global, local;
  std::size_t size() const { return global.size() + local.size(); }
  // f(j) in ascending order.
  template <class F>
  void each(F&& f) const {
    for (std::size_t j = global.begin; j < global.end; ++j) f(j);
    for (std::size_t j = local.begin; j < local.end; ++j) f(j);
  }
};

// Two ranges that touch are one.
inline Seen joined(Seen s) {
  if (s.global.size() == 0 || s.local.size() == 0 || s.global.end < s.local.begin) return s;
  return {{}, {0, std::max(s.global.end, s.local.end)}};
}

inline Seen seen(const Mask& mask, std::size_t i, std::size_t keys) {
  std::size_t begin = 0, end = keys;
  if (i >= mask.globals) {
    if (mask.window != 0) {
      begin = i > mask.window ? i - mask.window : 0;
      end = std::min(end, mask.window >= std::numeric_limits<std::size_t>::max() - i ? end : i + mask.window + 1);
    }
    if (mask.block != 0) {
      const std::size_t first = i / mask.block * mask.block;
      begin = std::max(begin, first);
      end = std::min(end, mask.block >= keys || first >= keys - std::min(keys, mask.block) ? end : first + mask.block);
    }
  }
  const std::size_t limit = mask.causal ? std::min(keys, i + 1) : keys;
  end = std::min(end, limit);
  begin = std::min(begin, end);
  Seen s{{0, std::min(mask.globals, limit)}, {begin, end}};
  return joined(s);
}

// The least such ranges that hold what queries [first, last) see.
inline Seen seen(const Mask& mask, std::size_t first, std::size_t last, std::size_t keys) {
  Seen all = seen(mask, first, keys);
  for (std::size_t i = first + 1; i < last; ++i) {
    const Seen s = seen(mask, i, keys);
    const auto join = [](Range& a, Range b) {
      if (b.size() == 0) return;
      a = a.size() == 0 ? b : Range{std::min(a.begin, b.begin), std::max(a.end, b.end)};
    };
    join(all.global, s.global);
    join(all.local, s.local);
  }
  return joined(all);
}

}  // namespace weir::attention
