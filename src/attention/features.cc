#include "attention/features.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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
  View<const T> x, v;   // zeros where hidden
  Array<T> weighed;     // gain·features; zeros where masked
  std::vector<T> keep;  // causal: of the state, at key j
  std::size_t first;    // the first key that is there
};

template <class T>
Keys<T> keys_of(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Mask& mask, View<const T> k, View<const T> v) {
  Features<T> features = form.map(settings, parameters, k);
  Keys<T> keys{.x = k, .v = v, .weighed = std::move(features.value), .keep = std::vector<T>(k.rows, T{1}), .first = k.rows};
  const auto log_decay = static_cast<T>(std::log(settings.decay));
  const auto there = [&](std::size_t j) { return mask.keys.empty() || mask.keys[j] != 0; };
  T greatest = nothing<T>;
  if (!mask.causal)
    for (std::size_t j = 0; j < k.rows; ++j)
      if (there(j)) greatest = std::max(greatest, features.scale[j]);
  for (std::size_t j = 0; j < k.rows; ++j) {
    T gain = 0;
    if (!there(j)) {
      greatest += mask.causal ? log_decay : T{0};
    } else {
      keys.first = std::min(keys.first, j);
      gain = std::exp(features.scale[j] - greatest);
      if (mask.causal) {
        const Step<T> s = next(greatest, log_decay, features.scale[j]);
        keys.keep[j] = s.keep;
        gain = s.gain;
      }
    }
    if (gain != 1)
      for (T& f : keys.weighed.row(j)) f *= gain;
  }
  return keys;
}

template <class T>
View<T> rows(View<T> x, std::size_t first, std::size_t n) {
  return {x.data + first * x.stride, n, x.columns, x.stride};
}
template <class T>
View<T> rows(Array<T>& x, std::size_t first, std::size_t n) {
  return rows(View<T>(x), first, n);
}
template <class T>
View<const T> rows(const Array<T>& x, std::size_t first, std::size_t n) {
  return rows(View<const T>(x), first, n);
}

// S and z of some keys: Σ φ(k)·vᵀ and Σ φ(k). Of some queries: R and r.
template <class T>
struct State {
  Array<T> s;
  std::vector<T> z;
  State(std::size_t features, std::size_t value) : s(features, value), z(features) {}

  // keep·this + Σ f·vᵀ
  void go_on(T keep, View<const T> f, View<const T> v) {
    for (T& x : s.values) x *= keep;
    for (T& x : z) x *= keep;
    transposed_times<T>(f, v, s, Into::add);
  }
};

// Positions are walked in chunks: inside one, queries meet keys as a matrix; what came before is a state. A chunk is everything where nothing is causal:
// then the state is that of all keys, and no query meets a key.
constexpr std::size_t chunk_size = 64;

template <class T>
struct Chunk {
  std::size_t first, queries, keys;  // so many queries and keys from position `first` on
  std::vector<T> carry;              // [queries]: what of the state before is left at the query
  std::vector<T> suffix;             // [keys]: what of the key is left at the chunk's end
  T kept = 1;                        // of the state before, at its end
};

template <class T>
std::vector<Chunk<T>> chunks_of(const Keys<T>& keys, bool causal, const Sizes& n) {
  std::vector<Chunk<T>> chunks;
  const std::size_t all = std::max<std::size_t>(1, std::max(n.queries, n.keys)), size = causal ? chunk_size : all;
  for (std::size_t first = 0; first < all; first += size) {
    const auto count = [&](std::size_t there) { return first < there ? std::min(size, there - first) : 0; };
    Chunk<T> c{.first = first, .queries = count(n.queries), .keys = count(n.keys)};
    c.carry.assign(c.queries, T{1});
    c.suffix.assign(c.keys, T{1});
    if (causal) {
      for (std::size_t i = 0; i < std::max(c.queries, c.keys); ++i) {
        if (i < c.keys) c.kept *= keys.keep[first + i];
        if (i < c.queries) c.carry[i] = c.kept;
      }
      for (std::size_t j = c.keys; j-- > 1;) c.suffix[j - 1] = c.suffix[j] * keys.keep[first + j];
    }
    chunks.push_back(std::move(c));
  }
  return chunks;
}

