// Dot-product attention: softmax((scale · q·kᵀ + position + bias) / temperature) · v, head by head. Vaswani 2017 (arXiv:1706.03762); several heads of
// queries may share one of keys and values: Shazeer 2019 (arXiv:1911.02150), Ainslie 2023 (arXiv:2305.13245).
//
// Backward, from G = ∂/∂out: dV = Pᵀ·G, dP = G·Vᵀ, dZ from dP by the normaliser, dQ = dZ·K, dK = dZᵀ·Q. P is worked out again, not kept.
//
// Here is the plain path, a row of queries at a time: for f64, and on f32 for what is not softmax. Softmax on f32 is in tiles.cc.
#include "attention/dot_product.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "attention/mask.h"
#include "attention/normalise.h"

namespace weir::attention {

template <class T>
Problem<T>::Problem(const Settings& s, const Input<T>& i, const Sizes& z)
    : settings(s), input(i), sizes(z), q(i.q), k(i.k), v(i.v), inverse(1 / s.temperature) {
  scale = (s.scale != 0 ? s.scale : 1 / std::sqrt(static_cast<double>(z.head))) * inverse;
  if (s.position != Position::rope) return;
  const auto turn = [](View<const T> x, Array<T>& to, std::size_t heads) {
    to = Array<T>(x.rows, x.columns);
    for (std::size_t r = 0; r < x.rows; ++r) std::ranges::copy(x.row(r), to.row(r).data());
    rope<T>(to, heads);
    return View<const T>(to);
  };
  q = turn(q, turned_q, z.heads);
  k = turn(k, turned_k, z.kv_heads);
}

template struct Problem<float>;
template struct Problem<double>;

namespace {

constexpr std::size_t block = 16;  // queries a task
constexpr std::size_t few = 4;     // so many queries of a head of keys are answered before its keys would be packed

Result<Sizes> sizes_of(std::size_t heads, std::size_t kv, std::size_t q, std::size_t k, std::size_t v, Position position) {
  const auto divided = [](std::string_view name, std::size_t columns, std::size_t by) -> Status {
    if (columns != 0 && columns % by == 0) return {};
    return fail(Code::invalid, fmt::format("expected columns in {} that {} heads divide, at least 1 a head, found {}", name, by, columns));
  };
  TRY(divided("q", q, heads));
  TRY(divided("k", k, kv));
  TRY(divided("v", v, kv));
  Sizes s{.heads = heads, .kv_heads = kv, .head = q / heads, .value = v / kv};
  TRY(expect("columns a head in k (as in q)", s.head, k / kv));
  if (position == Position::rope && s.head % 2 != 0) return fail(Code::invalid, fmt::format("expected an even head size for rope, found {}", s.head));
  return s;
}

template <class T>
Result<Sizes> sizes(const Settings& settings, const Input<T>& input) {
  Sizes s = TRY(sizes_of(settings.heads, kv_heads(settings), input.q.columns, input.k.columns, input.v.columns, settings.position));
  TRY(expect("rows in v (as in k)", input.k.rows, input.v.rows));
  s.queries = s.out_rows = input.q.rows;
  s.keys = input.k.rows;
  if (__builtin_mul_overflow(s.heads, s.value, &s.out_columns))
    return fail(Code::invalid, fmt::format("expected fewer columns of v, found {}", input.v.columns));
  return s;
}

// z[c]: the logit of the c-th key that `keys` gives; −inf where it is masked.
template <class T>
T weigh(const Problem<T>& p, std::size_t h, std::size_t i, const Seen& keys, std::span<T> z) {
  const bool plain = p.input.bias.data == nullptr && p.settings.position != Position::alibi;
  const T scale = static_cast<T>(p.scale);
  const T* q = p.query(h, i);
  std::size_t c = 0;
  bool any = false, alive = false;
  keys.each([&](std::size_t j) {
    T logit = -std::numeric_limits<T>::infinity();
    if (visible(p.input.mask, i, j)) {
      logit = scale * dot(q, p.key(h, j), p.sizes.head);
      if (!plain) logit += static_cast<T>(p.extra(h, i, j));
      any = true;
      alive = alive || logit != -std::numeric_limits<T>::infinity();
    }
    z[c++] = logit;
  });
  if (any && !alive) z[0] = std::numeric_limits<T>::quiet_NaN();  // logits that all overflowed are not a masked row
  return normalise(p.settings.normaliser, p.settings.top_k, z);
}

template <class T>
void plain_forward(const Problem<T>& p, Output<T>& output, const Want& want, const Executor& executor) {
  const Sizes& s = p.sizes;
  const std::size_t blocks = (s.queries + block - 1) / block;
  Array<T> scratch(executor.threads, s.keys);
  executor.each(s.heads * blocks, [&](std::size_t task, std::size_t worker) {
    const std::size_t h = task / blocks, first = task % blocks * block;
    for (std::size_t i = first; i < std::min(first + block, s.queries); ++i) {
      const Seen keys = seen(p.input.mask, i, s.keys);
      const std::span<T> z = scratch.row(worker).first(keys.size());
      output.log_sum_exp[h * s.queries + i] = weigh(p, h, i, keys, z);
      const std::span<T> out = output.out.row(i).subspan(h * s.value, s.value);
      std::size_t c = 0;
      keys.each([&](std::size_t j) {
        const T weight = z[c++];
        if (weight == 0) return;  // also: what is masked is not read
        add_scaled(out, weight, p.value(h, j));
        if (want.weights) output.weights.row(h * s.queries + i)[j] = weight;
      });
    }
  });
}

template <class T>
void plain_backward(const Problem<T>& p, View<const T> d_out, Gradients<T>& g, const Executor& executor) {
  const Sizes& s = p.sizes;
  const T scale = static_cast<T>(p.scale), inverse = static_cast<T>(p.inverse);
  Array<T> weights(executor.threads, s.keys), logits(executor.threads, s.keys);
  // A task owns its columns of dk and dv; the gradient of a bias is a sum over heads, so then it is one task.
  const std::size_t tasks = g.bias.values.empty() ? s.kv_heads : 1, heads = s.heads / tasks;
  executor.each(tasks, [&](std::size_t task, std::size_t worker) {
    for (std::size_t h = task * heads; h < (task + 1) * heads; ++h)
      for (std::size_t i = 0; i < s.queries; ++i) {
        const Seen keys = seen(p.input.mask, i, s.keys);
        const std::span<T> w = weights.row(worker).first(keys.size()), d = logits.row(worker).first(keys.size());
        weigh(p, h, i, keys, w);
        const T* out = d_out.data + i * d_out.stride + h * s.value;
        const std::size_t kv = h / p.group();
        std::size_t c = 0;
        keys.each([&](std::size_t j) {
          d[c] = w[c] == 0 ? T{0} : dot(out, p.value(h, j), s.value);
          if (w[c] != 0) add_scaled(g.v.row(j).subspan(kv * s.value, s.value), w[c], out);
          ++c;
        });
        normalise_backward<T>(p.settings.normaliser, w, d);
        c = 0;
        keys.each([&](std::size_t j) {
          const T dz = d[c++];
          if (dz == 0) return;
          add_scaled(g.q.row(i).subspan(h * s.head, s.head), scale * dz, p.key(h, j));
          add_scaled(g.k.row(j).subspan(kv * s.head, s.head), scale * dz, p.query(h, i));
          if (!g.bias.values.empty()) g.bias.row(i)[j] += inverse * dz;
        });
      }
  });
}

template <class T>
Output<T> forward_of(const Settings& settings, const Parameters<T>&, const Input<T>& input, const Sizes& s, const Want& want, const Executor& executor) {
  Output<T> output{.out = Array<T>(s.out_rows, s.out_columns), .weights = {}, .log_sum_exp = std::vector<T>(s.heads * s.queries), .temperature = {}};
  if (want.weights) output.weights = Array<T>(s.heads * s.queries, s.keys);
  const Problem<T> p(settings, input, s);
  if constexpr (std::is_same_v<T, float>)
    if (settings.normaliser == Normaliser::softmax && s.queries * p.group() > few) {
      tiled_forward(p, output, want, executor);
      return output;
    }
  plain_forward(p, output, want, executor);
  return output;
}

template <class T>
Gradients<T> backward_of(const Settings& settings, const Parameters<T>&, const Input<T>& input, const Sizes& s, const Output<T>& output, View<const T> d_out,
                         const Executor& executor) {
  Gradients<T> g;
  g.q = Array<T>(input.q.rows, input.q.columns);
  g.k = Array<T>(input.k.rows, input.k.columns);
  g.v = Array<T>(input.v.rows, input.v.columns);
  if (input.bias.data != nullptr) g.bias = Array<T>(input.bias.rows, input.bias.columns);
  const Problem<T> p(settings, input, s);
  bool tiled = false;
  if constexpr (std::is_same_v<T, float>)
    if (settings.normaliser == Normaliser::softmax && s.queries * p.group() > few) {
      tiled_backward(p, output, d_out, g, executor);
      tiled = true;
    }
  if (!tiled) plain_backward(p, d_out, g, executor);
  if (settings.position == Position::rope) {
    rope<T>(g.q, s.heads, Turn::back);
    rope<T>(g.k, s.kv_heads, Turn::back);
  }
  return g;
}

// ---------------------------------------------------------------------------------------------------------------- stream: the last window + 1 keys

template <class T>
Status start(Stream<T>& stream) {
  if (stream.query.rows != 0) return fail(Code::invalid, fmt::format("expected no fixed query for dot_product, found {} rows", stream.query.rows));
  const std::size_t kv = kv_heads(stream.settings);
  TRY(sizes_of(stream.settings.heads, kv, stream.key_columns / kv * stream.settings.heads, stream.key_columns, stream.value_columns, stream.settings.position));
  stream.keys = Array<T>(stream.window + 1, stream.key_columns);
  stream.values = Array<T>(stream.window + 1, stream.value_columns);
  return {};
}

template <class T>
void push_of(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T, T) {
  const std::size_t slot = stream.seen % (stream.window + 1);
  std::ranges::copy(k, stream.keys.row(slot).data());
  std::ranges::copy(v, stream.values.row(slot).data());
  if (stream.settings.position == Position::rope)
    rope<T>(View<T>(stream.keys.row(slot).data(), 1, k.size()), kv_heads(stream.settings), Turn::forward, stream.seen);
}

template <class T>
std::vector<T> ask_of(const Stream<T>& stream, std::span<const T> q) {
  const std::size_t heads = stream.settings.heads, kv = kv_heads(stream.settings), head = stream.keys.columns / kv, value = stream.values.columns / kv;
  std::vector<T> out(heads * value);
  if (stream.seen == 0) return out;
  const std::size_t ring = stream.window + 1, count = std::min(stream.seen, ring), last = stream.seen - 1;
  std::vector<T> turned(q.begin(), q.end()), z(count);
  if (stream.settings.position == Position::rope) rope<T>(View<T>(turned.data(), 1, turned.size()), heads, Turn::forward, last);
  const double inverse = 1 / stream.settings.temperature;
  const double scale = (stream.settings.scale != 0 ? stream.settings.scale : 1 / std::sqrt(static_cast<double>(head))) * inverse;
  for (std::size_t h = 0; h < heads; ++h) {
    const std::size_t shared = h / (heads / kv);
    const double slope = stream.settings.position == Position::alibi ? alibi_slope(h, heads) * inverse : 0;
    for (std::size_t c = 0; c < count; ++c) {  // oldest first: ties of top_k are as in forward()
      const std::size_t j = last + 1 - count + c;
      z[c] = static_cast<T>(scale) * dot(turned.data() + h * head, stream.keys.row(j % ring).data() + shared * head, head);
      if (slope != 0) z[c] -= static_cast<T>(slope * static_cast<double>(last - j));
    }
    normalise<T>(stream.settings.normaliser, stream.settings.top_k, z);
    for (std::size_t c = 0; c < count; ++c)
      add_scaled(std::span(out).subspan(h * value, value), z[c], stream.values.row((last + 1 - count + c) % ring).data() + shared * value);
  }
  return out;
}

}  // namespace

template <class T>
FormFunctions<T> dot_product() {
  return {.parameters = nullptr,
          .draw = nullptr,
          .sizes = sizes<T>,
          .forward = forward_of<T>,
          .backward = backward_of<T>,
          .mixed = nullptr,
          .start = start<T>,
          .push = push_of<T>,
          .ask = ask_of<T>};
}
template FormFunctions<float> dot_product();
template FormFunctions<double> dot_product();

}  // namespace weir::attention
