#include "math/packed.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#include "base/result.h"

namespace weir::math {
namespace {

template <class T>
T* zeros(std::size_t n) {
  const std::size_t bytes = (n * sizeof(T) + 4095) / 4096 * 4096;
  void* p = std::aligned_alloc(4096, bytes);
  if (p == nullptr) throw std::bad_alloc();
  std::memset(p, 0, bytes);
  return static_cast<T*>(p);
}

}  // namespace

std::uint16_t to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);  // NaN stays NaN
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

void Packed::Free::operator()(void* p) const { std::free(p); }

void Packed::allocate(std::size_t outputs, std::size_t inputs, Format format) {
  constexpr std::size_t group_inputs = 384;
  format_ = format;
  outputs_ = outputs;
  inputs_ = inputs;
  steps_ = (inputs * bytes_of(format) + step_bytes - 1) / step_bytes;
  groups_ = inputs > group_inputs && inputs % group_inputs == 0 ? inputs / group_inputs : 1;
  bytes_.reset(zeros<std::byte>(size_bytes() + step_bytes));
  if (format != Format::int8) return;
  scales_.reset(zeros<float>(panels() * panel_outputs));
  sums_.reset(zeros<float>(panels() * panel_outputs * groups_));
}

void Packed::set(std::size_t output, const float* weights) {
  CHECK(output < outputs_);
  std::byte* column = bytes_.get() + output / panel_outputs * steps_ * 2048 + output % panel_outputs / 16 * 1024 + output % 16 * 4;
  if (format_ == Format::f32) {
    for (std::size_t k = 0; k < inputs_; ++k) std::memcpy(column + k / 16 * 2048 + k % 16 * 64, weights + k, 4);
  } else if (format_ == Format::bf16) {
    for (std::size_t k = 0; k < inputs_; ++k) {
      const std::uint16_t w = to_bf16(weights[k]);
      std::memcpy(column + k / 32 * 2048 + k % 32 / 2 * 64 + k % 2 * 2, &w, 2);
    }
  } else {
    float greatest = 0;
    for (std::size_t k = 0; k < inputs_; ++k) greatest = std::max(greatest, std::fabs(weights[k]));
    const float scale = greatest / 127.0F, inverse = greatest > 0 ? 127.0F / greatest : 0.0F;
    scales_[output] = scale;
    const std::size_t each = group();
    for (std::size_t g = 0; g < groups_; ++g) {
      std::int32_t sum = 0;
      for (std::size_t k = g * each; k < (g + 1) * each; ++k) {
        // Round to nearest even by adding 1.5 · 2²³: exact for |x| < 2²², and the same everywhere.
        const float rounded = (weights[k] * inverse + 12582912.0F) - 12582912.0F;
        const auto q = static_cast<std::int8_t>(rounded);
        sum += q;
        column[k / 64 * 2048 + k % 64 / 4 * 64 + k % 4] = static_cast<std::byte>(q);
      }
      sums_[g * panels() * panel_outputs + output] = scale * static_cast<float>(sum);
    }
  }
}

std::vector<float> Packed::greatest_by_input() const {
  CHECK(format_ == Format::int8);
  std::vector<float> greatest(inputs_);
  for (std::size_t o = 0; o < outputs_; ++o) {
    const std::byte* column = bytes_.get() + o / panel_outputs * steps_ * 2048 + o % panel_outputs / 16 * 1024 + o % 16 * 4;
    for (std::size_t k = 0; k < inputs_; ++k) {
      const auto q = static_cast<std::int8_t>(column[k / 64 * 2048 + k % 64 / 4 * 64 + k % 4]);
      greatest[k] = std::max(greatest[k], scales_[o] * static_cast<float>(q < 0 ? -q : q));
    }
  }
  return greatest;
}

namespace {

using Four = float __attribute__((vector_size(16)));

Four load(const float* p) {
  Four x;
  std::memcpy(&x, p, 16);
  return x;
}

// 4 × 4 values, row by row with those strides.
void transpose_four(const float* from, std::size_t stride, float* to, std::size_t to_stride) {
  const Four a = load(from), b = load(from + stride), c = load(from + 2 * stride), d = load(from + 3 * stride);
  const Four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Four up = __builtin_shufflevector(a, b, 2, 6, 3, 7), down = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  const Four out[] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5), __builtin_shufflevector(ab, cd, 2, 3, 6, 7), __builtin_shufflevector(up, down, 0, 1, 4, 5),
                      __builtin_shufflevector(up, down, 2, 3, 6, 7)};
  for (std::size_t i = 0; i < 4; ++i) std::memcpy(to + i * to_stride, &out[i], 16);
}

}  // namespace

void transpose(View<const float> from, View<float> to) {
  CHECK(to.rows == from.columns && to.columns == from.rows);
  constexpr std::size_t line = 16;  // what is written stays in a cache line
  const std::size_t rows = from.rows / 4 * 4, columns = from.columns / 4 * 4;
  for (std::size_t first = 0; first < rows; first += line)
    for (std::size_t j = 0; j < columns; j += 4)
      for (std::size_t i = first; i < std::min(first + line, rows); i += 4)
        transpose_four(from.data + i * from.stride + j, from.stride, to.data + j * to.stride + i, to.stride);
  for (std::size_t i = 0; i < from.rows; ++i)
    for (std::size_t j = i < rows ? columns : 0; j < from.columns; ++j) to(j, i) = from(i, j);
}

Packed Packed::rows(View<const float> w, Format format) {
  if (format == Format::f32) {  // 16 outputs of 16 inputs lie as a block, turned around
    Packed p;
    p.allocate(w.rows, w.columns, format);
    for (std::size_t o = 0; o < w.rows; o += 16)
      for (std::size_t k = 0; k < w.columns; k += 16) {
        const std::size_t outputs = std::min<std::size_t>(16, w.rows - o), inputs = std::min<std::size_t>(16, w.columns - k);
        std::byte* to = p.bytes_.get() + o / panel_outputs * p.steps_ * 2048 + o % panel_outputs / 16 * 1024 + k / 16 * 2048;
        transpose({w.data + o * w.stride + k, outputs, inputs, w.stride}, {reinterpret_cast<float*>(to), inputs, outputs, 16});
      }
    return p;
  }
  return from(w.rows, w.columns, format, [&](std::size_t o) { return w.data + o * w.stride; });
}

Packed Packed::columns(View<const float> w, Format format) {
  if (format == Format::f32) {  // 16 outputs of an input lie side by side, as they do in w
    Packed p;
    p.allocate(w.columns, w.rows, format);
    for (std::size_t k = 0; k < w.rows; ++k)
      for (std::size_t o = 0; o < w.columns; o += 16)
        std::memcpy(p.bytes_.get() + o / panel_outputs * p.steps_ * 2048 + k / 16 * 2048 + o % panel_outputs / 16 * 1024 + k % 16 * 64, &w(k, o),
                    std::min<std::size_t>(16, w.columns - o) * 4);
    return p;
  }
  std::vector<float> column(w.rows);
  return from(w.columns, w.rows, format, [&](std::size_t o) {
    for (std::size_t k = 0; k < w.rows; ++k) column[k] = w(k, o);
    return column.data();
  });
}

}  // namespace weir::math
