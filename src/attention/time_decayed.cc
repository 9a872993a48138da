// time_decayed: dot-product attention that forgets by the clock and holds how many keys it looks at.
//
//   zᵢⱼ = scale·⟨qᵢ, kⱼ⟩ + biasᵢⱼ − ageⱼ/τ + log importanceⱼ,   out = softmax(z / temperature)·v        (scale: 1/√d; τ = 0: ages do not matter)
//
// So a key's weight fades by e every τ seconds, and doubles with its importance (at temperature 1). With Settings::effective_keys = n every row takes the
// temperature at which exp(entropy of its weights) = n: it rises from the number of equal greatest logits (temperature → 0) to the number of keys
// (→ ∞), since d entropy / d log temperature = the variance of z / temperature under the weights, ≥ 0. Found by bisection on log temperature, with Newton's
// step where it stays inside. A target beyond what the row's keys allow gets the nearest there is.
//
// Backward, with dz from the normaliser: ∂age = −Σᵢ dz/τ, ∂τ = Σ dz·age/τ², ∂importance = Σᵢ dz/importance, ∂temperature = −Σ dz·z/temperature.
// A stream has one fixed query: (m, l, acc) a head, and m falls by dt/τ. Cost: as dot_product with weights.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "attention/features.h"
#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

template <class T>
T scale_of(const Settings& s, std::size_t d) {
  return static_cast<T>(s.scale == 0 ? 1 / std::sqrt(static_cast<double>(d)) : s.scale);
}

Status softmax_for_target(const Settings& s) {
  if (s.effective_keys != 0 && s.normaliser != Normaliser::softmax)
    return fail(Code::invalid, fmt::format("expected softmax with effective_keys, found {}", to_string(s.normaliser)));
  return {};
}

template <class T>
Result<Sizes> sizes(const Settings& s, const Input<T>& in) {
  TRY(softmax_for_target(s));
  return head_sizes(s, in);
}

// exp(entropy) of softmax(z / temperature) is `target`; −inf in z is hidden.
template <class T>
T temperature_for(std::span<const T> z, double target, double otherwise) {
  double greatest = -std::numeric_limits<double>::infinity(), least = -greatest, count = 0;
  for (const T x : z)
    if (std::isfinite(x)) {
      greatest = std::max(greatest, static_cast<double>(x));
      least = std::min(least, static_cast<double>(x));
      ++count;
    }
  const double spread = greatest - least, wanted = std::log(std::min(target, count));
  if (count < 2 || spread == 0) return static_cast<T>(otherwise);  // the same at every temperature
  double low = std::log(spread) - 16, high = std::log(spread) + 16, at = std::clamp(std::log(otherwise), low, high);
  for (int step = 0; step < 60 && high - low > 1e-9; ++step) {
    const double inverse = std::exp(-at);
    double sum = 0, mean = 0, square = 0;
    for (const T x : z)
      if (std::isfinite(x)) {
        const double y = (static_cast<double>(x) - greatest) * inverse, e = std::exp(y);
        sum += e;
        mean += e * y;
        square += e * y * y;
      }
    mean /= sum;
    const double entropy = std::log(sum) - mean, slope = square / sum - mean * mean, error = entropy - wanted;
    if (std::fabs(error) < 1e-12) break;
    (error > 0 ? high : low) = at;
    const double newton = at - error / slope;
    at = newton > low && newton < high ? newton : (low + high) / 2;
  }
  return static_cast<T>(std::exp(at));
}

// What makes a call: weights of every head and query, and what led to them.
template <class T>
struct Work {
  Array<T> k, v;                // zeros where hidden
  Array<T> logits;              // z
  Array<T> weights;
  std::vector<T> log_sum_exp, temperature;
};

template <class T>
View<T> block(Array<T>& x, std::size_t head, std::size_t rows) { return {x.values.data() + head * rows * x.columns, rows, x.columns}; }
template <class T>
View<const T> block(const Array<T>& x, std::size_t head, std::size_t rows) { return {x.values.data() + head * rows * x.columns, rows, x.columns}; }

