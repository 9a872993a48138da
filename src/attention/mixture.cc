#include "attention/mixture.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/mask.h"
#include "attention/normalise.h"
#include "attention/products.h"
#include "math/math.h"

namespace weir::attention {
namespace {

template <class T>
constexpr T nothing = -std::numeric_limits<T>::infinity();

bool hides(const Mask& m) { return m.causal || m.window != 0 || m.block != 0 || !m.keys.empty() || m.pairs.data != nullptr; }

}  // namespace

template <class T>
Array<T> shown(const Mask& mask, View<const T> x) {
  Array<T> copy(x.rows, x.columns);
  for (std::size_t j = 0; j < x.rows; ++j)
    if (mask.keys.empty() || mask.keys[j] != 0) std::ranges::copy(x.row(j), copy.row(j).begin());
  return copy;
}

template <class T>
void hide(const Input<T>& in, const Sizes& n, T scale, std::size_t first, View<T> scores) {
  const bool masked = hides(in.mask), biased = in.bias.data != nullptr;
  for (std::size_t r = 0; r < scores.rows; ++r) {
    const std::size_t i = (first + r) % n.queries;
    T* __restrict row = scores.row(r).data();
    for (std::size_t j = 0; j < scores.columns; ++j) {
      row[j] *= scale;
      row[j] = row[j] == nothing<T> ? std::numeric_limits<T>::quiet_NaN() : row[j];  // a score that overflowed is not a masked key
    }
    if (masked || biased)
      for (std::size_t j = 0; j < scores.columns; ++j) {
        const T logit = row[j] + (biased ? in.bias(i, j) : T{0});
        row[j] = masked && !visible(in.mask, i, j) ? nothing<T> : logit == nothing<T> ? std::numeric_limits<T>::quiet_NaN() : logit;
      }
  }
}

template <class T>
std::vector<T> weigh(const Settings& settings, T temperature, View<T> scores) {
  std::vector<T> log_sum_exp(scores.rows);
  for (std::size_t r = 0; r < scores.rows; ++r) {
    still_there(scores.row(r), [&](std::span<T> row) {
      for (T& x : row) x /= temperature;
    });
    log_sum_exp[r] = normalise<T>(settings.normaliser, settings.top_k, scores.row(r));
  }
  return log_sum_exp;
}

template <class T>
void weigh_backward(const Settings& settings, T temperature, View<const T> weights, View<T> d) {
  for (std::size_t r = 0; r < d.rows; ++r) {
    normalise_backward<T>(settings.normaliser, weights.row(r), d.row(r));
    for (T& x : d.row(r)) x /= temperature;
  }
}

template <class T>
Output<T> mix(const Settings& settings, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor,
              const std::function<void(std::size_t, std::span<T>)>& score) {
  const std::size_t rows = n.heads * n.queries;
  const Shown<T> seen(in.mask, values_of(in));
  const View<const T> values = seen.view;
  Output<T> output{.out = Array<T>(rows, n.value), .log_sum_exp = std::vector<T>(rows)};
  if (want.weights) output.weights = Array<T>(rows, n.keys);
  executor.each((rows + block_rows - 1) / block_rows, [&](std::size_t block, std::size_t) {
    const std::size_t first = block * block_rows, count = std::min(block_rows, rows - first);
    Array<T> weights(count, n.keys);
    for (std::size_t r = 0; r < count; ++r) score(first + r, weights.row(r));
    hide<T>(in, n, pooling_scale<T>(settings), first, weights);
    std::ranges::copy(weigh<T>(settings, static_cast<T>(settings.temperature), weights), output.log_sum_exp.begin() + static_cast<std::ptrdiff_t>(first));
    times<T>(weights, values, View<T>(output.out.row(first).data(), count, n.value));
    if (want.weights) std::ranges::copy(weights.values, output.weights.row(first).begin());
  });
  return output;
}

template <class T>
void mix_backward(const Settings& settings, const Input<T>& in, const Sizes& n, View<const T> d_out, Gradients<T>& gradients, std::size_t block,
                  const std::function<void(std::size_t, std::span<T>)>& score, const std::function<void(std::size_t, std::span<const T>)>& back) {
  const T scale = pooling_scale<T>(settings), temperature = static_cast<T>(settings.temperature);
  const Shown<T> seen(in.mask, values_of(in));
  const View<const T> values = seen.view;
  if (in.bias.data != nullptr) gradients.bias = Array<T>(n.queries, n.keys);
  if (!values_are_keys(in)) gradients.v = Array<T>(n.keys, n.value);
  const std::size_t rows = n.heads * n.queries;
  for (std::size_t first = 0; first < rows; first += block) {
    const std::size_t count = std::min(block, rows - first);
    const View<const T> pull(d_out.data + first * d_out.stride, count, d_out.columns, d_out.stride);
    Array<T> weights(count, n.keys), d(count, n.keys);
    for (std::size_t r = 0; r < count; ++r) score(first + r, weights.row(r));
    hide<T>(in, n, scale, first, weights);
    weigh<T>(settings, temperature, weights);
    times_transposed<T>(pull, values, d);
    weigh_backward<T>(settings, temperature, weights, d);
    transposed_times<T>(weights, pull, values_are_keys(in) ? gradients.k : gradients.v, Into::add);
    for (std::size_t r = 0; r < count; ++r) {
      if (in.bias.data != nullptr) add_scaled(gradients.bias.row((first + r) % n.queries), T{1}, d.row(r).data());
      for (T& x : d.row(r)) x *= scale;
      back(first + r, d.row(r));
    }
  }
}

template <class T>
Result<Sizes> shared_sizes(const Input<T>& in, std::size_t queries, std::size_t heads) {
  if (!values_are_keys(in)) TRY(expect("rows of v (as k)", in.k.rows, in.v.rows));
  const std::size_t value = values_are_keys(in) ? in.k.columns : in.v.columns;
  return Sizes{.queries = queries,
               .keys = in.k.rows,
               .heads = heads,
               .kv_heads = 1,
               .head = in.k.columns,
               .value = value,
               .out_rows = heads * queries,
               .out_columns = value};
}

template <class T>
Status start_mixture(Stream<T>& stream, std::size_t heads, std::size_t value) {
  if (stream.settings.normaliser != Normaliser::softmax)
    return fail(Code::invalid, "expected softmax over a stream, found " + std::string(to_string(stream.settings.normaliser)));
  stream.state = Array<T>(heads, 2 + value);
  for (std::size_t h = 0; h < heads; ++h) stream.state.row(h)[0] = nothing<T>;
  return {};
}

template <class T>
void absorb(std::span<T> state, T logit, std::span<const T> value) {
  const T greatest = std::max(state[0], logit), keep = state[0] == nothing<T> ? T{0} : std::exp(state[0] - greatest), gain = std::exp(logit - greatest);
  state[0] = greatest;
  state[1] = keep * state[1] + gain;
  T* sums = state.data() + 2;
  for (std::size_t c = 0; c < value.size(); ++c) sums[c] = keep * sums[c] + gain * value[c];
}

template <class T>
std::vector<T> mixed_so_far(const Stream<T>& stream, std::size_t heads, std::size_t value) {
  std::vector<T> out(heads * value);
  if (stream.seen == 0) return out;
  for (std::size_t h = 0; h < heads; ++h)
    for (std::size_t c = 0; c < value; ++c) out[h * value + c] = stream.state.row(h)[2 + c] / stream.state.row(h)[1];
  return out;
}

template <class T>
void exp_all(std::span<T> x) {
  if constexpr (std::is_same_v<T, float>) math::exp(x);
  else
    for (T& e : x) e = std::exp(e);
}

template <class T>
void tanh_all(std::span<T> x) {
  if constexpr (std::is_same_v<T, float>) math::tanh(x);
  else
    for (T& t : x) t = std::tanh(t);
}

#define WEIR_BOTH(T)                                                                                                                                           \
  template Array<T> shown(const Mask&, View<const T>);                                                                                                         \
  template void hide(const Input<T>&, const Sizes&, T, std::size_t, View<T>);                                                                                  \
  template std::vector<T> weigh(const Settings&, T, View<T>);                                                                                                  \
  template void weigh_backward(const Settings&, T, View<const T>, View<T>);                                                                                    \
  template Output<T> mix(const Settings&, const Input<T>&, const Sizes&, const Want&, const Executor&, const std::function<void(std::size_t, std::span<T>)>&); \
  template void mix_backward(const Settings&, const Input<T>&, const Sizes&, View<const T>, Gradients<T>&, std::size_t,                                        \
                             const std::function<void(std::size_t, std::span<T>)>&, const std::function<void(std::size_t, std::span<const T>)>&);              \
  template Result<Sizes> shared_sizes(const Input<T>&, std::size_t, std::size_t);                                                                              \
  template Status start_mixture(Stream<T>&, std::size_t, std::size_t);                                                                                         \
  template void absorb(std::span<T>, T, std::span<const T>);                                                                                                   \
  template std::vector<T> mixed_so_far(const Stream<T>&, std::size_t, std::size_t);                                                                            \
  template void exp_all(std::span<T>);                                                                                                                         \
  template void tanh_all(std::span<T>);
WEIR_BOTH(float)
WEIR_BOTH(double)
#undef WEIR_BOTH

}  // namespace weir::attention
