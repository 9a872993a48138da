// Small dense arithmetic of the forms: float by math's kernels, double in plain loops (it is the judge in tests). Shapes that do not fit: CHECK.
#pragma once

#include <cstddef>
#include <span>

#include "math/math.h"
#include "math/view.h"

namespace weir::attention {

using math::Into;
using math::View;

// C = (or +=) A·B, A·Bᵀ, Aᵀ·B. No inner dimension: zeros (or nothing added).
template <class T>
void multiply(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);
template <class T>
void multiply_transposed(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);
template <class T>
void transposed_multiply(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);

template <class T>
T dot(std::span<const T> a, std::span<const T> b);

// y += factor · x
template <class T>
void add_scaled(std::span<T> y, T factor, std::span<const T> x) {
  T* to = y.data();
  const T* from = x.data();
  for (std::size_t i = 0; i < y.size(); ++i) to[i] += factor * from[i];
}

// e^x in place.
template <class T>
void exp_all(std::span<T> x);

// Columns [first, first + n) of every row.
template <class T>
View<T> columns(View<T> x, std::size_t first, std::size_t n) {
  return {x.data + first, x.rows, n, x.stride};
}

}  // namespace weir::attention
