// Products of matrices for both types: f32 on math's kernels, f64 in plain loops. Shapes that do not fit: CHECK. Any thread; a panel of scratch.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include "attention/attention.h"
#include "math/math.h"

namespace weir::attention {

using math::Into;

// c (+)= a·b, a·bᵀ, aᵀ·b.
template <class T>
void times(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);
template <class T>
void times_transposed(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);
template <class T>
void transposed_times(View<const T> a, View<const T> b, View<T> c, Into into = Into::store);

// A linear layer as torch's: y = x·wᵀ + bias, w [out × in]; bias may be empty. Blocks of rows go to the Executor.
template <class T>
Array<T> affine(View<const T> x, View<const T> w, std::span<const T> bias, const Executor& executor = {});
// From d = ∂/∂y: dx (+)= d·w, dw += dᵀ·x, dbias += Σ d. dx and dbias may be empty: then they are not worked out.
template <class T>
void affine_backward(View<const T> x, View<const T> w, View<const T> d, View<T> dx, View<T> dw, std::span<T> dbias, Into into = Into::store);

// ⟨a, b⟩ of n values.
inline float dot(const float* a, const float* b, std::size_t n) { return math::dot({a, n}, {b, n}); }
inline double dot(const double* a, const double* b, std::size_t n) {
  double sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}
// y += factor · x
inline void add_scaled(std::span<float> y, float factor, const float* x) { math::add_rows({&factor, 1}, {x, 1, y.size()}, y); }
inline void add_scaled(std::span<double> y, double factor, const double* x) {
  for (std::size_t i = 0; i < y.size(); ++i) y[i] += factor * x[i];
}
// y += Σᵣ w[r] · row r, and y[r] = ⟨row r, x⟩: products with one row of the other side, of which nothing is packed.
using math::add_rows, math::dot_rows, math::finite, math::transpose;  // of float
inline void add_rows(std::span<const double> w, View<const double> rows, std::span<double> y) {
  for (std::size_t r = 0; r < rows.rows; ++r) add_scaled(y, w[r], rows.data + r * rows.stride);
}
inline void dot_rows(View<const double> rows, std::span<const double> x, std::span<double> y) {
  for (std::size_t r = 0; r < rows.rows; ++r) y[r] = dot(rows.data + r * rows.stride, x.data(), x.size());
}

inline void transpose(View<const double> from, View<double> to) {
  for (std::size_t i = 0; i < from.rows; ++i)
    for (std::size_t j = 0; j < from.columns; ++j) to(j, i) = from(i, j);
}

// Columns [first, first + n) of x.
template <class T>
View<T> columns(View<T> x, std::size_t first, std::size_t n) {
  return {x.data == nullptr ? nullptr : x.data + first, x.rows, n, x.stride};
}

// Whether every value is finite.
inline bool finite(std::span<const double> x) {
  return std::ranges::all_of(x, [](double v) { return std::isfinite(v); });
}

}  // namespace weir::attention
