#include "math/math.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>

#include "base/result.h"
#include "math/kernels.h"

namespace weir::math {
namespace {

struct Free {
  void operator()(void* p) const { std::free(p); }
};

}  // namespace

void gemm(View<const float> a, const Packed& b, View<float> c, Into into) {
  CHECK(a.columns == b.inputs() && c.columns == b.outputs() && a.rows == c.rows && b.format() == Format::f32);
  constexpr std::size_t block = 64;  // rows at a time, copied into the order of the kernels
  const Kernels& k = kernels();
  const std::size_t bytes = Activations::bytes(std::min(block, a.rows), b.steps());
  const std::unique_ptr<std::byte[], Free> copy(static_cast<std::byte*>(std::aligned_alloc(64, std::max<std::size_t>(bytes, 64))));
  CHECK(copy != nullptr);
  std::fill_n(copy.get(), bytes, std::byte{0});
  const Activations rows{.format = Format::f32, .data = copy.get(), .steps = b.steps()};
  for (std::size_t first = 0; first < a.rows; first += block) {
    const std::size_t n = std::min(block, a.rows - first);
    for (std::size_t r = 0; r < n; ++r) {
      const float* from = a.data + (first + r) * a.stride;
      for (std::size_t j = 0; j < a.columns; j += 16)
        std::copy_n(from + j, std::min<std::size_t>(16, a.columns - j), reinterpret_cast<float*>(rows.at(r) + j / 16 * Activations::step_stride));
    }
    k.product({.a = rows,
               .rows = n,
               .w = &b,
               .panels = b.panels(),
               .groups = b.groups(),
               .out = c.data + first * c.stride,
               .out_stride = c.stride,
               .columns = c.columns,
               .epilogue = into == Into::add ? Epilogue::add : Epilogue::store});
  }
}

void exp(std::span<float> x) { kernels().exp(x.data(), x.size()); }

void softmax_rows(View<float> x) {
  for (std::size_t r = 0; r < x.rows; ++r) kernels().softmax(x.data + r * x.stride, x.columns);
}

void gelu(std::span<float> x) { kernels().gelu(x.data(), x.size()); }

void tanh(std::span<float> x) { kernels().tanh(x.data(), x.size()); }

void layer_norm(View<const float> x, std::span<const float> scale, std::span<const float> shift, float epsilon, View<float> out) {
  CHECK(scale.size() == x.columns && shift.size() == x.columns && out.rows == x.rows && out.columns == x.columns);
  for (std::size_t r = 0; r < x.rows; ++r)
    if (out.data + r * out.stride != x.data + r * x.stride) std::ranges::copy(x.row(r), out.data + r * out.stride);
  kernels().layer_norm(out, scale.data(), shift.data(), epsilon, nullptr, nullptr, 0);
}

float dot(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size());
  return kernels().dot(a.data(), b.data(), a.size());
}

void dot_rows(View<const float> rows, std::span<const float> x, std::span<float> y) {
  CHECK(rows.columns == x.size() && rows.rows == y.size());
  kernels().dot_rows(rows, x.data(), y.data());
}

bool finite(std::span<const float> x) { return kernels().finite(x.data(), x.size()); }

void add_rows(std::span<const float> w, View<const float> rows, std::span<float> y) {
  CHECK(rows.rows == w.size() && rows.columns == y.size());
  kernels().add_rows(w.data(), rows, y.data());
}

std::vector<Ranked> top_k(std::span<const float> values, std::size_t k) {
  const auto before = [](const Ranked& a, const Ranked& b) { return a.value != b.value ? a.value > b.value : a.index < b.index; };
  std::vector<Ranked> best;  // a heap whose front is the worst of the kept
  best.reserve(std::min(k, values.size()) + 1);
  for (std::size_t i = 0; i < values.size() && k > 0; ++i) {
    const Ranked r{values[i], static_cast<std::uint32_t>(i)};
    if (std::isnan(r.value) || (best.size() == k && !before(r, best.front()))) continue;
    best.push_back(r);
    std::ranges::push_heap(best, before);
    if (best.size() <= k) continue;
    std::ranges::pop_heap(best, before);
    best.pop_back();
  }
  std::ranges::sort_heap(best, before);
  return best;
}

}  // namespace weir::math