// Rows of x by their factors; copied only where one is not 1. It looks at x or at itself: it stays where it was made.
template <class T>
struct Scaled {
  Array<T> made;
  View<const T> view;
  Scaled(View<const T> x, std::span<const T> factors) : view(x) {
    if (std::ranges::all_of(factors, [](T f) { return f == 1; })) return;
    made = Array<T>(x.rows, x.columns);
    for (std::size_t i = 0; i < x.rows; ++i) add_scaled(made.row(i), factors[i], x.data + i * x.stride);
    view = made;
  }
  Scaled(const Scaled&) = delete;
  Scaled& operator=(const Scaled&) = delete;
};

// w[i][j] of one chunk, by what is left of key j at query i: nothing where j comes later.
template <class T>
void fade(const Keys<T>& keys, const Chunk<T>& c, Array<T>& w) {
  for (std::size_t i = 0; i < w.rows; ++i) {
    T* const row = w.row(i).data();
    T kept = 1;
    for (std::size_t j = i + 1; j < w.columns; ++j) row[j] = 0;
    for (std::size_t j = std::min(w.columns, i + 1); j-- > 0;) {
      row[j] *= kept;
      kept *= keys.keep[c.first + j];
    }
  }
}

// Of every chunk: the state that its queries find.
template <class T>
std::vector<State<T>> states_of(const Keys<T>& keys, const std::vector<Chunk<T>>& chunks, bool causal) {
  std::vector<State<T>> states(chunks.size(), State<T>(keys.weighed.columns, keys.v.columns));
  for (std::size_t c = 0; c < chunks.size(); ++c) {
    const Chunk<T>& from = chunks[c];
    if (from.keys == 0 || (causal && c + 1 == chunks.size())) continue;
    State<T>& to = states[causal ? c + 1 : c];
    if (causal) to = states[c];
    const Scaled<T> late(rows(keys.weighed, from.first, from.keys), from.suffix);
    to.go_on(from.kept, late.view, rows(keys.v, from.first, from.keys));
    add_rows(std::vector<T>(from.keys, T{1}), late.view, to.z);
  }
  for (std::size_t c = 1; causal && c < chunks.size(); ++c)
    if (chunks[c - 1].keys == 0) states[c] = states[c - 1];
  return states;
}

// ⟨φ(q), φ(k)⟩, faded, of a chunk.
template <class T>
Array<T> met(const Keys<T>& keys, const Chunk<T>& c, const Array<T>& queries) {
  Array<T> w(c.queries, c.keys);
  times_transposed<T>(rows(queries, c.first, c.queries), rows(keys.weighed, c.first, c.keys), w);
  fade(keys, c, w);
  return w;
}

// n and s of every query.
template <class T>
struct Sums {
  Array<T> n;
  std::vector<T> s;
};
template <class T>
Sums<T> sums_of(const Keys<T>& keys, const std::vector<Chunk<T>>& chunks, const std::vector<State<T>>& states, const Array<T>& queries, bool causal) {
  Sums<T> sums{.n = Array<T>(queries.rows, keys.v.columns), .s = std::vector<T>(queries.rows)};
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    const Chunk<T>& c = chunks[i];
    if (c.queries == 0) continue;
    const View<T> to = rows(sums.n, c.first, c.queries);
    const std::span<T> total = std::span(sums.s).subspan(c.first, c.queries);
    if (!causal || i != 0) {
      const Scaled<T> q(rows(queries, c.first, c.queries), c.carry);
      times<T>(q.view, states[i].s, to);
      dot_rows(q.view, std::span<const T>(states[i].z), total);
    }
    if (!causal || c.keys == 0) continue;
    const Array<T> w = met(keys, c, queries);
    times<T>(w, rows(keys.v, c.first, c.keys), to, Into::add);
    for (std::size_t r = 0; r < w.rows; ++r) total[r] += std::accumulate(w.row(r).begin(), w.row(r).end(), T{0});
  }
  return sums;
}

