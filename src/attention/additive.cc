// additive: a query and a key meet in one hidden layer. Bahdanau 2014 (arXiv:1409.0473).
//
//   pre = W·k + U·q + b,   e = ⟨v_a, tanh(pre)⟩,   out = softmax(e)·V        (V = the keys where v is empty)
//
// Parameters: w [hidden × model], u [hidden × query], b [1 × hidden], v_a [1 × hidden]. Scale is 1 if not set. Backward, with T = tanh(pre) and de from the
// normaliser: ∂v_a = Σ de·T, ∂pre = de·v_a∘(1 − T²), from there as linear layers.
//
// candidate_pooling: a reader's history seen from a candidate q, which meets every past item k in differences and products. Zhou 2018 (arXiv:1706.06978),
// with tanh for its PReLU; Normaliser::sigmoid is nearest to its weights that do not sum to 1.
//
//   pre = w1·[k, q, k∘q, k − q] + b1,   e = ⟨w2, tanh(pre)⟩
//
// Parameters: w1 [hidden × 4·model], b1 [1 × hidden], w2 [1 × hidden]; q has `model` columns. In w1 = [A B C D], pre = (A + D + C∘q)·k + (B − D)·q + b1: for
// one query a layer over the keys, whose weights M and constant c are what a stream keeps.
//
// Cost: Tq·Tk·hidden tanh, and Tk·hidden·model (candidate_pooling: Tq times that). Blocks of queries go to the Executor in forward. A stream has one fixed query.
#include <algorithm>

#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

std::size_t hidden(const Settings& s) { return s.hidden == 0 ? s.model : s.hidden; }

// t [n × hidden] = tanh(t + c).
template <class T>
void squash(View<T> t, std::span<const T> c) {
  for (std::size_t j = 0; j < t.rows; ++j) add_scaled(t.row(j), T{1}, c.data());
  tanh_all(std::span<T>(t.data, t.rows * t.columns));
}

// t = tanh(pre) becomes ∂/∂pre from d = ∂/∂score; dv += and dc +=.
template <class T>
void squash_backward(Array<T>& t, std::span<const T> v, std::span<const T> d, std::span<T> dv, std::span<T> dc) {
  add_rows(d, t, dv);
  for (std::size_t j = 0; j < t.rows; ++j) {
    T* __restrict row = t.row(j).data();
    const T* __restrict scorer = v.data();
    const T pull = d[j];
    for (std::size_t r = 0; r < t.columns; ++r) row[r] = pull * scorer[r] * (1 - row[r] * row[r]);
  }
  add_rows(std::vector<T>(t.rows, T{1}), t, dc);
}

// Backward keeps tanh(pre) of so many rows of queries, some hundred thousand values: taking tanh again would cost as much as forward.
std::size_t kept_rows(std::size_t keys, std::size_t hidden) {
  constexpr std::size_t kept = std::size_t{1} << 18;
  return std::clamp<std::size_t>(kept / std::max<std::size_t>(1, keys * hidden), 1, block_rows);
}

// A stream keeps, below its mixture: c, then M; all as wide as the widest.
template <class T>
Status start_layer(Stream<T>& stream, std::span<const T> c, const Array<T>& m) {
  const std::size_t value = stream_value(stream);
  TRY(start_mixture(stream, 1, value));
  const Array<T> mixture = std::move(stream.state);
  stream.state = Array<T>(2 + m.rows, std::max({mixture.columns, c.size(), m.columns}));
  std::ranges::copy(mixture.row(0), stream.state.row(0).begin());
  std::ranges::copy(c, stream.state.row(1).begin());
  for (std::size_t r = 0; r < m.rows; ++r) std::ranges::copy(m.row(r), stream.state.row(2 + r).begin());
  return {};
}

template <class T>
void push_layer(Stream<T>& stream, std::span<const T> scorer, std::span<const T> k, std::span<const T> v) {
  std::vector<T> t(stream.state.rows - 2);
  for (std::size_t r = 0; r < t.size(); ++r) t[r] = stream.state.row(1)[r] + dot(stream.state.row(2 + r).data(), k.data(), k.size());
  tanh_all(std::span(t));
  const T score = dot(scorer.data(), t.data(), t.size());
  absorb<T>(stream.state.row(0), pooling_scale<T>(stream.settings) * score / static_cast<T>(stream.settings.temperature), v.empty() ? k : v);
}

template <class T>
std::vector<T> ask_layer(const Stream<T>& stream, std::span<const T>) {
  return mixed_so_far(stream, 1, stream_value(stream));
}

// ---------------------------------------------------------------------------------------------------------------- additive

enum : std::size_t { w, u, b, v_a };

std::vector<Shape> additive_parameters(const Settings& s) {
  return {{.name = "w", .rows = hidden(s), .columns = s.model},
          {.name = "u", .rows = hidden(s), .columns = s.query == 0 ? s.model : s.query},
          {.name = "b", .rows = 1, .columns = hidden(s), .bias = true},
          {.name = "v_a", .rows = 1, .columns = hidden(s)}};
}

