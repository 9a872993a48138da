// time_decayed: dot-product attention that forgets by the clock and holds how many keys it looks at.
//
//   zᵢⱼ = scale·⟨qᵢ, kⱼ⟩ + biasᵢⱼ − ageⱼ/τ + log importanceⱼ,   out = softmax(z / temperature)·v        (scale: 1/√d; τ = 0: ages do not matter)
//
// So a key's weight fades by e every τ seconds, and doubles with its importance (at temperature 1). With Settings::effective_keys = n every row takes the
// temperature at which exp(entropy of its weights) = n: it rises from the number of equal greatest logits (temperature → 0) to the number of keys
// (→ ∞), since d entropy / d log temperature = the variance of z / temperature under the weights, ≥ 0. Found by bisection on log temperature, with Newton's
// step where it stays inside. A target beyond what the row's keys allow gets the nearest there is.
//
// Backward, with dz from the normaliser: ∂age = −Σᵢ dz/τ, ∂τ = Σ dz·age/τ², ∂importance = Σᵢ dz/importance, ∂temperature = −Σ dz·z/temperature. With a target
// the temperature follows the logits so that the entropy H stays: d log temperature = −Σ pₖ(log pₖ + H)·dzₖ / (temperature·V), V = Σ pₖ(log pₖ + H)²; and so
// ∂zᵢ = dzᵢ − Σₖ dzₖ·log pₖ · pᵢ(log pᵢ + H) / V. Where the target is out of reach weights do not depend on logits: zeros.
// A stream has one fixed query: (m, l, acc) a head, and m falls by dt/τ; it has no target, for which all logits would have to be kept. Cost: as dot_product with rows of weights
// made whole, a block of queries at a time; with a target some ten exponentials a weight more.
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
  const double spread = greatest - least, wanted = std::log(target);
  if (count < 2 || spread == 0) return static_cast<T>(otherwise);  // the same at every temperature
  if (target >= count) return static_cast<T>(std::min(spread * std::exp(32.0), static_cast<double>(std::numeric_limits<T>::max())));  // all alike, to rounding
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
    const double newton = at - error / slope;
    const bool there = std::fabs(newton - at) < 1e-9;  // a step squares what is left
    (error > 0 ? high : low) = at;
    at = there || (newton > low && newton < high) ? newton : (low + high) / 2;
    if (there) break;
  }
  return static_cast<T>(std::exp(at));
}

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

// What all blocks read: keys and values with zeros where hidden.
template <class T>
struct Keys {
  Array<T> k, v;
  std::vector<T> terms;
};

// A head's queries [first, first + rows): their logits and weights. Scratch of one worker, used again for block after block.
template <class T>
struct Block {
  std::size_t head = 0, kv = 0, first = 0;
  View<const T> q{};
  Array<T> logits, weights;  // z; and what became of it
  std::vector<T> log_sum_exp, temperature;
};

template <class T>
View<T> rows(View<T> x, std::size_t first, std::size_t n) {
  return {x.data + first * x.stride, n, x.columns, x.stride};
}

// chosen: the temperatures of a forward() with a target; empty: they are found here.
template <class T>
void fill(Block<T>& b, const Settings& s, const Input<T>& in, const Sizes& n, const Keys<T>& keys, std::size_t head, std::size_t first,
          std::span<const T> chosen) {
  const std::size_t count = std::min(block_rows, n.queries - first), row = head * n.queries + first;
  b.head = head;
  b.kv = head / (n.heads / n.kv_heads);
  b.first = first;
  b.q = rows(columns(in.q, head * n.head, n.head), first, count);
  for (Array<T>* a : {&b.logits, &b.weights})
    if (a->rows != count) *a = Array<T>(count, n.keys);
  b.log_sum_exp.resize(count);
  b.temperature.assign(count, static_cast<T>(s.temperature));
  times_transposed<T>(b.q, columns(View<const T>(keys.k), b.kv * n.head, n.head), b.logits);
  hide<T>(in, n, scale_of<T>(s, n.head), row, b.logits);
  for (std::size_t r = 0; r < count; ++r) {
    still_there(b.logits.row(r), [&](std::span<T> logits) { add_scaled(logits, T{1}, keys.terms.data()); });
    if (s.effective_keys != 0) b.temperature[r] = chosen.empty() ? temperature_for<T>(b.logits.row(r), s.effective_keys, s.temperature) : chosen[row + r];
    std::ranges::copy(b.logits.row(r), b.weights.row(r).begin());
    b.log_sum_exp[r] = weigh<T>(s, b.temperature[r], View<T>(b.weights.row(r).data(), 1, n.keys))[0];
  }
}