// Of every key, before it meets a query.
template <class T>
std::vector<T> key_terms(const Settings& s, const Input<T>& in, const Sizes& n) {
  std::vector<T> terms(n.keys);
  for (std::size_t j = 0; j < n.keys; ++j) {
    if (!in.mask.keys.empty() && in.mask.keys[j] == 0) continue;
    if (s.tau != 0) terms[j] -= in.age[j] / static_cast<T>(s.tau);
    if (!in.importance.empty()) terms[j] += std::log(in.importance[j]);
  }
  return terms;
}

template <class T>
Work<T> work(const Settings& s, const Input<T>& in, const Sizes& n, const std::vector<T>& temperature, const Executor& executor) {
  Work<T> w{.k = shown(in.mask, in.k), .v = shown(in.mask, in.v), .logits = Array<T>(n.heads * n.queries, n.keys)};
  const std::size_t group = n.heads / n.kv_heads;
  executor.each(n.heads, [&](std::size_t h, std::size_t) {
    times_transposed<T>(columns(in.q, h * n.head, n.head), columns(View<const T>(w.k), h / group * n.head, n.head), block(w.logits, h, n.queries));
  });
  hide(in, n, scale_of<T>(s, n.head), w.logits);
  const std::vector<T> terms = key_terms(s, in, n);
  for (std::size_t r = 0; r < w.logits.rows; ++r) add_scaled(w.logits.row(r), T{1}, terms.data());
  w.temperature = temperature;
  if (w.temperature.empty()) {
    w.temperature.assign(w.logits.rows, static_cast<T>(s.temperature));
    if (s.effective_keys != 0)
      executor.each(w.logits.rows, [&](std::size_t r, std::size_t) {
        w.temperature[r] = temperature_for<T>(w.logits.row(r), s.effective_keys, s.temperature);
      });
  }
  w.weights = w.logits;
  for (std::size_t r = 0; r < w.weights.rows; ++r)
    for (T& x : w.weights.row(r)) x /= w.temperature[r];
  w.log_sum_exp = weigh(s, T{1}, w.weights);
  return w;
}

template <class T>
Output<T> forward(const Settings& s, const Parameters<T>&, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  Work<T> w = work(s, in, n, {}, executor);
  Output<T> output{.out = Array<T>(n.queries, n.heads * n.value)};
  const std::size_t group = n.heads / n.kv_heads;
  executor.each(n.heads, [&](std::size_t h, std::size_t) {
    times<T>(block(std::as_const(w.weights), h, n.queries), columns(View<const T>(w.v), h / group * n.value, n.value), columns(View<T>(output.out), h * n.value, n.value));
  });
  if (want.weights) output.weights = std::move(w.weights);
  output.log_sum_exp = std::move(w.log_sum_exp);
  if (s.effective_keys != 0) output.temperature = std::move(w.temperature);
  return output;
}

