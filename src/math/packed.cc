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

Packed Packed::rows(View<const float> w, Format format) {
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
