// Views of matrices that somebody else owns: a pointer, rows, columns, and the distance between two rows. Plain values; pass them by value.
// The owner is types/matrix.h (f32 rows), math/packed.h (weights in a kernel's order) or any buffer of the caller.
#pragma once

#include <cstddef>
#include <span>

#include "types/matrix.h"

namespace weir::math {

template <class T>
struct View {
  T* data = nullptr;
  std::size_t rows = 0, columns = 0;
  std::size_t stride = 0;  // elements from a row to the next, ≥ columns

  View() = default;
  View(T* d, std::size_t r, std::size_t c) : View(d, r, c, c) {}
  View(T* d, std::size_t r, std::size_t c, std::size_t s) : data(d), rows(r), columns(c), stride(s) {}
  operator View<const T>() const { return {data, rows, columns, stride}; }

  std::span<T> row(std::size_t i) const { return {data + i * stride, columns}; }
  T& operator()(std::size_t i, std::size_t j) const { return data[i * stride + j]; }
};

inline View<float> view(Matrix& m) { return {m.values.data(), m.rows, m.columns}; }
inline View<const float> view(const Matrix& m) { return {m.values.data(), m.rows, m.columns}; }

}  // namespace weir::math