template <class T>
Gradients<T> backward(const Settings& s, const Parameters<T>&, const Input<T>& in, const Sizes& n, const Output<T>& output, View<const T> d_out,
                      const Executor& executor) {
  const Work<T> w = work(s, in, n, output.temperature, executor);
  Gradients<T> g{.q = Array<T>(n.queries, n.heads * n.head), .k = Array<T>(n.keys, n.kv_heads * n.head), .v = Array<T>(n.keys, n.kv_heads * n.value)};
  Array<T> d(w.weights.rows, n.keys);
  const std::size_t group = n.heads / n.kv_heads;
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
      const View<const T> d_head = columns(d_out, h * n.value, n.value);
      times_transposed<T>(d_head, columns(View<const T>(w.v), kv * n.value, n.value), block(d, h, n.queries));
      transposed_times<T>(block(w.weights, h, n.queries), d_head, columns(View<T>(g.v), kv * n.value, n.value), Into::add);
    }
  });
  weigh_backward(s, T{1}, w.weights, d);
  // d is by z / temperature; what is hidden has 0.
  for (std::size_t r = 0; r < d.rows; ++r)
    for (std::size_t j = 0; j < n.keys; ++j) {
      T& x = d.row(r)[j];
      x /= w.temperature[r];
      if (x != 0) g.temperature -= x * w.logits.row(r)[j] / w.temperature[r];
    }
  if (s.effective_keys != 0) g.temperature = 0;
  if (in.bias.data != nullptr) {
    g.bias = Array<T>(n.queries, n.keys);
    for (std::size_t r = 0; r < d.rows; ++r) add_scaled(g.bias.row(r % n.queries), T{1}, d.row(r).data());
  }
  std::vector<T> by_key(n.keys);
  for (std::size_t r = 0; r < d.rows; ++r) add_scaled(std::span(by_key), T{1}, d.row(r).data());
  g.age.resize(in.age.size());
  g.importance.resize(in.importance.size());
  for (std::size_t j = 0; j < n.keys; ++j) {
    if (!in.mask.keys.empty() && in.mask.keys[j] == 0) continue;
    if (s.tau != 0) {
      g.age[j] = -by_key[j] / static_cast<T>(s.tau);
      g.tau += by_key[j] * in.age[j] / static_cast<T>(s.tau * s.tau);
    }
    if (!in.importance.empty()) g.importance[j] = by_key[j] / in.importance[j];
  }
  const T scale = scale_of<T>(s, n.head);
  for (T& x : d.values) x *= scale;
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    for (std::size_t h = kv * group; h < (kv + 1) * group; ++h) {
      const View<const T> d_head = block(std::as_const(d), h, n.queries);
      times<T>(d_head, columns(View<const T>(w.k), kv * n.head, n.head), columns(View<T>(g.q), h * n.head, n.head));
      transposed_times<T>(d_head, columns(in.q, h * n.head, n.head), columns(View<T>(g.k), kv * n.head, n.head), Into::add);
    }
  });
  return g;
}

template <class T>
Status start(Stream<T>& stream) {
  const Settings& s = stream.settings;
  if (s.effective_keys != 0) return fail(Code::invalid, fmt::format("expected no effective_keys over a stream, found {}", s.effective_keys));
  const std::size_t shared = kv_heads(s);
  if (stream.key_columns % shared != 0 || stream.value_columns == 0 || stream.value_columns % shared != 0)
    return fail(Code::invalid, fmt::format("expected columns of k and v as multiples of {} heads, found {} and {}", shared, stream.key_columns, stream.value_columns));
  TRY(expect("rows of the fixed query", 1, stream.query.rows));
  TRY(expect("columns of the fixed query", stream.key_columns / shared * s.heads, stream.query.columns));
  return start_mixture(stream, s.heads, stream.value_columns / shared);
}

template <class T>
void push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T dt, T importance) {
  const Settings& s = stream.settings;
  const std::size_t shared = kv_heads(s), d = stream.key_columns / shared, value = stream.value_columns / shared;
  const T temperature = static_cast<T>(s.temperature), older = s.tau == 0 ? T{0} : dt / (static_cast<T>(s.tau) * temperature);
  for (std::size_t h = 0; h < s.heads; ++h) {
    const std::size_t kv = h / (s.heads / shared);
    const T logit = scale_of<T>(s, d) * dot(stream.query.values.data() + h * d, k.data() + kv * d, d) + std::log(importance);
    stream.state.row(h)[0] -= older;
    absorb<T>(stream.state.row(h), logit / temperature, v.subspan(kv * value, value));
  }
}

template <class T>
std::vector<T> ask(const Stream<T>& stream, std::span<const T>) { return mixed_so_far(stream, stream.settings.heads, stream.value_columns / kv_heads(stream.settings)); }

}  // namespace

template <class T>
FormFunctions<T> time_decayed() {
  return {.sizes = sizes<T>, .forward = forward<T>, .backward = backward<T>, .start = start<T>, .push = push<T>, .ask = ask<T>};
}
template FormFunctions<float> time_decayed();
template FormFunctions<double> time_decayed();

}  // namespace weir::attention
