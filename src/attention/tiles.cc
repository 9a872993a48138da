// Softmax attention on f32 by tiles, on math's kernels: a block of queries walks the tiles of keys that it may see with an online softmax (Milakov &
// Gimelshein 2018, arXiv:1805.02867; Dao 2022, arXiv:2205.14135). Keys and values are packed once a call; scratch is a tile a thread.
//
// Products and sums of an element have one order, whoever computes it: the number of threads changes no bit.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "attention/dot_product.h"
#include "attention/mask.h"
#include "attention/mixture.h"
#include "math/kernels.h"

namespace weir::attention {
namespace {

using math::Activations;
using math::Packed;

constexpr std::size_t rows = 64;     // queries of a task: two blocks of Activations
constexpr std::size_t widest = 256;  // keys of a tile: scores of 64 × 256 floats stay in L2
constexpr float none = -std::numeric_limits<float>::infinity();

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Narrow tiles where windows or blocks are narrow: a tile is the least that is computed.
std::size_t tile_of(const Mask& mask) {
  const std::size_t reach = std::min(mask.window == 0 ? widest : mask.window, mask.block == 0 ? widest : mask.block / 2);
  return reach * 2 + rows < widest * 2 ? rows : widest;
}

class Scratch {  // 64-byte aligned floats, zeros
 public:
  explicit Scratch(std::size_t n) : data_(static_cast<float*>(std::aligned_alloc(64, round_up(n * 4 + 64, 64)))) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::fill_n(data_.get(), n, 0.0F);
  }
  float* data() const { return data_.get(); }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
};

// Rows in the order that products read, in scratch of the caller's.
Activations activations(float* at, std::size_t columns) {
  return {.format = math::Format::f32, .data = reinterpret_cast<std::byte*>(at), .steps = round_up(columns, 16) / 16};
}
std::size_t activation_floats(std::size_t columns) { return Activations::bytes(rows, round_up(columns, 16) / 16) / 4; }

// Where 16 values of row r from column c on lie.
float* slot(const Activations& a, std::size_t r, std::size_t c) { return reinterpret_cast<float*>(a.at(r) + c / 16 * Activations::step_stride); }

void put(const Activations& a, std::size_t r, const float* x, std::size_t n, float factor) {
  for (std::size_t c = 0; c < n; c += 16) {
    float* to = slot(a, r, c);
    for (std::size_t i = 0; i < std::min<std::size_t>(16, n - c); ++i) to[i] = x[c + i] * factor;
  }
}

// Columns of x [n × width] as rows of `to`, with zeros up to a whole step of 16.
void turn(float* x, std::size_t n, std::size_t width, std::size_t stride, const Activations& to) {
  for (std::size_t r = n; r < round_up(n, 16); ++r) std::fill_n(x + r * stride, width, 0.0F);
  for (std::size_t c = 0; c < width; c += Activations::block_rows)
    for (std::size_t r = 0; r < n; r += 16) {
      const std::size_t columns = std::min(Activations::block_rows, width - c);
      math::transpose({x + r * stride + c, 16, columns, stride}, {slot(to, c, r), columns, 16, 16});
    }
}

// out[rows × columns of w] (+)= a · w, outputs [panel, panel + panels) of it.
void product(const math::Kernels& kernels, const Activations& a, std::size_t n, const Packed& w, float* out, std::size_t stride, math::Epilogue epilogue,
             std::size_t first = 0, std::size_t last = 0) {
  const std::size_t panel = first / Packed::panel_outputs, end = last == 0 ? w.panels() : (last + Packed::panel_outputs - 1) / Packed::panel_outputs;
  kernels.product({.a = a,
                   .row = 0,
                   .rows = n,
                   .w = &w,
                   .panel = panel,
                   .panels = end - panel,
                   .group = 0,
                   .groups = w.groups(),
                   .bias = nullptr,
                   .out = out + panel * Packed::panel_outputs,
                   .out_stride = stride,
                   .columns = std::min(w.outputs() - panel * Packed::panel_outputs, (end - panel) * Packed::panel_outputs),
                   .epilogue = epilogue});
}

// Keys and values of one head of them, tile by tile.
struct Tiles {
  std::vector<Packed> keys, values;            // scores = q · keys; out = p · values
  std::vector<Packed> keys_back, values_back;  // dq = dz · keys_back; dp = d_out · values_back
};

struct Call {
  const Problem<float>& p;
  const math::Kernels& kernels = math::kernels();
  std::size_t tile;
  bool masked;  // a score may have to be hidden
  Shown<float> shown_k, shown_v;
  std::vector<Tiles> tiles;  // [kv_heads]

