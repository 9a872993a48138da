// Multi-head attention: dot-product attention between linear layers, as torch's nn.MultiheadAttention (its in_proj is wq, wk, wv one below the other).
// Vaswani 2017 (arXiv:1706.03762).
//
//   out = dot_product(q·wqᵀ + bq, k·wkᵀ + bk, v·wvᵀ + bv)·woᵀ + bo
//
// Parameters: wq [model × model], wk and wv [kv_heads·d × model], wo [model × model], then their biases wq.bias … [1 × n]; d = model / heads. A row without
// a visible key is zeros before wo: it gives bo. Cost: 2·T·model² for each layer beside dot_product's. A stream is dot_product's: the last window + 1 keys
// and values, after their layers.
#include <algorithm>

#include <fmt/format.h>

#include "attention/form.h"
#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

enum : std::size_t { wq, wk, wv, wo, bq, bk, bv, bo };

std::vector<Shape> parameters(const Settings& s) {
  const std::size_t all = s.model, shared = s.model / s.heads * kv_heads(s);
  return {{"wq", all, all},          {"wk", shared, all},          {"wv", shared, all},          {"wo", all, all},
          {"wq.bias", 1, all, true}, {"wk.bias", 1, shared, true}, {"wv.bias", 1, shared, true}, {"wo.bias", 1, all, true}};
}

template <class T>
Result<Sizes> sizes(const Settings& s, const Input<T>& input) {
  if (s.model % s.heads != 0) return fail(Code::invalid, fmt::format("expected a model that {} heads divide, found {}", s.heads, s.model));
  TRY(expect("columns in q (model)", s.model, input.q.columns));
  TRY(expect("columns in k (model)", s.model, input.k.columns));
  TRY(expect("columns in v (model)", s.model, input.v.columns));
  TRY(expect("rows in v (as k)", input.k.rows, input.v.rows));
  const std::size_t head = s.model / s.heads;
  if (s.position == Position::rope && head % 2 != 0) return fail(Code::invalid, fmt::format("expected an even head size for rope, found {}", head));
  return Sizes{.queries = input.q.rows,
               .keys = input.k.rows,
               .heads = s.heads,
               .kv_heads = kv_heads(s),
               .head = head,
               .value = head,
               .out_rows = input.q.rows,
               .out_columns = s.model};
}

// What dot_product gets.
template <class T>
struct Inner {
  Settings settings;
  Sizes sizes;
  Shown<T> k, v;
  Array<T> q_layer, k_layer, v_layer;
  Input<T> input;

  Inner(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Executor& executor)
      : settings(s), sizes(n), k(in.mask, in.k), v(in.mask, in.v), input(in) {
    settings.form = Form::dot_product;
    sizes.out_columns = n.heads * n.value;
    q_layer = affine<T>(in.q, p[wq].value, p[bq].value.values, executor);
    k_layer = affine<T>(k.view, p[wk].value, p[bk].value.values, executor);
    v_layer = affine<T>(v.view, p[wv].value, p[bv].value.values, executor);
    input.q = q_layer;
    input.k = k_layer;
    input.v = v_layer;
  }
  Inner(const Inner&) = delete;
  Inner& operator=(const Inner&) = delete;
};

template <class T>
Output<T> forward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  const Inner<T> inner(s, p, in, n, executor);
  Output<T> output = functions<T>(Form::dot_product).forward(inner.settings, {}, inner.input, inner.sizes, want, executor);
  output.out = affine<T>(output.out, p[wo].value, p[bo].value.values, executor);
  return output;
}

