// dot_pooling: a learned query a looks at the keys; what the founding article calls additive. Yang 2016 (aclanthology N16-1174), without its hidden layer.
//
//   e = X·a,   out = softmax(e)·V        (V = X where v is empty)
//
// Parameter: a [1 × model]. Scale is 1 if not set. Backward: with de from the normaliser, ∂a = Xᵀde, ∂X = de·aᵀ (+ weightsᵀ·∂out), ∂V = weightsᵀ·∂out.
//
// multi_head_pooling: every head looks at the keys through one hidden layer and has its own row of weights. Lin 2017 (arXiv:1703.03130).
//
//   T = tanh(X·W₁ᵀ),   E = W₂·Tᵀ [heads × Tk],   out = softmax(E)·V [heads × dv]
//
// Parameters: w1 [hidden × model], w2 [heads × hidden]. Backward: ∂W₂ = ∂E·T, ∂T = ∂Eᵀ·W₂, then through tanh into W₁ and X.
//
// Both are O(Tk) and stream: (m, l, acc) a head. Positions have no meaning here: Mask's query is 0.
#include <algorithm>

#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

std::size_t hidden(const Settings& s) { return s.hidden == 0 ? s.model : s.hidden; }

template <class T>
std::span<const T> value_or_key(std::span<const T> k, std::span<const T> v) {
  return v.empty() ? k : v;
}

template <class T>
T logit_of(const Settings& s, T score) {
  return pooling_scale<T>(s) * score / static_cast<T>(s.temperature);
}

// ---------------------------------------------------------------------------------------------------------------- dot_pooling

std::vector<Shape> dot_parameters(const Settings& s) { return {{.name = "a", .rows = 1, .columns = s.model}}; }

template <class T>
Result<Sizes> dot_sizes(const Settings& s, const Input<T>& in) {
  TRY(expect("columns of k (model)", s.model, in.k.columns));
  return shared_sizes(in, 1, 1);
}

template <class T>
Output<T> dot_forward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  const Shown<T> seen(in.mask, in.k);
  return mix<T>(s, in, n, want, executor, [&](std::size_t, std::span<T> row) { dot_rows(seen.view, p[0].value.row(0), row); });
}

template <class T>
Gradients<T> dot_backward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                          const Executor&) {
  Gradients<T> g{.k = Array<T>(n.keys, n.head), .parameters = zeros_like(p)};
  const Shown<T> seen(in.mask, in.k);
  const View<const T> x = seen.view;
  const auto score = [&](std::size_t, std::span<T> row) { dot_rows(x, p[0].value.row(0), row); };
  mix_backward<T>(s, in, n, d_out, g, block_rows, score, [&](std::size_t, std::span<const T> d) {
    add_rows(d, x, g.parameters[0].value.row(0));
    for (std::size_t j = 0; j < n.keys; ++j) add_scaled(g.k.row(j), d[j], p[0].value.values.data());
  });
  return g;
}

template <class T>
Status dot_start(Stream<T>& stream) {
  TRY(expect("columns of k (model)", stream.settings.model, stream.key_columns));
  return start_mixture(stream, 1, stream_value(stream));
}

template <class T>
void dot_push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T, T) {
  absorb<T>(stream.state.row(0), logit_of(stream.settings, dot(stream.parameters[0].value.values.data(), k.data(), k.size())), value_or_key(k, v));
}

template <class T>
std::vector<T> dot_ask(const Stream<T>& stream, std::span<const T>) {
  return mixed_so_far(stream, 1, stream_value(stream));
}

// ---------------------------------------------------------------------------------------------------------------- multi_head_pooling

enum : std::size_t { w1, w2 };

std::vector<Shape> heads_parameters(const Settings& s) {
  return {{.name = "w1", .rows = hidden(s), .columns = s.model}, {.name = "w2", .rows = s.heads, .columns = hidden(s)}};
}