  Call(const Problem<float>& problem, bool back, const Executor& executor)
      : p(problem), tile(tile_of(p.input.mask)), shown_k(p.input.mask, p.k), shown_v(p.input.mask, p.v), tiles(p.sizes.kv_heads) {
    const Mask& m = p.input.mask;
    masked = m.causal || m.window != 0 || m.block != 0 || !m.keys.empty() || m.pairs.data != nullptr;
    const View<const float> k = shown_k.view, v = shown_v.view;
    const std::size_t count = (p.sizes.keys + tile - 1) / tile;
    for (Tiles& t : tiles) {
      t.keys.resize(count);
      t.values.resize(count);
      if (!back) continue;
      t.keys_back.resize(count);
      t.values_back.resize(count);
    }
    executor.each(count * tiles.size(), [&, k, v](std::size_t task, std::size_t) {
      Tiles& t = tiles[task / count];
      const std::size_t kv = task / count, i = task % count, first = i * tile, n = std::min(tile, p.sizes.keys - first);
      const View<const float> keys(k.data + first * k.stride + kv * p.sizes.head, n, p.sizes.head, k.stride);
      const View<const float> values(v.data + first * v.stride + kv * p.sizes.value, n, p.sizes.value, v.stride);
      t.keys[i] = Packed::rows(keys);
      t.values[i] = Packed::columns(values);
      if (!back) return;
      t.keys_back[i] = Packed::columns(keys);
      t.values_back[i] = Packed::rows(values);
    });
  }

  // f(tile, first key, end key): the tiles that queries [first, last) may see, in ascending order, and the keys of each that they may.
  template <class F>
  void each_tile(std::size_t first, std::size_t last, F&& f) const {
    const Seen keys = seen(p.input.mask, first, last, p.sizes.keys);
    std::size_t next = 0;  // a tile that both ranges touch comes once, whole
    for (const Range r : {keys.global, keys.local})
      for (std::size_t t = std::max(next, r.begin / tile); t * tile < r.end && r.size() != 0; next = ++t) {
        const bool shared = keys.global.size() != 0 && keys.local.size() != 0 && t * tile < keys.global.end && keys.local.begin < (t + 1) * tile;
        f(t, shared ? t * tile : std::max(r.begin, t * tile), std::min({shared ? keys.local.end : r.end, (t + 1) * tile, p.sizes.keys}));
      }
  }

  // Scores of queries [first, first + n) of head h with keys [begin, end) of a tile, in row r at s + r · tile: whole, with bias, position and mask.
  void scores(const Activations& q, std::size_t h, std::size_t first, std::size_t n, std::size_t t, std::size_t begin, std::size_t end, float* s) const {
    const Packed& keys = tiles[h / p.group()].keys[t];
    const std::size_t base = t * tile, width = keys.outputs();
    product(kernels, q, n, keys, s, tile, math::Epilogue::store, begin - base, end - base);
    const bool extra = p.input.bias.data != nullptr || p.settings.position == Position::alibi;
    if (!extra && !masked) return;
    const float slope = p.settings.position == Position::alibi ? static_cast<float>(alibi_slope(h, p.sizes.heads) * p.inverse) : 0.0F;
    const float inverse = static_cast<float>(p.inverse);
    for (std::size_t r = 0; r < n; ++r) {
      const std::size_t i = first + r;
      float* row = s + r * tile;
      if (p.input.bias.data != nullptr)
        for (std::size_t j = begin; j < end; ++j) row[j - base] += inverse * p.input.bias(i, j);
      if (slope != 0)
        for (std::size_t j = begin; j < end; ++j) row[j - base] -= slope * static_cast<float>(i > j ? i - j : j - i);
      if (masked) hide(i, base, width, row);
    }
  }

  // −inf in all columns of a tile that query i may not see.
  void hide(std::size_t i, std::size_t base, std::size_t width, float* row) const {
    const Seen keys = seen(p.input.mask, i, p.sizes.keys);
    std::size_t done = 0;
    for (const Range r : {keys.global, keys.local}) {
      const std::size_t begin = std::clamp(r.begin, base, base + width) - base, end = std::clamp(r.end, base, base + width) - base;
      if (begin >= end) continue;
      std::fill(row + done, row + std::max(done, begin), none);
      done = end;
    }
    std::fill(row + done, row + width, none);
    if (p.input.mask.keys.empty() && p.input.mask.pairs.data == nullptr) return;
    for (std::size_t c = 0; c < width; ++c)
      if (row[c] != none && !visible(p.input.mask, i, base + c)) row[c] = none;
  }
};

bool sees_any(const Mask& mask, std::size_t i, std::size_t keys) {
  bool any = false;
  seen(mask, i, keys).each([&](std::size_t j) { any = any || visible(mask, i, j); });
  return any;
}

}  // namespace

