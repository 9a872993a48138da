// The kernels of one CPU row: a table of functions, the same for every row. For math's own functions, attention and encode; others use math/math.h.
//
// All are written once, over 16 lanes of f32 (rows/kernels.inl), and compiled once a row. Sums have one order: 16 partial sums, then a fixed tree; a
// product is one chain of fused multiply-adds over ascending k. So f32 and int8 kernels give the same bits on every row; the exceptions are named *_fast.
#pragma once

#include <cstddef>
#include <cstdint>

#include "math/cpu.h"
#include "math/packed.h"
#include "math/view.h"

namespace weir::math {

// Rows of activations in the order that products read: [block of 32 rows][64-byte step][32 rows][64 bytes]. int8: u8 = clamp(round(x / scale) + zero),
// a scale a row and a group of inputs (Packed::group). Borrowed memory; rows up to the end of a block of 32 must exist, their values do not matter.
struct Activations {
  static constexpr std::size_t block_rows = 32, step_stride = 2048;
  Format format = Format::f32;
  std::byte* data = nullptr;  // 64-byte aligned
  std::size_t steps = 0;      // of 64 bytes
  std::size_t groups = 1;
  float* scale = nullptr;  // [rows × groups], int8 only
  float* shift = nullptr;  // [rows × groups]: -scale · zero
  std::byte* at(std::size_t row) const { return data + (row / block_rows * steps * block_rows + row % block_rows) * 64; }
  static constexpr std::size_t bytes(std::size_t rows, std::size_t steps) { return (rows + block_rows - 1) / block_rows * block_rows * steps * 64; }
};

enum class Epilogue { store, add, gelu };  // gelu: exact in f32, within 2e-4 in bf16 and int8

// out[r][c] (=, +=, = gelu of) Σ_k a[r][k] · w[c][k] + bias[c], for rows [row, row + rows) and panels [panel, panel + panels) of 32 outputs each.
struct Product {
  Activations a;
  std::size_t row = 0, rows = 0;
  const Packed* w = nullptr;
  std::size_t panel = 0, panels = 0;
  std::size_t group = 0, groups = 1;  // which groups of w's inputs; a holds these groups alone, from its first
  const float* bias = nullptr;        // of the whole w; may be null
  float* out = nullptr;               // of `row` and the first column of `panel`
  std::size_t out_stride = 0;
  std::size_t columns = 0;  // of out; ≤ 32 · panels
  Epilogue epilogue = Epilogue::store;
};

// One text, one head: softmax(q · kᵀ) · v, no mask; q is scaled already by log₂(e) / √head. q, k, v: [n × head] f32 of row stride `stride`; head is a
// multiple of 32. scratch: attention_scratch(n, head) floats, 64-byte aligned.
struct Attention {
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  std::size_t n = 0, head = 0, stride = 0;
  float* out = nullptr;
  std::size_t out_stride = 0;
  float* scratch = nullptr;
};
constexpr std::size_t attention_scratch(std::size_t n, std::size_t head) {
  const std::size_t keys = (n + 31) / 32 * 32;
  return keys * (head + 24);  // keys and values in bf16, or keys in f32; scores of up to 16 queries, in f32 and then in bf16
}

struct Kernels {
  Row row;
  bool fast_bf16;  // products of bf16 are faster than those of f32
  bool fast_int8;

  void (*product)(const Product&);
  void (*attention)(const Attention&);
  void (*attention_fast)(const Attention&);  // bf16 where the hardware has it
  // x = (x - mean) / sqrt(variance + epsilon) · scale + shift in place, and the same (times smooth[k], when given) into `to` from row `row`.
  void (*layer_norm)(View<float> x, const float* scale, const float* shift, float epsilon, const float* smooth, const Activations* to, std::size_t row);
  void (*quantise)(View<const float> x, const float* smooth, const Activations& to, std::size_t row);
  void (*add)(float* x, const float* y, std::size_t n);              // x += y
  void (*add_q4)(float* x, const std::byte* blocks, std::size_t n);  // x += Q4_0 blocks of 32: fp16 d, 16 bytes, (q - 8) · d
  void (*softmax)(float* x, std::size_t n);
  // One row's step of an online softmax (Milakov & Gimelshein 2018, arXiv:1805.02867): m = max(top, the greatest x), out = e^(x − m), *sum = Σ out; returns
  // m. out is written in whole 16s (zeros beyond n), each `stride` floats after the last: 16, where it may be x, or Activations' step. −inf gives 0.
  float (*softmax_step)(const float* x, std::size_t n, float top, float* out, std::size_t stride, float* sum);
  void (*exp)(float* x, std::size_t n);
  void (*gelu)(float* x, std::size_t n);
  void (*tanh)(float* x, std::size_t n);
  float (*dot)(const float* a, const float* b, std::size_t n);
  void (*dot_rows)(View<const float> rows, const float* x, float* y);  // y[r] = dot(rows[r], x), the same bits
  // y[c] += Σᵣ w[r] · rows[r][c]: one chain of fused multiply-adds over ascending r, as in a product; nothing is packed.
  void (*add_rows)(const float* w, View<const float> rows, float* y);
  bool (*finite)(const float* x, std::size_t n);  // no NaN, no infinity
  // Multiply-adds on registers alone, to measure a product against: returns how many operations (two a multiply-add) it did.
  double (*peak)(Format format, std::size_t iterations);
};

const Kernels* kernels(Row row);  // null when this build or this CPU does not have the row
const Kernels& kernels();         // of choose_row(), or of best_row() when that fails (programs have reported it at their start)

}  // namespace weir::math