template <class T>
Result<Sizes> additive_sizes(const Settings& s, const Input<T>& in) {
  TRY(expect("columns of q (query)", s.query == 0 ? s.model : s.query, in.q.columns));
  TRY(expect("columns of k (model)", s.model, in.k.columns));
  return shared_sizes(in, in.q.rows, 1);
}

// tanh(pre) of keys [first, first + n) and one query.
template <class T>
Array<T> additive_layer(const Array<T>& by_key, std::size_t first, std::size_t n, std::span<const T> by_query) {
  Array<T> t(n, by_key.columns);
  std::copy_n(by_key.row(first).data(), t.values.size(), t.values.data());
  squash<T>(t, by_query);
  return t;
}

template <class T>
Output<T> additive_forward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  constexpr std::size_t tile = 64;  // of keys: stays in L1
  const Array<T> by_key = affine<T>(Shown<T>(in.mask, in.k).view, p[w].value, p[b].value.values), by_query = affine<T>(in.q, p[u].value, {});
  return mix<T>(s, in, n, want, executor, [&](std::size_t i, std::span<T> row) {
    for (std::size_t first = 0; first < row.size(); first += tile) {
      const std::size_t count = std::min(tile, row.size() - first);
      dot_rows(additive_layer<T>(by_key, first, count, by_query.row(i)), p[v_a].value.row(0), row.subspan(first, count));
    }
  });
}

template <class T>
Gradients<T> additive_backward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                               const Executor&) {
  Gradients<T> g{.q = Array<T>(n.queries, in.q.columns), .k = Array<T>(n.keys, n.head), .parameters = zeros_like(p)};
  const Array<T> x = shown(in.mask, in.k), by_key = affine<T>(x, p[w].value, p[b].value.values), by_query = affine<T>(in.q, p[u].value, {});
  Array<T> d_key(by_key.rows, by_key.columns), d_query(by_query.rows, by_query.columns);
  std::vector<Array<T>> kept(kept_rows(n.keys, by_key.columns));
  const auto score = [&](std::size_t i, std::span<T> row) {
    Array<T>& t = kept[i % kept.size()] = additive_layer<T>(by_key, 0, n.keys, by_query.row(i));
    dot_rows(t, p[v_a].value.row(0), row);
  };
  mix_backward<T>(s, in, n, d_out, g, kept.size(), score, [&](std::size_t i, std::span<const T> d) {
    Array<T>& t = kept[i % kept.size()];
    squash_backward<T>(t, p[v_a].value.values, d, g.parameters[v_a].value.row(0), d_query.row(i));
    add_scaled(std::span(d_key.values), T{1}, t.values.data());
  });
  affine_backward<T>(x, p[w].value, d_key, g.k, g.parameters[w].value, g.parameters[b].value.values, Into::add);
  affine_backward<T>(in.q, p[u].value, d_query, g.q, g.parameters[u].value, {});
  return g;
}

template <class T>
Status additive_start(Stream<T>& stream) {
  const Parameters<T>& p = stream.parameters;
  TRY(expect("columns of k (model)", p[w].value.columns, stream.key_columns));
  TRY(expect("rows of the fixed query", 1, stream.query.rows));
  TRY(expect("columns of the fixed query", p[u].value.columns, stream.query.columns));
  return start_layer<T>(stream, affine<T>(stream.query, p[u].value, p[b].value.values).values, p[w].value);
}

template <class T>
void additive_push(Stream<T>& stream, std::span<const T> k, std::span<const T> value, T, T) {
  push_layer<T>(stream, stream.parameters[v_a].value.values, k, value);
}

// ---------------------------------------------------------------------------------------------------------------- candidate_pooling

enum : std::size_t { w1, b1, w2 };

std::vector<Shape> candidate_parameters(const Settings& s) {
  return {{.name = "w1", .rows = hidden(s), .columns = 4 * s.model},
          {.name = "b1", .rows = 1, .columns = hidden(s), .bias = true},
          {.name = "w2", .rows = 1, .columns = hidden(s)}};
}

template <class T>
Result<Sizes> candidate_sizes(const Settings& s, const Input<T>& in) {
  if (s.query != 0) TRY(expect("query (as model)", s.model, s.query));
  TRY(expect("columns of q (model)", s.model, in.q.columns));
  TRY(expect("columns of k (model)", s.model, in.k.columns));
  return shared_sizes(in, in.q.rows, 1);
}

