// fastformer: every query is pooled into one, every key seen from it into one, and each value is seen from that. Wu 2021 (arXiv:2108.09084).
//
//   α = softmax(c·⟨wq, qᵢ⟩),  q̄ = Σ αᵢ·qᵢ      pᵢ = q̄∘kᵢ,  β = softmax(c·⟨wk, pᵢ⟩),  k̄ = Σ βᵢ·pᵢ      uᵢ = k̄∘vᵢ      outᵢ = W·[u of all heads]ᵢ + b + qᵢ
//
// c = scale, 1/√d if not set. Parameters: wq, wk [heads × d], w [model × model] and w.bias [1 × model], model = heads · d. Queries, keys and values
// belong to the same positions, so that Mask::keys hides a position altogether: it gives zeros and gets none. Not a mixture of values: there are no
// weights to ask for. Cost: O(T·model²) for W, O(T·model) for the rest.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "attention/form.h"
#include "attention/normalise.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

enum : std::size_t { wq, wk, w, w_bias };

std::vector<Shape> parameters(const Settings& s) {
  return {{"wq", s.heads, s.model / s.heads},
          {"wk", s.heads, s.model / s.heads},
          {"w", s.model, s.model},
          {.name = "w.bias", .rows = 1, .columns = s.model, .bias = true}};
}

template <class T>
Result<Sizes> sizes(const Settings& s, const Input<T>& in) {
  if (s.model == 0 || s.model % s.heads != 0) return fail(Code::invalid, fmt::format("expected model as a multiple of {} heads, found {}", s.heads, s.model));
  TRY(expect("columns of q (model)", s.model, in.q.columns));
  TRY(expect("columns of k (model)", s.model, in.k.columns));
  TRY(expect("columns of v (model)", s.model, in.v.columns));
  TRY(expect("rows of k (as q)", in.q.rows, in.k.rows));
  TRY(expect("rows of v (as q)", in.q.rows, in.v.rows));
  const std::size_t d = s.model / s.heads;
  return Sizes{
      .queries = in.q.rows, .keys = in.k.rows, .heads = s.heads, .kv_heads = s.heads, .head = d, .value = d, .out_rows = in.q.rows, .out_columns = s.model};
}

template <class T>
T factor(const Settings& s, const Sizes& n) {
  return static_cast<T>(s.scale == 0 ? 1 / std::sqrt(static_cast<double>(n.head)) : s.scale);
}

// The positions that are there: only they are read, worked on and written.
std::vector<std::size_t> positions(const Mask& mask, std::size_t n) {
  std::vector<std::size_t> there;
  for (std::size_t i = 0; i < n; ++i)
    if (mask.keys.empty() || mask.keys[i] != 0) there.push_back(i);
  return there;
}

template <class T>
Array<T> gathered(View<const T> x, const std::vector<std::size_t>& at) {
  Array<T> out(at.size(), x.columns);
  for (std::size_t i = 0; i < at.size(); ++i) std::ranges::copy(x.row(at[i]), out.row(i).begin());
  return out;
}

template <class T>
Array<T> scattered(const Array<T>& x, const std::vector<std::size_t>& at, std::size_t rows) {
  Array<T> out(rows, x.columns);
  for (std::size_t i = 0; i < at.size(); ++i) std::ranges::copy(x.row(i), out.row(at[i]).begin());
  return out;
}

// softmax(c·X·a) and Σ weight·X: both poolings.
template <class T>
struct Pool {
  std::vector<T> weight;
  std::vector<T> mean;
};
template <class T>
Pool<T> pool(View<const T> x, std::span<const T> a, T c) {
  Pool<T> p{.weight = std::vector<T>(x.rows), .mean = std::vector<T>(x.columns)};
  for (std::size_t i = 0; i < x.rows; ++i) p.weight[i] = c * dot(x.row(i).data(), a.data(), x.columns);
  normalise<T>(Normaliser::softmax, 0, p.weight);
  for (std::size_t i = 0; i < x.rows; ++i) add_scaled(std::span(p.mean), p.weight[i], x.row(i).data());
  return p;
}
// From d = ∂/∂mean: dx += and da +=.
template <class T>
void pool_backward(View<const T> x, std::span<const T> a, T c, const Pool<T>& p, std::span<const T> d, View<T> dx, std::span<T> da) {
  std::vector<T> logit(x.rows);
  for (std::size_t i = 0; i < x.rows; ++i) logit[i] = dot(x.row(i).data(), d.data(), x.columns);
  normalise_backward<T>(Normaliser::softmax, p.weight, logit);
  for (std::size_t i = 0; i < x.rows; ++i) {
    add_scaled(dx.row(i), p.weight[i], d.data());
    add_scaled(dx.row(i), c * logit[i], a.data());
    add_scaled(da, c * logit[i], x.row(i).data());
  }
}

