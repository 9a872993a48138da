// Dense arithmetic on f32: products, softmax, exp, GELU, layer norm, dot, top-k. The only SIMD in the tree is below this header.
//
// Every function runs on the row of kernels that choose_row() names (math/cpu.h), allocates at most a few panels of scratch, makes no thread and may be
// called from any. Results depend on values, shapes and row alone, never on alignment or on who else is running. Shapes that do not fit are our own
// mistake: CHECK. NaN in gives NaN out; nothing here raises, hangs or indexes by a value.
//
// Error bounds are against the exact function, in the tests of math_test.cc for every row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "math/packed.h"
#include "math/view.h"

namespace weir::math {

enum class Into { store, add };  // C = …, or C += …

// C[M×N] = A[M×K] · Bᵀ, B packed from [N×K] (Packed::rows) or [K×N] (Packed::columns). Each element is one chain of fused multiply-adds over k in
// ascending order: error ≤ K · 2⁻²⁴ · Σ|a·b|. Cost 2·M·N·K operations, ≥ 85 % of the peak for M ≥ 32 (bench/kernels).
void gemm(View<const float> a, const Packed& b, View<float> c, Into into = Into::store);

// e^x, relative error ≤ 3e-7; below -87.3 it is 0, above 88.7 it is inf.
void exp(std::span<float> x);
// Each row becomes exp(x - max) / Σ. A row of -inf only, or of no columns, becomes zeros. Absolute error ≤ 4e-7 + n · 2⁻²⁸ · the exact value, n columns.
void softmax_rows(View<float> x);
// x · Φ(x) with the error function (Hendrycks & Gimpel 2016, arXiv:1606.08415), of finite x. Absolute error ≤ 5e-7 · max(1, |x|).
void gelu(std::span<float> x);
// Absolute error ≤ 2e-7.
void tanh(std::span<float> x);
// (x - mean) / sqrt(variance + epsilon) · scale + shift, two passes (Ba 2016, arXiv:1607.06450). `out` may be `x`. Absolute error
// ≤ 2e-6 · (|scale| · (|normalised x| + greatest |x| / deviation) + |shift|) for up to 1,024 columns.
void layer_norm(View<const float> x, std::span<const float> scale, std::span<const float> shift, float epsilon, View<float> out);

// 16 partial sums, then a fixed tree: error ≤ (n / 16 + 5) · 2⁻²⁴ · Σ|a·b|.
float dot(std::span<const float> a, std::span<const float> b);
bool finite(std::span<const float> x);  // no NaN, no infinity
// y[i] = dot(rows[i], x)
void dot_rows(View<const float> rows, std::span<const float> x, std::span<float> y);
// y += Σᵣ w[r] · row r: a product of one row without packing. Each element is one chain of fused multiply-adds over r in ascending order.
void add_rows(std::span<const float> w, View<const float> rows, std::span<float> y);

struct Ranked {
  float value;
  std::uint32_t index;
};
// The k greatest, best first, ties by the lower index; NaN is never among them. O(n log k).
std::vector<Ranked> top_k(std::span<const float> values, std::size_t k);

}  // namespace weir::math
