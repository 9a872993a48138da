#include "attention/features.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

template <class T>
constexpr T nothing = -std::numeric_limits<T>::infinity();

// S ← keep·S + f·rowᵀ
template <class T>
void step(View<T> state, T keep, std::span<const T> f, std::span<const T> row) {
  const T* __restrict from = row.data();
  const std::size_t n = state.columns;
  for (std::size_t r = 0; r < state.rows; ++r) {
    T* __restrict to = state.data + r * state.stride;
    const T gain = f[r];
    for (std::size_t c = 0; c < n; ++c) to[c] = keep * to[c] + gain * from[c];
  }
}

// f·S
template <class T>
void read(View<const T> state, std::span<const T> f, std::span<T> sums) {
  std::ranges::fill(sums, T{0});
  for (std::size_t r = 0; r < state.rows; ++r) add_scaled(sums, f[r], state.row(r).data());
}

// How S goes on with a key: keep·S + gain·value·[v, 1].
template <class T>
struct Step {
  T keep, gain;
};
template <class T>
Step<T> next(T& greatest, T log_decay, T scale) {
  const T before = greatest + log_decay;
  greatest = std::max(before, scale);
  return {before == nothing<T> ? T{0} : std::exp(before - greatest), std::exp(scale - greatest)};
}

// The keys of one head, each weighed for the state right after it (causal) or after all of them.
template <class T>
struct Keys {
  Array<T> x;  // k; zeros where hidden
  Features<T> features;
  Array<T> weighed;     // gain·value; zeros where masked
  Array<T> values;      // [v, 1]
  std::vector<T> keep;  // causal: of S at key j
  std::size_t first;    // the first key that is there
};

template <class T>
Keys<T> keys_of(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n, std::size_t head) {
  Keys<T> keys{.x = shown(in.mask, columns(in.k, head * n.head, n.head)), .values = Array<T>(n.keys, n.value + 1), .first = n.keys};
  keys.features = form.map(settings, parameters, keys.x);
  keys.weighed = keys.features.value;
  keys.keep.assign(n.keys, T{1});
  const auto log_decay = static_cast<T>(std::log(settings.decay));
  const auto there = [&](std::size_t j) { return in.mask.keys.empty() || in.mask.keys[j] != 0; };
  T greatest = nothing<T>;
  if (!in.mask.causal)
    for (std::size_t j = 0; j < n.keys; ++j)
      if (there(j)) greatest = std::max(greatest, keys.features.scale[j]);
  for (std::size_t j = 0; j < n.keys; ++j) {
    T gain = 0;
    if (!there(j)) {
      greatest += in.mask.causal ? log_decay : T{0};
    } else {
      keys.first = std::min(keys.first, j);
      gain = std::exp(keys.features.scale[j] - greatest);
      if (in.mask.causal) {
        const Step<T> s = next(greatest, log_decay, keys.features.scale[j]);
        keys.keep[j] = s.keep;
        gain = s.gain;
      }
    }
    for (T& f : keys.weighed.row(j)) f *= gain;
    if (!there(j)) continue;
    std::ranges::copy(in.v.row(j).subspan(head * n.value, n.value), keys.values.row(j).begin());
    keys.values.row(j).back() = 1;
  }
  return keys;
}

template <class T>
Features<T> queries_of(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n,
                       std::size_t head) {
  return form.map(settings, parameters, columns(in.q, head * n.head, n.head));
}

// visit(i, Sᵢ) for every query in ascending order, of keys that are causal.
template <class T, class F>
void walk(const Keys<T>& keys, const Sizes& n, F&& visit) {
  Array<T> state(keys.weighed.columns, n.value + 1);
  for (std::size_t i = 0; i < n.queries; ++i) {
    if (i < n.keys) step<T>(state, keys.keep[i], keys.weighed.row(i), keys.values.row(i));
    visit(i, View<const T>(state));
  }
}