template <class T>
Keys<T> keys_of(const Settings& s, const Input<T>& in, const Sizes& n) {
  return {shown(in.mask, in.k), shown(in.mask, in.v), key_terms(s, in, n)};
}

template <class T>
Output<T> forward(const Settings& s, const Parameters<T>&, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor) {
  const Keys<T> keys = keys_of(s, in, n);
  const std::size_t all = n.heads * n.queries, blocks = (n.queries + block_rows - 1) / block_rows;
  Output<T> output{.out = Array<T>(n.queries, n.heads * n.value), .log_sum_exp = std::vector<T>(all)};
  if (want.weights) output.weights = Array<T>(all, n.keys);
  if (s.effective_keys != 0) output.temperature.resize(all);
  std::vector<Block<T>> scratch(std::max<std::size_t>(executor.threads, 1));
  executor.each(n.heads * blocks, [&](std::size_t index, std::size_t worker) {
    Block<T>& b = scratch[worker];
    fill<T>(b, s, in, n, keys, index / blocks, index % blocks * block_rows, {});
    const std::size_t row = b.head * n.queries + b.first;
    const auto at = static_cast<std::ptrdiff_t>(row);
    times<T>(b.weights, columns(View<const T>(keys.v), b.kv * n.value, n.value),
             rows(columns(View<T>(output.out), b.head * n.value, n.value), b.first, b.weights.rows));
    std::ranges::copy(b.log_sum_exp, output.log_sum_exp.begin() + at);
    if (want.weights) std::ranges::copy(b.weights.values, output.weights.row(row).begin());
    if (s.effective_keys != 0) std::ranges::copy(b.temperature, output.temperature.begin() + at);
  });
  return output;
}

// d = ∂/∂z at the temperature that was chosen becomes ∂/∂z with the temperature that follows.
template <class T>
void follow_target(std::span<const T> weights, double target, std::span<T> d) {
  double entropy = 0, variance = 0, pull = 0;
  for (std::size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] <= 0) continue;
    const double p = static_cast<double>(weights[j]), log_p = std::log(p);
    entropy -= p * log_p;
    variance += p * log_p * log_p;
    pull += static_cast<double>(d[j]) * log_p;
  }
  variance -= entropy * entropy;
  if (std::fabs(entropy - std::log(target)) > 1e-4 || variance < 1e-10) {  // out of reach
    std::ranges::fill(d, T{0});
    return;
  }
  for (std::size_t j = 0; j < weights.size(); ++j) {
    if (weights[j] <= 0) continue;
    const double p = static_cast<double>(weights[j]);
    d[j] -= static_cast<T>(pull * p * (std::log(p) + entropy) / variance);
  }
}

// What heads add up to: each key/value head has its own, summed in order.
template <class T>
struct Sums {
  Array<T> bias;
  std::vector<T> by_key;  // of z
  T temperature = 0;
};

