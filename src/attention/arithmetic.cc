#include "attention/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "math/packed.h"

namespace weir::attention {
namespace {

// C += A·B with an element of A at a(i, k): rows of B are added up, in ascending order of k.
template <class T, class A>
void add_product(std::size_t inner, A&& a, View<const T> b, View<T> c) {
  for (std::size_t i = 0; i < c.rows; ++i)
    for (std::size_t k = 0; k < inner; ++k) add_scaled<T>(c.row(i), a(i, k), b.row(k));
}

template <class T>
void clear(View<T> c) {
  for (std::size_t i = 0; i < c.rows; ++i) std::ranges::fill(c.row(i), T{0});
}

bool empty(std::size_t rows, std::size_t inner, std::size_t outputs) { return rows == 0 || inner == 0 || outputs == 0; }

}  // namespace

template <class T>
void multiply(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.rows && a.rows == c.rows && b.columns == c.columns);
  if (into == Into::store && (!std::is_same_v<T, float> || a.columns == 0)) clear(c);
  if (empty(c.rows, a.columns, c.columns)) return;
  if constexpr (std::is_same_v<T, float>) math::gemm(a, math::Packed::columns(b), c, into);
  else add_product<T>(a.columns, [&](std::size_t i, std::size_t k) { return a(i, k); }, b, c);
}

template <class T>
void multiply_transposed(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.columns && a.rows == c.rows && b.rows == c.columns);
  if (into == Into::store && a.columns == 0) clear(c);
  if (empty(c.rows, a.columns, c.columns)) return;
  if constexpr (std::is_same_v<T, float>) {
    math::gemm(a, math::Packed::rows(b), c, into);
  } else {
    for (std::size_t i = 0; i < c.rows; ++i)
      for (std::size_t j = 0; j < c.columns; ++j) c(i, j) = (into == Into::add ? c(i, j) : T{0}) + dot<T>(a.row(i), b.row(j));
  }
}

template <class T>
void transposed_multiply(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.rows == b.rows && a.columns == c.rows && b.columns == c.columns);
  if (into == Into::store && (!std::is_same_v<T, float> || a.rows == 0)) clear(c);
  if (empty(c.rows, a.rows, c.columns)) return;
  if constexpr (std::is_same_v<T, float>) {
    std::vector<T> turned(a.columns * a.rows);
    for (std::size_t k = 0; k < a.rows; ++k)
      for (std::size_t i = 0; i < a.columns; ++i) turned[i * a.rows + k] = a(k, i);
    math::gemm(View<const T>(turned.data(), a.columns, a.rows), math::Packed::columns(b), c, into);
  } else {
    add_product<T>(a.rows, [&](std::size_t i, std::size_t k) { return a(k, i); }, b, c);
  }
}

template <class T>
T dot(std::span<const T> a, std::span<const T> b) {
  if constexpr (std::is_same_v<T, float>) {
    return math::dot(a, b);
  } else {
    CHECK(a.size() == b.size());
    T sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
}

template <class T>
void exp_all(std::span<T> x) {
  if constexpr (std::is_same_v<T, float>) math::exp(x);
  else
    for (T& v : x) v = std::exp(v);
}

#define WEIR_INSTANTIATE(T)                                                                                \
  template void multiply<T>(View<const T>, View<const T>, View<T>, Into);                                  \
  template void multiply_transposed<T>(View<const T>, View<const T>, View<T>, Into);                       \
  template void transposed_multiply<T>(View<const T>, View<const T>, View<T>, Into);                       \
  template T dot<T>(std::span<const T>, std::span<const T>);                                               \
  template void exp_all<T>(std::span<T>);
WEIR_INSTANTIATE(float)
WEIR_INSTANTIATE(double)
#undef WEIR_INSTANTIATE

}  // namespace weir::attention