void tiled_forward(const Problem<float>& p, Output<float>& output, const Want& want, const Executor& executor) {
  const Sizes& z = p.sizes;
  const Call call(p, false, executor);
  const std::size_t blocks = (z.queries + rows - 1) / rows, head_floats = activation_floats(z.head), tile_floats = activation_floats(call.tile);
  const std::size_t each = head_floats + tile_floats + rows * call.tile;
  const Scratch scratch(each * executor.threads);
  executor.each(z.heads * blocks, [&](std::size_t task, std::size_t worker) {
    const std::size_t h = task / blocks, first = task % blocks * rows, n = std::min(rows, z.queries - first);
    float* at = scratch.data() + worker * each;
    const Activations q = activations(at, z.head);
    float* const weights = at + head_floats;
    float* const s = weights + tile_floats;
    const float scale = static_cast<float>(p.scale);
    for (std::size_t r = 0; r < n; ++r) put(q, r, p.query(h, first + r), z.head, scale);
    float top[rows], sum[rows];
    std::fill_n(top, n, none);
    std::fill_n(sum, n, 0.0F);
    const auto out = [&](std::size_t r) { return output.out.values.data() + (first + r) * z.out_columns + h * z.value; };
    call.each_tile(first, first + n, [&](std::size_t t, std::size_t begin, std::size_t end) {
      const Packed& values = call.tiles[h / p.group()].values[t];
      const Activations w = activations(weights, values.inputs());
      call.scores(q, h, first, n, t, begin, end, s);
      for (std::size_t r = 0; r < n; ++r) {
        float part = 0;
        const float before = top[r];
        top[r] = call.kernels.softmax_step(s + r * call.tile, values.inputs(), before, slot(w, r, 0), Activations::step_stride / 4, &part);
        if (before != none && before != top[r]) {
          const float shrink = std::exp(before - top[r]);
          sum[r] *= shrink;
          float* row = out(r);
          for (std::size_t c = 0; c < z.value; ++c) row[c] *= shrink;
        }
        sum[r] += part;
      }
      product(call.kernels, w, n, values, out(0), z.out_columns, math::Epilogue::add);
    });
    for (std::size_t r = 0; r < n; ++r) {
      const bool broken = top[r] == none && sees_any(p.input.mask, first + r, z.keys);  // logits that all overflowed are not a masked row
      const float inverse = broken ? std::numeric_limits<float>::quiet_NaN() : sum[r] == 0 ? 0.0F : 1 / sum[r];
      float* row = out(r);
      for (std::size_t c = 0; c < z.value; ++c) row[c] *= inverse;
      output.log_sum_exp[h * z.queries + first + r] = top[r] + std::log(sum[r]);
    }
    if (!want.weights) return;
    call.each_tile(first, first + n, [&](std::size_t t, std::size_t begin, std::size_t end) {
      const std::size_t width = call.tiles[h / p.group()].keys[t].outputs();
      call.scores(q, h, first, n, t, begin, end, s);
      for (std::size_t r = 0; r < n; ++r) {
        float part = 0;
        float* row = s + r * call.tile;
        if (sum[r] == 0) continue;
        call.kernels.softmax_step(row, width, top[r], row, 16, &part);
        float* to = output.weights.row(h * z.queries + first + r).data() + t * call.tile;
        const float inverse = 1 / sum[r];
        for (std::size_t c = 0; c < width; ++c) to[c] = row[c] * inverse;
      }
    });
  });
}

