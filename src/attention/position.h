// Positions: ALiBi's slopes, and RoPE's turns of q and k. Pure functions; any thread.
#pragma once

#include <cstddef>

#include "attention/attention.h"

namespace weir::attention {

// 2^(−8(h+1)/H): what head h of H takes off a logit for a step of distance.
double alibi_slope(std::size_t head, std::size_t heads);

enum class Turn { forward, back };

// Every pair (x₂ₖ, x₂ₖ₊₁) of every head of row r turned by (first + r) · 10000^(−2k/d), d = columns / heads, even. Turn::back is its inverse and its
// transpose: what gradients take. O(rows · columns).
template <class T>
void rope(View<T> x, std::size_t heads, Turn turn = Turn::forward, std::size_t first = 0);

}  // namespace weir::attention