// row by row: X∘f
template <class T>
Array<T> times_row(View<const T> x, std::span<const T> f) {
  Array<T> out(x.rows, x.columns);
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < x.columns; ++j) out.row(i)[j] = x(i, j) * f[j];
  return out;
}

template <class T>
struct Head {  // of one head: what forward and backward both need
  Pool<T> queries;
  Array<T> seen;  // p
  Pool<T> keys;
};
template <class T>
Head<T> head_of(const Parameters<T>& parameters, View<const T> q, View<const T> k, std::size_t head, T c) {
  Head<T> h{.queries = pool<T>(q, parameters[wq].value.row(head), c)};
  h.seen = times_row<T>(k, h.queries.mean);
  h.keys = pool<T>(h.seen, parameters[wk].value.row(head), c);
  return h;
}

template <class T>
Output<T> forward(const Settings& s, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n, const Want&, const Executor& executor) {
  const std::vector<std::size_t> at = positions(in.mask, n.keys);
  const Array<T> q = gathered(in.q, at), k = gathered(in.k, at), v = gathered(in.v, at);
  Array<T> u(at.size(), s.model);
  executor.each(n.heads, [&](std::size_t head, std::size_t) {
    const auto part = [&](const Array<T>& x) { return columns(View<const T>(x), head * n.head, n.head); };
    const Head<T> h = head_of(parameters, part(q), part(k), head, factor<T>(s, n));
    const Array<T> mine = times_row<T>(part(v), h.keys.mean);
    for (std::size_t i = 0; i < at.size(); ++i) std::ranges::copy(mine.row(i), u.row(i).subspan(head * n.head).begin());
  });
  Array<T> out = affine<T>(u, parameters[w].value, parameters[w_bias].value.values);
  add_scaled(std::span(out.values), T{1}, q.values.data());
  return {.out = scattered(out, at, n.queries)};
}

template <class T>
Gradients<T> backward(const Settings& s, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d_out,
                      const Executor& executor) {
  const std::vector<std::size_t> at = positions(in.mask, n.keys);
  const Array<T> q = gathered(in.q, at), k = gathered(in.k, at), v = gathered(in.v, at), d = gathered(d_out, at);
  Array<T> u(at.size(), s.model), dq = d, dk(at.size(), s.model), dv(at.size(), s.model), du(at.size(), s.model);
  Gradients<T> gradients{.parameters = zeros_like(parameters)};
  times<T>(d, parameters[w].value, du);
  executor.each(n.heads, [&](std::size_t head, std::size_t) {
    const auto part = [&](const Array<T>& x) { return columns(View<const T>(x), head * n.head, n.head); };
    const auto into = [&](Array<T>& x) { return columns(View<T>(x), head * n.head, n.head); };
    const T c = factor<T>(s, n);
    const Head<T> h = head_of(parameters, part(q), part(k), head, c);
    std::vector<T> d_key(n.head), d_query(n.head);  // of k̄ and q̄
    for (std::size_t i = 0; i < at.size(); ++i)
      for (std::size_t j = 0; j < n.head; ++j) {
        into(u)(i, j) = part(v)(i, j) * h.keys.mean[j];
        into(dv)(i, j) = part(du)(i, j) * h.keys.mean[j];
        d_key[j] += part(du)(i, j) * part(v)(i, j);
      }
    Array<T> d_seen(at.size(), n.head);
    pool_backward<T>(h.seen, parameters[wk].value.row(head), c, h.keys, d_key, d_seen, gradients.parameters[wk].value.row(head));
    for (std::size_t i = 0; i < at.size(); ++i)
      for (std::size_t j = 0; j < n.head; ++j) {
        into(dk)(i, j) = d_seen.row(i)[j] * h.queries.mean[j];
        d_query[j] += d_seen.row(i)[j] * part(k)(i, j);
      }
    pool_backward<T>(part(q), parameters[wq].value.row(head), c, h.queries, d_query, into(dq), gradients.parameters[wq].value.row(head));
  });
  affine_backward<T>(u, parameters[w].value, d, {}, gradients.parameters[w].value, gradients.parameters[w_bias].value.values);
  gradients.q = scattered(dq, at, n.queries);
  gradients.k = scattered(dk, at, n.keys);
  gradients.v = scattered(dv, at, n.keys);
  return gradients;
}

}  // namespace

template <class T>
FormFunctions<T> fastformer() {
  return {.parameters = parameters, .sizes = sizes<T>, .forward = forward<T>, .backward = backward<T>};
}
template FormFunctions<float> fastformer();
template FormFunctions<double> fastformer();

}  // namespace weir::attention