void tiled_backward(const Problem<float>& p, const Output<float>& output, View<const float> d_out, Gradients<float>& g, const Executor& executor) {
  const Sizes& z = p.sizes;
  const Call call(p, true, executor);
  const std::size_t head_floats = activation_floats(z.head), value_floats = activation_floats(z.value), tile_floats = activation_floats(call.tile);
  const std::size_t keys_floats = Activations::bytes(call.tile, rows / 16) / 4;  // a tile of keys as rows, queries as columns
  const std::size_t each = head_floats + value_floats + tile_floats + 2 * keys_floats + 2 * rows * call.tile;
  // A task owns what it adds to: its head's columns of dq, dk and dv. What heads share (the gradient of a bias; keys) is one task, or summed up after.
  const std::size_t tasks = g.bias.values.empty() ? z.heads : 1, heads = z.heads / tasks;
  Array<float> shared_k, shared_v;
  if (p.group() > 1) {
    shared_k = Array<float>(z.keys, z.heads * z.head);
    shared_v = Array<float>(z.keys, z.heads * z.value);
  }
  Array<float>&dk = p.group() > 1 ? shared_k : g.k, &dv = p.group() > 1 ? shared_v : g.v;
  const Scratch scratch(each * executor.threads);
  const float scale = static_cast<float>(p.scale), inverse = static_cast<float>(p.inverse);
  executor.each(tasks, [&](std::size_t task, std::size_t worker) {
    float* at = scratch.data() + worker * each;
    const auto take = [&](std::size_t floats) { return std::exchange(at, at + floats); };
    const Activations q = activations(take(head_floats), z.head), d = activations(take(value_floats), z.value);
    float* const dz_floats = take(tile_floats);
    const Activations p_back = activations(take(keys_floats), rows), dz_back = activations(take(keys_floats), rows);
    float *const s = take(rows * call.tile), *const dp = take(rows * call.tile);
    for (std::size_t h = task * heads; h < (task + 1) * heads; ++h)
      for (std::size_t first = 0; first < z.queries; first += rows) {
        const std::size_t n = std::min(rows, z.queries - first), kv = h / p.group();
        const View<const float> d_rows(d_out.data + first * d_out.stride + h * z.value, n, z.value, d_out.stride);
        const Packed d_columns = Packed::columns(d_rows), q_columns = Packed::columns(View<const float>(p.query(h, first), n, z.head, p.q.stride));
        const std::size_t steps = d_columns.steps();  // of 16 queries
        float inner[rows];                            // ⟨d_out, out⟩ = ⟨weights, d weights⟩
        for (std::size_t r = 0; r < n; ++r) {
          put(q, r, p.query(h, first + r), z.head, scale);
          put(d, r, d_rows.row(r).data(), z.value, 1);
          inner[r] = dot(d_rows.row(r).data(), output.out.values.data() + (first + r) * z.out_columns + h * z.value, z.value);
        }
        call.each_tile(first, first + n, [&](std::size_t t, std::size_t begin, std::size_t end) {
          const Tiles& tiles = call.tiles[kv];
          const std::size_t base = t * call.tile, width = tiles.keys[t].outputs();
          const Activations dz = activations(dz_floats, width);
          const Activations p_rows{.format = math::Format::f32, .data = p_back.data, .steps = steps},
              dz_rows{.format = math::Format::f32, .data = dz_back.data, .steps = steps};
          call.scores(q, h, first, n, t, begin, end, s);
          product(call.kernels, d, n, tiles.values_back[t], dp, call.tile, math::Epilogue::store);
          for (std::size_t r = 0; r < n; ++r) {
            float part = 0;
            float *w = s + r * call.tile, *dw = dp + r * call.tile;
            call.kernels.softmax_step(w, width, output.log_sum_exp[h * z.queries + first + r], w, 16, &part);
            for (std::size_t c = 0; c < width; ++c) dw[c] = w[c] * (dw[c] - inner[r]);
            if (!g.bias.values.empty())
              for (std::size_t c = begin; c < end; ++c) g.bias.row(first + r)[c] += inverse * dw[c - base];
            for (std::size_t c = 0; c < width; ++c) dw[c] *= scale;
            put(dz, r, dw, width, 1);
          }
          turn(s, n, width, call.tile, p_rows);
          turn(dp, n, width, call.tile, dz_rows);
          product(call.kernels, dz, n, tiles.keys_back[t], g.q.row(first).data() + h * z.head, g.q.columns, math::Epilogue::add);
          product(call.kernels, p_rows, width, d_columns, dv.row(base).data() + h * z.value, dv.columns, math::Epilogue::add);
          product(call.kernels, dz_rows, width, q_columns, dk.row(base).data() + h * z.head, dk.columns, math::Epilogue::add);
        });
      }
  });
  if (p.group() == 1) return;
  for (std::size_t j = 0; j < z.keys; ++j)
    for (std::size_t h = 0; h < z.heads; ++h) {
      const std::size_t kv = h / p.group();
      add_scaled(g.k.row(j).subspan(kv * z.head, z.head), 1.0F, dk.row(j).data() + h * z.head);
      add_scaled(g.v.row(j).subspan(kv * z.value, z.value), 1.0F, dv.row(j).data() + h * z.value);
    }
}

}  // namespace weir::attention