template <class T>
Array<T> whole_state(const Keys<T>& keys, const Sizes& n) {
  Array<T> state(keys.weighed.columns, n.value + 1);
  transposed_times<T>(keys.weighed, keys.values, state);
  return state;
}

template <class T>
bool sees(const Keys<T>& keys, bool causal, std::size_t i, const Sizes& n) {
  return keys.first < n.keys && (!causal || keys.first <= i);
}

// [n, s] of every query.
template <class T>
Array<T> sums_of(const Keys<T>& keys, const Features<T>& queries, bool causal, const Sizes& n) {
  Array<T> sums(n.queries, n.value + 1);
  if (causal) walk(keys, n, [&](std::size_t i, View<const T> state) { read<T>(state, queries.value.row(i), sums.row(i)); });
  else times<T>(queries.value, whole_state(keys, n), sums);
  return sums;
}

template <class T>
void implied_weights(const Keys<T>& keys, const Features<T>& queries, bool causal, const Array<T>& sums, const Sizes& n, View<T> weights) {
  for (std::size_t i = 0; i < n.queries; ++i) {
    if (!sees(keys, causal, i, n)) continue;
    T kept = 1;
    for (std::size_t j = causal ? std::min(n.keys, i + 1) : n.keys; j-- > 0;) {
      weights(i, j) = kept * dot(queries.value.row(i).data(), keys.weighed.row(j).data(), keys.weighed.columns) / sums.row(i).back();
      kept *= keys.keep[j];
    }
  }
}

template <class T>
View<T> rows(Array<T>& x, std::size_t first, std::size_t n) {
  return {x.values.data() + first * x.columns, n, x.columns};
}

// h of every query: zeros where it sees no key.
template <class T>
Array<T> pulled(const Keys<T>& keys, bool causal, const Array<T>& sums, View<const T> d_out, const Sizes& n) {
  Array<T> h(n.queries, n.value + 1);
  for (std::size_t i = 0; i < n.queries; ++i) {
    if (!sees(keys, causal, i, n)) continue;
    const T inverse = 1 / sums.row(i).back();
    for (std::size_t c = 0; c < n.value; ++c) h.row(i)[c] = d_out(i, c) * inverse;
    h.row(i).back() = -dot(h.row(i).data(), sums.row(i).data(), n.value) * inverse;
  }
  return h;
}

template <class T>
void times_elements(Array<T>& a, const Array<T>& b) {
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] *= b.values[i];
}

// What a query head gives to the gradients of its keys: into g (by weighed features, times them) and dv.
template <class T>
void back_to_keys(const Keys<T>& keys, const Features<T>& queries, bool causal, const Array<T>& h, const Sizes& n, Array<T>& g, View<T> dv) {
  const std::size_t f = keys.weighed.columns;
  Array<T> pull(f, n.value + 1), all(n.keys, n.value + 1);  // R; Rᵀφ(k) of every key
  if (!causal) {
    transposed_times<T>(queries.value, h, pull);
    times_transposed<T>(keys.values, pull, g, Into::add);
    times<T>(keys.weighed, pull, all);
  } else {
    for (std::size_t i = std::max(n.queries, n.keys); i-- > 0;) {
      const T keep = i + 1 < n.keys ? keys.keep[i + 1] : T{1};
      if (i < n.queries) step<T>(pull, keep, queries.value.row(i), h.row(i));
      else continue;  // nobody saw what comes here
      if (i >= n.keys) continue;
      for (std::size_t r = 0; r < f; ++r) g.row(i)[r] += dot(pull.row(r).data(), keys.values.row(i).data(), n.value + 1);
      read<T>(pull, keys.weighed.row(i), all.row(i));
    }
  }
  for (std::size_t j = 0; j < n.keys; ++j) add_scaled(dv.row(j), T{1}, all.row(j).data());
}

}  // namespace