template <class T>
bool sees(const Keys<T>& keys, bool causal, std::size_t i, const Sizes& n) {
  return keys.first < n.keys && (!causal || keys.first <= i);
}

template <class T>
void implied_weights(const Keys<T>& keys, const Array<T>& queries, bool causal, const Sums<T>& sums, const Sizes& n, View<T> weights) {
  for (std::size_t i = 0; i < n.queries; ++i) {
    if (!sees(keys, causal, i, n)) continue;
    T kept = 1;
    for (std::size_t j = causal ? std::min(n.keys, i + 1) : n.keys; j-- > 0;) {
      weights(i, j) = kept * dot(queries.row(i).data(), keys.weighed.row(j).data(), keys.weighed.columns) / sums.s[i];
      kept *= keys.keep[j];
    }
  }
}

// h of every query, its last on its own; zeros where it sees no key.
template <class T>
struct Pulled {
  Array<T> h;
  std::vector<T> last;
};
template <class T>
Pulled<T> pulled(const Keys<T>& keys, bool causal, const Sums<T>& sums, View<const T> d_out, const Sizes& n) {
  Pulled<T> p{.h = Array<T>(n.queries, n.value), .last = std::vector<T>(n.queries)};
  for (std::size_t i = 0; i < n.queries; ++i) {
    if (!sees(keys, causal, i, n)) continue;
    const T inverse = 1 / sums.s[i];
    add_scaled(p.h.row(i), inverse, d_out.data + i * d_out.stride);
    p.last[i] = -dot(p.h.row(i).data(), sums.n.row(i).data(), n.value) * inverse;
  }
  return p;
}

template <class T>
void times_elements(Array<T>& a, const Array<T>& b) {
  T* __restrict to = a.values.data();
  const T* __restrict from = b.values.data();
  for (std::size_t i = 0, n = a.values.size(); i < n; ++i) to[i] *= from[i];
}

// What a head of queries gives back: ∂/∂φ(q) into by_query, ∂/∂weighed added to by_key, and to dv.
template <class T>
void back_through(const Keys<T>& keys, const std::vector<Chunk<T>>& chunks, const std::vector<State<T>>& states, const Array<T>& queries, const Pulled<T>& p,
                  bool causal, Array<T>& by_query, Array<T>& by_key, View<T> dv) {
  State<T> later(keys.weighed.columns, keys.v.columns);  // R and r of the queries after the chunk; of all where nothing is causal
  for (std::size_t i = chunks.size(); i-- > 0;) {
    const Chunk<T>& c = chunks[i];
    const View<const T> q = rows(queries, c.first, c.queries), h = rows(p.h, c.first, c.queries);
    const std::span<const T> last = std::span(p.last).subspan(c.first * (c.queries != 0), c.queries);
    if (c.queries != 0 && (!causal || i != 0)) {
      times_transposed<T>(Scaled<T>(h, c.carry).view, states[i].s, rows(by_query, c.first, c.queries), Into::add);
      for (std::size_t r = 0; r < c.queries; ++r) add_scaled(by_query.row(c.first + r), last[r] * c.carry[r], states[i].z.data());
    }
    if (causal && c.queries != 0 && c.keys != 0) {
      const View<const T> k = rows(keys.weighed, c.first, c.keys), v = rows(keys.v, c.first, c.keys);
      Array<T> d(c.queries, c.keys);
      times_transposed<T>(h, v, d);
      for (std::size_t r = 0; r < c.queries; ++r)
        for (T& x : d.row(r)) x += last[r];
      fade(keys, c, d);
      times<T>(d, k, rows(by_query, c.first, c.queries), Into::add);
      transposed_times<T>(d, q, rows(by_key, c.first, c.keys), Into::add);
      transposed_times<T>(met(keys, c, queries), h, rows(dv, c.first, c.keys), Into::add);
    }
    const auto take_queries = [&] {
      if (c.queries == 0) return;
      const Scaled<T> far(q, c.carry);
      later.go_on(c.kept, far.view, h);
      add_rows(last, far.view, later.z);
    };
    if (!causal) take_queries();
    if (c.keys != 0 && (!causal || i + 1 != chunks.size())) {
      times<T>(Scaled<T>(rows(keys.weighed, c.first, c.keys), c.suffix).view, later.s, rows(dv, c.first, c.keys), Into::add);
      times_transposed<T>(Scaled<T>(rows(keys.v, c.first, c.keys), c.suffix).view, later.s, rows(by_key, c.first, c.keys), Into::add);
      for (std::size_t r = 0; r < c.keys; ++r) add_scaled(by_key.row(c.first + r), c.suffix[r], later.z.data());
    }
    if (causal) take_queries();
  }
}

