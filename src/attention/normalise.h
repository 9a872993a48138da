// Logits to weights, one row at a time, and back. A logit of −inf is a masked key: its weight and its gradient are exactly 0. Pure functions; any thread.
//
// Sums are taken in double. A row that holds NaN or +inf (products that overflowed) becomes NaN altogether, so that the check of outcomes sees it.
#pragma once

#include <cstddef>
#include <span>

#include "attention/attention.h"

namespace weir::attention {

// z [n] becomes its weights. Returns the log-sum-exp of what softmax and top_k summed over (−inf when all are masked), 0 for the others.
//   softmax    e^z / Σ e^z                                                     O(n)
//   sparsemax  max(z − τ, 0), the nearest point of the simplex                 O(n log n)
//   entmax15   max(z/2 − τ, 0)²                                                O(n log n)
//   top_k      softmax over the `k` greatest, ties by the lower index, k ≥ 1   O(n)
//   sigmoid    1 / (1 + e^−z)
template <class T>
T normalise(Normaliser normaliser, std::size_t k, std::span<T> z);

// d [n] holds ∂/∂weight and becomes ∂/∂logit; `weights` is what normalise() made. From the weights alone: softmax and top_k p∘(d − ⟨p, d⟩); sparsemax
// d − its mean over the support; entmax15 √p∘(d − ⟨√p, d⟩ / Σ√p) (Peters 2019, proposition 2); sigmoid p∘(1 − p)∘d.
template <class T>
void normalise_backward(Normaliser normaliser, std::span<const T> weights, std::span<T> d);

}  // namespace weir::attention
