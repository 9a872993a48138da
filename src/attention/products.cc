#include "attention/products.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/result.h"

namespace weir::attention {
namespace {

template <class T>
Array<T> transposed(View<const T> a) {
  constexpr std::size_t line = 16;  // what is written stays in a cache line
  Array<T> t(a.columns, a.rows);
  for (std::size_t first = 0; first < a.rows; first += line)
    for (std::size_t j = 0; j < a.columns; ++j)
      for (std::size_t i = first; i < std::min(first + line, a.rows); ++i) t.values[j * a.rows + i] = a(i, j);
  return t;
}

constexpr std::size_t few = 4;  // so few rows are done before the other matrix would be packed

template <class T>
void clear(View<T> c) {
  for (std::size_t i = 0; i < c.rows; ++i) std::ranges::fill(c.row(i), T{0});
}

template <class T>
void times_plainly(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.rows && c.rows == a.rows && c.columns == b.columns);
  if (into == Into::store) clear(c);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t k = 0; k < a.columns; ++k) add_scaled(c.row(i), a(i, k), b.data + k * b.stride);
}

template <class T>
void times_transposed_plainly(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.columns && c.rows == a.rows && c.columns == b.rows);
  if (into == Into::store) clear(c);
  for (std::size_t i = 0; i < a.rows; ++i)
    for (std::size_t j = 0; j < b.rows; ++j) c(i, j) += dot(a.data + i * a.stride, b.data + j * b.stride, a.columns);
}

}  // namespace

template <>
void times(View<const float> a, View<const float> b, View<float> c, Into into) {
  if (a.rows <= few) times_plainly(a, b, c, into);
  else math::gemm(a, math::Packed::columns(b), c, into);
}

template <>
void times(View<const double> a, View<const double> b, View<double> c, Into into) {
  times_plainly(a, b, c, into);
}

template <>
void times_transposed(View<const float> a, View<const float> b, View<float> c, Into into) {
  if (a.rows <= few) times_transposed_plainly(a, b, c, into);
  else math::gemm(a, math::Packed::rows(b), c, into);
}

template <>
void times_transposed(View<const double> a, View<const double> b, View<double> c, Into into) {
  times_transposed_plainly(a, b, c, into);
}

template <>
void transposed_times(View<const float> a, View<const float> b, View<float> c, Into into) {
  times<float>(transposed(a), b, c, into);
}

template <>
void transposed_times(View<const double> a, View<const double> b, View<double> c, Into into) {
  CHECK(a.rows == b.rows && c.rows == a.columns && c.columns == b.columns);
  if (into == Into::store) clear(c);
  for (std::size_t k = 0; k < a.rows; ++k)
    for (std::size_t i = 0; i < a.columns; ++i) add_scaled(c.row(i), a(k, i), b.data + k * b.stride);
}

template <class T>
Array<T> affine(View<const T> x, View<const T> w, std::span<const T> bias, const Executor& executor) {
  CHECK(x.columns == w.columns && (bias.empty() || bias.size() == w.rows));
  constexpr std::size_t block = 64;
  Array<T> y(x.rows, w.rows);
  math::Packed packed;
  if constexpr (std::is_same_v<T, float>)
    if (x.rows > few) packed = math::Packed::rows(w);
  executor.each((x.rows + block - 1) / block, [&](std::size_t b, std::size_t) {
    const std::size_t first = b * block, n = std::min(block, x.rows - first);
    const View<const T> from(x.data + first * x.stride, n, x.columns, x.stride);
    const View<T> to(y.row(first).data(), n, w.rows);
    if constexpr (std::is_same_v<T, float>) x.rows > few ? math::gemm(from, packed, to) : times_transposed<T>(from, w, to);
    else times_transposed<T>(from, w, to);
    for (std::size_t i = 0; i < n && !bias.empty(); ++i) add_scaled(to.row(i), T{1}, bias.data());
  });
  return y;
}

template <class T>
void affine_backward(View<const T> x, View<const T> w, View<const T> d, View<T> dx, View<T> dw, std::span<T> dbias, Into into) {
  if (dx.data != nullptr) times<T>(d, w, dx, into);
  if (dw.data != nullptr) transposed_times<T>(d, x, dw, Into::add);
  if (!dbias.empty())
    for (std::size_t i = 0; i < d.rows; ++i) add_scaled(dbias, T{1}, d.data + i * d.stride);
}

template Array<float> affine(View<const float>, View<const float>, std::span<const float>, const Executor&);
template Array<double> affine(View<const double>, View<const double>, std::span<const double>, const Executor&);
template void affine_backward(View<const float>, View<const float>, View<const float>, View<float>, View<float>, std::span<float>, Into);
template void affine_backward(View<const double>, View<const double>, View<const double>, View<double>, View<double>, std::span<double>, Into);

bool finite(std::span<const float> x) {  // 0 · x is 0, or NaN: the sum of all tells, at the speed of a dot product
  static constexpr std::array<float, 1024> zeros{};
  for (std::size_t i = 0; i < x.size(); i += zeros.size()) {
    const std::size_t n = std::min(zeros.size(), x.size() - i);
    if (math::dot(x.subspan(i, n), std::span(zeros).first(n)) != 0) return false;
  }
  return true;
}

bool finite(std::span<const double> x) {
  return std::ranges::all_of(x, [](double v) { return std::isfinite(v); });
}

}  // namespace weir::attention