template <class T>
Output<T> feature_forward(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n,
                          const Want& want, const Executor& executor) {
  Output<T> output{.out = Array<T>(n.queries, n.heads * n.value)};
  if (want.weights) output.weights = Array<T>(n.heads * n.queries, n.keys);
  const std::size_t group = n.heads / n.kv_heads;
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    const Keys<T> keys = keys_of(form, settings, parameters, in, n, kv);
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
      const Features<T> queries = queries_of(form, settings, parameters, in, n, head);
      const Array<T> sums = sums_of(keys, queries, in.mask.causal, n);
      for (std::size_t i = 0; i < n.queries; ++i)
        if (sees(keys, in.mask.causal, i, n))
          for (std::size_t c = 0; c < n.value; ++c) output.out.row(i)[head * n.value + c] = sums.row(i)[c] / sums.row(i).back();
      if (want.weights) implied_weights(keys, queries, in.mask.causal, sums, n, rows(output.weights, head * n.queries, n.queries));
    }
  });
  return output;
}

template <class T>
Gradients<T> feature_backward(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n,
                              View<const T> d_out, const Executor& executor) {
  Gradients<T> gradients{.q = Array<T>(n.queries, n.heads * n.head),
                         .k = Array<T>(n.keys, n.kv_heads * n.head),
                         .v = Array<T>(n.keys, n.kv_heads * n.value),
                         .parameters = zeros_like(parameters)};
  const std::size_t group = n.heads / n.kv_heads;
  std::vector<Parameters<T>> parts(n.kv_heads, gradients.parameters);  // summed in order: the executor does not matter
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    const Keys<T> keys = keys_of(form, settings, parameters, in, n, kv);
    Array<T> key_pull(n.keys, keys.weighed.columns);
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
      const Features<T> queries = queries_of(form, settings, parameters, in, n, head);
      const Array<T> sums = sums_of(keys, queries, in.mask.causal, n);
      const Array<T> h = pulled(keys, in.mask.causal, sums, columns(d_out, head * n.value, n.value), n);
      Array<T> pull(n.queries, queries.value.columns);
      if (in.mask.causal)
        walk(keys, n, [&](std::size_t i, View<const T> state) {
          for (std::size_t r = 0; r < state.rows; ++r) pull.row(i)[r] = dot(state.row(r).data(), h.row(i).data(), n.value + 1);
        });
      else times_transposed<T>(h, whole_state(keys, n), pull);
      times_elements(pull, queries.value);
      form.back(settings, parameters, columns(in.q, head * n.head, n.head), queries, pull, columns<T>(gradients.q, head * n.head, n.head), parts[kv]);
      back_to_keys(keys, queries, in.mask.causal, h, n, key_pull, columns<T>(gradients.v, kv * n.value, n.value));
    }
    times_elements(key_pull, keys.weighed);
    form.back(settings, parameters, keys.x, keys.features, key_pull, columns<T>(gradients.k, kv * n.head, n.head), parts[kv]);
  });
  for (const Parameters<T>& part : parts)
    for (std::size_t p = 0; p < part.size(); ++p) add_scaled(std::span(gradients.parameters[p].value.values), T{1}, part[p].value.values.data());
  return gradients;
}

template <class T>
Result<Sizes> head_sizes(const Settings& settings, const Input<T>& in) {
  const std::size_t heads = settings.heads, shared = kv_heads(settings);
  if (in.q.columns == 0 || in.q.columns % heads != 0)
    return fail(Code::invalid, fmt::format("expected columns of q as a multiple of {} heads, found {}", heads, in.q.columns));
  if (in.v.columns == 0 || in.v.columns % shared != 0)
    return fail(Code::invalid, fmt::format("expected columns of v as a multiple of {} heads, found {}", shared, in.v.columns));
  const std::size_t d = in.q.columns / heads, dv = in.v.columns / shared;
  TRY(expect("columns of k (kv_heads · d)", shared * d, in.k.columns));
  TRY(expect("rows of v (as k)", in.k.rows, in.v.rows));
  return Sizes{
      .queries = in.q.rows, .keys = in.k.rows, .heads = heads, .kv_heads = shared, .head = d, .value = dv, .out_rows = in.q.rows, .out_columns = heads * dv};
}