// Keys and values of a call, zeros where hidden.
template <class T>
struct Given {
  Shown<T> k, v;
  explicit Given(const Input<T>& in) : k(in.mask, in.k), v(in.mask, in.v) {}
  Keys<T> of(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Mask& mask, const Sizes& n, std::size_t head) const {
    return keys_of<T>(form, settings, parameters, mask, columns(k.view, head * n.head, n.head), columns(v.view, head * n.value, n.value));
  }
};

}  // namespace

template <class T>
Output<T> feature_forward(const FeatureMap<T>& form, const Settings& settings, const Parameters<T>& parameters, const Input<T>& in, const Sizes& n,
                          const Want& want, const Executor& executor) {
  Output<T> output{.out = Array<T>(n.queries, n.heads * n.value)};
  if (want.weights) output.weights = Array<T>(n.heads * n.queries, n.keys);
  const std::size_t group = n.heads / n.kv_heads;
  const bool causal = in.mask.causal;
  const Given<T> given(in);
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    const Keys<T> keys = given.of(form, settings, parameters, in.mask, n, kv);
    const std::vector<Chunk<T>> chunks = chunks_of(keys, causal, n);
    const std::vector<State<T>> states = states_of(keys, chunks, causal);
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
      const Array<T> queries = form.map(settings, parameters, columns(in.q, head * n.head, n.head)).value;
      const Sums<T> sums = sums_of(keys, chunks, states, queries, causal);
      for (std::size_t i = 0; i < n.queries; ++i)
        if (sees(keys, causal, i, n)) add_scaled(output.out.row(i).subspan(head * n.value, n.value), 1 / sums.s[i], sums.n.row(i).data());
      if (want.weights) implied_weights(keys, queries, causal, sums, n, rows(output.weights, head * n.queries, n.queries));
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
  const bool causal = in.mask.causal;
  const Given<T> given(in);
  std::vector<Parameters<T>> parts(n.kv_heads, gradients.parameters);  // summed in order: the executor does not matter
  executor.each(n.kv_heads, [&](std::size_t kv, std::size_t) {
    const Keys<T> keys = given.of(form, settings, parameters, in.mask, n, kv);
    const std::vector<Chunk<T>> chunks = chunks_of(keys, causal, n);
    const std::vector<State<T>> states = states_of(keys, chunks, causal);
    Array<T> by_key(n.keys, keys.weighed.columns);
    for (std::size_t head = kv * group; head < (kv + 1) * group; ++head) {
      const View<const T> q = columns(in.q, head * n.head, n.head);
      const Array<T> queries = form.map(settings, parameters, q).value;
      const Sums<T> sums = sums_of(keys, chunks, states, queries, causal);
      const Pulled<T> pull = pulled(keys, causal, sums, columns(d_out, head * n.value, n.value), n);
      Array<T> by_query(n.queries, queries.columns);
      back_through(keys, chunks, states, queries, pull, causal, by_query, by_key, columns<T>(gradients.v, kv * n.value, n.value));
      times_elements(by_query, queries);
      form.back(settings, parameters, q, by_query, columns<T>(gradients.q, head * n.head, n.head), parts[kv]);
    }
    times_elements(by_key, keys.weighed);
    form.back(settings, parameters, keys.x, by_key, columns<T>(gradients.k, kv * n.head, n.head), parts[kv]);
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
