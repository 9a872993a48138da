#include "attention/products.h"

#include <algorithm>

#include "base/result.h"

namespace weir::attention {
namespace {

constexpr std::size_t few = 4;  // so few rows are done before the other matrix would be packed

template <class T>
void clear(View<T> c) {
  for (std::size_t i = 0; i < c.rows; ++i) std::ranges::fill(c.row(i), T{0});
}

// c += a·b
template <class T>
void add_product(View<const T> a, View<const T> b, View<T> c) {
  for (std::size_t i = 0; i < a.rows; ++i) add_rows(a.row(i), b, c.row(i));
}

template <class T>
void times_transposed_plainly(View<const T> a, View<const T> b, View<T> c, Into into) {
  std::vector<T> sums(into == Into::add ? b.rows : 0);
  for (std::size_t i = 0; i < a.rows; ++i) {
    const std::span<T> row = c.row(i);
    dot_rows(b, a.row(i), into == Into::add ? std::span(sums) : row);
    if (into == Into::add) add_scaled(row, T{1}, sums.data());
  }
}

}  // namespace

template <class T>
void times(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.rows && c.rows == a.rows && c.columns == b.columns);
  if constexpr (std::is_same_v<T, float>)
    if (a.rows > few) return math::gemm(a, math::Packed::columns(b), c, into);
  if (into == Into::store) clear(c);
  add_product(a, b, c);
}

template <class T>
void times_transposed(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.columns == b.columns && c.rows == a.rows && c.columns == b.rows);
  if constexpr (std::is_same_v<T, float>)
    if (a.rows > few) return math::gemm(a, math::Packed::rows(b), c, into);
  times_transposed_plainly(a, b, c, into);
}

template <class T>
void transposed_times(View<const T> a, View<const T> b, View<T> c, Into into) {
  CHECK(a.rows == b.rows && c.rows == a.columns && c.columns == b.columns);
  Array<T> turned(a.columns, a.rows);
  transpose(a, View<T>(turned));
  if constexpr (std::is_same_v<T, float>)
    if (a.rows > few) return times<T>(turned, b, c, into);
  if (into == Into::store) clear(c);
  add_product<T>(turned, b, c);
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
  if (!dbias.empty()) add_rows(std::vector<T>(d.rows, T{1}), d, dbias);
}

#define WEIR_BOTH(T)                                                                           \
  template void times(View<const T>, View<const T>, View<T>, Into);                            \
  template void times_transposed(View<const T>, View<const T>, View<T>, Into);                 \
  template void transposed_times(View<const T>, View<const T>, View<T>, Into);                 \
  template Array<T> affine(View<const T>, View<const T>, std::span<const T>, const Executor&); \
  template void affine_backward(View<const T>, View<const T>, View<const T>, View<T>, View<T>, std::span<T>, Into);
WEIR_BOTH(float)
WEIR_BOTH(double)
#undef WEIR_BOTH

}  // namespace weir::attention