template <class T>
Status feature_start(const FeatureMap<T>& form, Stream<T>& stream) {
  const std::size_t heads = kv_heads(stream.settings);
  if (stream.key_columns % heads != 0 || stream.value_columns == 0 || stream.value_columns % heads != 0)
    return fail(Code::invalid,
                fmt::format("expected columns of k and v as multiples of {} heads, found {} and {}", heads, stream.key_columns, stream.value_columns));
  const std::size_t features = form.count(stream.settings, stream.key_columns / heads);
  stream.state = Array<T>(heads * (features + 1), stream.value_columns / heads + 1);
  for (std::size_t head = 0; head < heads; ++head) stream.state.row(heads * features + head)[0] = nothing<T>;
  return {};
}

template <class T>
void feature_push(const FeatureMap<T>& form, Stream<T>& stream, std::span<const T> k, std::span<const T> v) {
  const std::size_t heads = kv_heads(stream.settings), features = stream.state.rows / heads - 1, dv = stream.state.columns - 1, d = k.size() / heads;
  const auto log_decay = static_cast<T>(std::log(stream.settings.decay));
  std::vector<T> row(dv + 1, T{1});
  for (std::size_t head = 0; head < heads; ++head) {
    Features<T> key = form.map(stream.settings, stream.parameters, View<const T>(k.data() + head * d, 1, d));
    const Step<T> s = next(stream.state.row(heads * features + head)[0], log_decay, key.scale[0]);
    for (T& f : key.value.values) f *= s.gain;
    std::copy_n(v.data() + head * dv, dv, row.data());
    step<T>(rows(stream.state, head * features, features), s.keep, key.value.row(0), row);
  }
}

template <class T>
std::vector<T> feature_ask(const FeatureMap<T>& form, const Stream<T>& stream, std::span<const T> q) {
  const std::size_t heads = stream.settings.heads, shared = kv_heads(stream.settings);
  const std::size_t features = stream.state.rows / shared - 1, dv = stream.state.columns - 1, d = q.size() / heads;
  std::vector<T> out(heads * dv), sums(dv + 1);
  if (stream.seen == 0) return out;
  for (std::size_t head = 0; head < heads; ++head) {
    const std::size_t kv = head / (heads / shared);
    const Features<T> query = form.map(stream.settings, stream.parameters, View<const T>(q.data() + head * d, 1, d));
    read<T>(View<const T>(stream.state.values.data() + kv * features * (dv + 1), features, dv + 1), query.value.row(0), sums);
    for (std::size_t c = 0; c < dv; ++c) out[head * dv + c] = sums[c] / sums[dv];
  }
  return out;
}

#define WEIR_INSTANTIATE(T)                                                                                                                         \
  template Result<Sizes> head_sizes(const Settings&, const Input<T>&);                                                                              \
  template Output<T> feature_forward(const FeatureMap<T>&, const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Want&,       \
                                     const Executor&);                                                                                              \
  template Gradients<T> feature_backward(const FeatureMap<T>&, const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, View<const T>, \
                                         const Executor&);                                                                                          \
  template Status feature_start(const FeatureMap<T>&, Stream<T>&);                                                                                  \
  template void feature_push(const FeatureMap<T>&, Stream<T>&, std::span<const T>, std::span<const T>);                                             \
  template std::vector<T> feature_ask(const FeatureMap<T>&, const Stream<T>&, std::span<const T>);
WEIR_INSTANTIATE(float)
WEIR_INSTANTIATE(double)
#undef WEIR_INSTANTIATE

}  // namespace weir::attention