template <class T>
void block_backward(const Settings& s, const Sizes& n, const Keys<T>& keys, const Block<T>& b, View<const T> d_out, Gradients<T>& g, Sums<T>& sums) {
  const View<const T> pull = rows(columns(d_out, b.head * n.value, n.value), b.first, b.weights.rows);
  Array<T> d(b.weights.rows, n.keys);
  transposed_times<T>(b.weights, pull, columns(View<T>(g.v), b.kv * n.value, n.value), Into::add);
  times_transposed<T>(pull, columns(View<const T>(keys.v), b.kv * n.value, n.value), d);
  const T scale = scale_of<T>(s, n.head);
  for (std::size_t r = 0; r < d.rows; ++r) {
    const std::span<T> row = d.row(r);
    weigh_backward<T>(s, b.temperature[r], View<const T>(b.weights.row(r).data(), 1, n.keys), View<T>(row.data(), 1, n.keys));
    if (s.effective_keys != 0) follow_target<T>(b.weights.row(r), s.effective_keys, row);
    add_scaled(std::span(sums.by_key), T{1}, row.data());
    if (sums.bias.rows != 0) add_scaled(sums.bias.row(b.first + r), T{1}, row.data());
    for (std::size_t j = 0; j < n.keys; ++j) {
      if (row[j] != 0) sums.temperature -= row[j] * b.logits.row(r)[j] / b.temperature[r];  // what is hidden has 0, and −inf for its logit
      row[j] *= scale;
    }
  }
  times<T>(d, columns(View<const T>(keys.k), b.kv * n.head, n.head), rows(columns(View<T>(g.q), b.head * n.head, n.head), b.first, d.rows));
  transposed_times<T>(d, b.q, columns(View<T>(g.k), b.kv * n.head, n.head), Into::add);
}

template <class T>
Gradients<T> backward(const Settings& s, const Parameters<T>&, const Input<T>& in, const Sizes& n, const Output<T>& output, View<const T> d_out,
                      const Executor& executor) {
  const Keys<T> keys = keys_of(s, in, n);
  Gradients<T> g{.q = Array<T>(n.queries, n.heads * n.head), .k = Array<T>(n.keys, n.kv_heads * n.head), .v = Array<T>(n.keys, n.kv_heads * n.value)};
  const std::size_t group = n.heads / n.kv_heads;
  const bool biased = in.bias.data != nullptr;
  std::vector<Sums<T>> parts(n.kv_heads);
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    parts[kv] = {.bias = biased ? Array<T>(n.queries, n.keys) : Array<T>(), .by_key = std::vector<T>(n.keys)};
    Block<T> b;
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head)
      for (std::size_t first = 0; first < n.queries; first += block_rows) {
        fill<T>(b, s, in, n, keys, head, first, output.temperature);
        block_backward<T>(s, n, keys, b, d_out, g, parts[kv]);
      }
  });
  std::vector<T> by_key(n.keys);
  if (biased) g.bias = Array<T>(n.queries, n.keys);
  for (const Sums<T>& part : parts) {
    add_scaled(std::span(by_key), T{1}, part.by_key.data());
    if (biased) add_scaled(std::span(g.bias.values), T{1}, part.bias.values.data());
    if (s.effective_keys == 0) g.temperature += part.temperature;
  }
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
  return g;
}

template <class T>
Status start(Stream<T>& stream) {
  const Settings& s = stream.settings;
  if (s.effective_keys != 0)
    return fail(Code::invalid, fmt::format("expected no effective_keys over a stream (its temperature hangs on all logits), found {}", s.effective_keys));
  const std::size_t shared = kv_heads(s);
  if (stream.key_columns % shared != 0 || stream.value_columns == 0 || stream.value_columns % shared != 0)
    return fail(Code::invalid,
                fmt::format("expected columns of k and v as multiples of {} heads, found {} and {}", shared, stream.key_columns, stream.value_columns));
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
std::vector<T> ask(const Stream<T>& stream, std::span<const T>) {
  return mixed_so_far(stream, stream.settings.heads, stream.value_columns / kv_heads(stream.settings));
}

}  // namespace

template <class T>
FormFunctions<T> time_decayed() {
  return {.sizes = sizes<T>, .forward = forward<T>, .backward = backward<T>, .start = start<T>, .push = push<T>, .ask = ask<T>};
}
template FormFunctions<float> time_decayed();
template FormFunctions<double> time_decayed();

}  // namespace weir::attention