// The layer over keys that one query makes.
template <class T>
struct Layer {
  Array<T> m;
  std::vector<T> c;
};
template <class T>
Layer<T> layer_of(const Parameters<T>& p, std::span<const T> q) {
  const std::size_t d = q.size();
  Layer<T> layer{.m = Array<T>(p[w1].value.rows, d), .c = p[b1].value.values};
  for (std::size_t r = 0; r < layer.m.rows; ++r) {
    const T* row = p[w1].value.row(r).data();
    for (std::size_t i = 0; i < d; ++i) {
      layer.m.row(r)[i] = row[i] + row[3 * d + i] + row[2 * d + i] * q[i];
      layer.c[r] += (row[d + i] - row[3 * d + i]) * q[i];
    }
  }
  return layer;
}

// From ∂/∂M and ∂/∂c of that layer.
template <class T>
void layer_backward(const Parameters<T>& p, std::span<const T> q, const Array<T>& dm, std::span<const T> dc, Parameters<T>& gradients, std::span<T> dq) {
  const std::size_t d = q.size();
  add_scaled(std::span(gradients[b1].value.values), T{1}, dc.data());
  for (std::size_t r = 0; r < dm.rows; ++r) {
    const T *row = p[w1].value.row(r).data(), *from = dm.row(r).data();
    T* to = gradients[w1].value.row(r).data();
    for (std::size_t i = 0; i < d; ++i) {
      to[i] += from[i];
      to[d + i] += dc[r] * q[i];
      to[2 * d + i] += from[i] * q[i];
      to[3 * d + i] += from[i] - dc[r] * q[i];
      dq[i] += from[i] * row[2 * d + i] + dc[r] * (row[d + i] - row[3 * d + i]);
    }
  }
}

template <class T>
Array<T> candidate_layer(const Layer<T>& layer, View<const T> x) {
  Array<T> t = affine<T>(x, layer.m, {});
  squash<T>(t, layer.c);
  return t;
}

template <class T>
Output<T> candidate_forward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  const Shown<T> x(in.mask, in.k);
  return mix<T>(s, in, n, want, executor,
                [&](std::size_t i, std::span<T> row) { dot_rows(candidate_layer<T>(layer_of<T>(p, in.q.row(i)), x.view), p[w2].value.row(0), row); });
}

template <class T>
Gradients<T> candidate_backward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                                const Executor&) {
  Gradients<T> g{.q = Array<T>(n.queries, n.head), .k = Array<T>(n.keys, n.head), .parameters = zeros_like(p)};
  const Shown<T> x(in.mask, in.k);
  std::vector<Array<T>> kept(kept_rows(n.keys, p[w1].value.rows));
  const auto score = [&](std::size_t i, std::span<T> row) {
    Array<T>& t = kept[i % kept.size()] = candidate_layer<T>(layer_of<T>(p, in.q.row(i)), x.view);
    dot_rows(t, p[w2].value.row(0), row);
  };
  mix_backward<T>(s, in, n, d_out, g, kept.size(), score, [&](std::size_t i, std::span<const T> d) {
    const Layer<T> layer = layer_of<T>(p, in.q.row(i));
    Array<T>& t = kept[i % kept.size()];
    Array<T> dm(layer.m.rows, layer.m.columns);
    std::vector<T> dc(layer.c.size());
    squash_backward<T>(t, p[w2].value.values, d, g.parameters[w2].value.row(0), dc);
    affine_backward<T>(x.view, layer.m, t, g.k, dm, {}, Into::add);
    layer_backward<T>(p, in.q.row(i), dm, dc, g.parameters, g.q.row(i));
  });
  return g;
}

template <class T>
Status candidate_start(Stream<T>& stream) {
  TRY(expect("columns of k (model)", stream.settings.model, stream.key_columns));
  TRY(expect("rows of the fixed query", 1, stream.query.rows));
  TRY(expect("columns of the fixed query", stream.settings.model, stream.query.columns));
  const Layer<T> layer = layer_of<T>(stream.parameters, stream.query.row(0));
  return start_layer<T>(stream, layer.c, layer.m);
}

template <class T>
void candidate_push(Stream<T>& stream, std::span<const T> k, std::span<const T> value, T, T) {
  push_layer<T>(stream, stream.parameters[w2].value.values, k, value);
}

}  // namespace

template <class T>
FormFunctions<T> additive() {
  return {.parameters = additive_parameters,
          .sizes = additive_sizes<T>,
          .forward = additive_forward<T>,
          .backward = additive_backward<T>,
          .start = additive_start<T>,
          .push = additive_push<T>,
          .ask = ask_layer<T>};
}
template <class T>
FormFunctions<T> candidate_pooling() {
  return {.parameters = candidate_parameters,
          .sizes = candidate_sizes<T>,
          .forward = candidate_forward<T>,
          .backward = candidate_backward<T>,
          .start = candidate_start<T>,
          .push = candidate_push<T>,
          .ask = ask_layer<T>};
}
template FormFunctions<float> additive();
template FormFunctions<double> additive();
template FormFunctions<float> candidate_pooling();
template FormFunctions<double> candidate_pooling();

}  // namespace weir::attention