template <class T>
Result<Sizes> heads_sizes(const Settings& s, const Input<T>& in) {
  TRY(expect("columns of k (model)", s.model, in.k.columns));
  return shared_sizes(in, 1, s.heads);
}

template <class T>
Array<T> layer(const Parameters<T>& p, View<const T> x) {
  Array<T> t = affine<T>(x, p[w1].value, {});
  tanh_all(std::span(t.values));
  return t;
}

template <class T>
Array<T> heads_scores(const Parameters<T>& p, const Array<T>& t) {
  Array<T> scores(p[w2].value.rows, t.rows);
  times_transposed<T>(p[w2].value, t, scores);
  return scores;
}

template <class T>
auto row_of(const Array<T>& scores) {
  return [&scores](std::size_t h, std::span<T> row) { std::ranges::copy(scores.row(h), row.begin()); };
}

template <class T>
Output<T> heads_forward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  const Array<T> scores = heads_scores(p, layer<T>(p, Shown<T>(in.mask, in.k).view));
  return mix<T>(s, in, n, want, executor, row_of(scores));
}

template <class T>
Gradients<T> heads_backward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                            const Executor&) {
  Gradients<T> g{.k = Array<T>(n.keys, n.head), .parameters = zeros_like(p)};
  const Shown<T> seen(in.mask, in.k);
  const View<const T> x = seen.view;
  const Array<T> t = layer<T>(p, x), scores = heads_scores(p, t);
  Array<T> d(n.heads, n.keys), back(t.rows, t.columns);
  mix_backward<T>(s, in, n, d_out, g, block_rows, row_of(scores), [&](std::size_t h, std::span<const T> row) { std::ranges::copy(row, d.row(h).begin()); });
  times<T>(d, t, g.parameters[w2].value);
  transposed_times<T>(d, p[w2].value, back);
  for (std::size_t i = 0; i < t.values.size(); ++i) back.values[i] *= 1 - t.values[i] * t.values[i];
  affine_backward<T>(x, p[w1].value, back, g.k, g.parameters[w1].value, {}, Into::add);
  return g;
}

template <class T>
Status heads_start(Stream<T>& stream) {
  TRY(expect("columns of k (model)", stream.settings.model, stream.key_columns));
  return start_mixture(stream, stream.settings.heads, stream_value(stream));
}

template <class T>
void heads_push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T, T) {
  const Array<T>& in = stream.parameters[w1].value;
  std::vector<T> t(in.rows);
  for (std::size_t r = 0; r < in.rows; ++r) t[r] = dot(in.row(r).data(), k.data(), k.size());
  tanh_all(std::span(t));
  for (std::size_t h = 0; h < stream.settings.heads; ++h)
    absorb<T>(stream.state.row(h), logit_of(stream.settings, dot(stream.parameters[w2].value.row(h).data(), t.data(), t.size())), value_or_key(k, v));
}

template <class T>
std::vector<T> heads_ask(const Stream<T>& stream, std::span<const T>) {
  return mixed_so_far(stream, stream.settings.heads, stream_value(stream));
}

}  // namespace

template <class T>
FormFunctions<T> dot_pooling() {
  return {.parameters = dot_parameters,
          .sizes = dot_sizes<T>,
          .forward = dot_forward<T>,
          .backward = dot_backward<T>,
          .start = dot_start<T>,
          .push = dot_push<T>,
          .ask = dot_ask<T>};
}
template <class T>
FormFunctions<T> multi_head_pooling() {
  return {.parameters = heads_parameters,
          .sizes = heads_sizes<T>,
          .forward = heads_forward<T>,
          .backward = heads_backward<T>,
          .start = heads_start<T>,
          .push = heads_push<T>,
          .ask = heads_ask<T>};
}
template FormFunctions<float> dot_pooling();
template FormFunctions<double> dot_pooling();
template FormFunctions<float> multi_head_pooling();
template FormFunctions<double> multi_head_pooling();

}  // namespace weir::attention