template <class T>
Gradients<T> backward(const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                      const Executor& executor) {
  const Inner<T> inner(s, p, in, n, executor);
  const FormFunctions<T> heads = functions<T>(Form::dot_product);
  const Output<T> mixed = heads.forward(inner.settings, {}, inner.input, inner.sizes, {}, executor);
  Gradients<T> g{.q = Array<T>(in.q.rows, in.q.columns),
                 .k = Array<T>(in.k.rows, in.k.columns),
                 .v = Array<T>(in.v.rows, in.v.columns),
                 .bias = {},
                 .parameters = zeros_like(p),
                 .age = {},
                 .importance = {}};
  const auto layer_backward = [&](std::size_t w, std::size_t b, View<const T> x, View<const T> d, View<T> dx) {
    affine_backward<T>(x, p[w].value, d, dx, g.parameters[w].value, g.parameters[b].value.values);
  };
  Array<T> d_mixed(in.q.rows, n.heads * n.value);
  layer_backward(wo, bo, mixed.out, d_out, d_mixed);
  Gradients<T> d = heads.backward(inner.settings, {}, inner.input, inner.sizes, mixed, d_mixed, executor);
  layer_backward(wq, bq, in.q, d.q, g.q);
  layer_backward(wk, bk, inner.k.view, d.k, g.k);
  layer_backward(wv, bv, inner.v.view, d.v, g.v);
  g.bias = std::move(d.bias);
  return g;
}

// Head h brings Σ wⱼ·⟨its columns of v's layer, its columns of wo · direction⟩.
template <class T>
Mixed<T> mixed(const Settings&, const Parameters<T>& p, const Input<T>& in, const Sizes& n, std::size_t head, std::span<const T> direction) {
  const std::size_t first = head / (n.heads / n.kv_heads) * n.value;
  const Shown<T> v(in.mask, in.v);
  Mixed<T> m;
  m.made = affine<T>(v.view, View<const T>(p[wv].value.row(first).data(), n.value, n.heads * n.value),
                     std::span<const T>(p[bv].value.values).subspan(first, n.value));
  m.values = m.made;
  m.direction.assign(n.value, T{0});
  for (std::size_t r = 0; r < direction.size(); ++r) add_scaled(std::span(m.direction), direction[r], p[wo].value.row(r).data() + head * n.value);
  m.constant = dot(p[bo].value.values.data(), direction.data(), direction.size());
  return m;
}

// One row through a layer.
template <class T>
std::vector<T> row_through(const Parameters<T>& p, std::size_t w, std::size_t b, std::span<const T> x) {
  std::vector<T> y(p[w].value.rows);
  dot_rows(p[w].value, x, std::span(y));
  add_scaled(std::span(y), T{1}, p[b].value.values.data());
  return y;
}

template <class T>
Status start(Stream<T>& stream) {
  const Settings& s = stream.settings;
  TRY(sizes<T>(
      s, {.q = View<const T>(nullptr, 0, s.model), .k = View<const T>(nullptr, 0, stream.key_columns), .v = View<const T>(nullptr, 0, stream.value_columns)}));
  for (Array<T>* ring : {&stream.keys, &stream.values}) *ring = Array<T>(stream.window + 1, s.model / s.heads * kv_heads(s));
  return {};
}

template <class T>
void push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T dt, T importance) {
  const std::vector<T> key = row_through<T>(stream.parameters, wk, bk, k), value = row_through<T>(stream.parameters, wv, bv, v);
  functions<T>(Form::dot_product).push(stream, key, value, dt, importance);
}

template <class T>
std::vector<T> ask(const Stream<T>& stream, std::span<const T> q) {
  const std::vector<T> query = row_through<T>(stream.parameters, wq, bq, q);
  return row_through<T>(stream.parameters, wo, bo, functions<T>(Form::dot_product).ask(stream, query));
}

}  // namespace

template <class T>
FormFunctions<T> multi_head() {
  return {.parameters = parameters,
          .draw = nullptr,
          .sizes = sizes<T>,
          .forward = forward<T>,
          .backward = backward<T>,
          .mixed = mixed<T>,
          .start = start<T>,
          .push = push<T>,
          .ask = ask<T>};
}
template FormFunctions<float> multi_head();
template FormFunctions<double> multi_head();

}  // namespace weir::attention
