#include "attention/mixture.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "attention/mask.h"
#include "attention/normalise.h"
#include "attention/products.h"

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
Array<T> shown_values(const Input<T>& in) { return shown(in.mask, values_are_keys(in) ? in.k : in.v); }

template <class T>
void hide(const Input<T>& in, const Sizes& n, T scale, Array<T>& scores) {
  const bool masked = hides(in.mask), biased = in.bias.data != nullptr;
  for (std::size_t r = 0; r < scores.rows; ++r) {
    const std::size_t i = r % n.queries;
    const std::span<T> row = scores.row(r);
    for (std::size_t j = 0; j < row.size(); ++j) {
      const bool hidden = masked && !visible(in.mask, i, j);
      row[j] = hidden ? nothing<T> : scale * row[j] + (biased ? in.bias(i, j) : T{0});
      if (!hidden && row[j] == nothing<T>) row[j] = std::numeric_limits<T>::quiet_NaN();  // a score that overflowed is not a masked key
    }
  }
}

template <class T>
std::vector<T> weigh(const Settings& settings, T temperature, Array<T>& scores) {
  std::vector<T> log_sum_exp(scores.rows);
  for (T& x : scores.values) x /= temperature;
  for (std::size_t r = 0; r < scores.rows; ++r) log_sum_exp[r] = normalise<T>(settings.normaliser, settings.top_k, scores.row(r));
  return log_sum_exp;
}

template <class T>
void weigh_backward(const Settings& settings, T temperature, const Array<T>& weights, Array<T>& d) {
  for (std::size_t r = 0; r < d.rows; ++r) normalise_backward<T>(settings.normaliser, weights.row(r), d.row(r));
  for (T& x : d.values) x /= temperature;
}

template <class T>
Output<T> mix(const Settings& settings, const Input<T>& in, const Sizes& n, Array<T> scores, const Want& want) {
  hide(in, n, pooling_scale<T>(settings), scores);
  Output<T> output{.out = Array<T>(scores.rows, n.value)};
  output.log_sum_exp = weigh(settings, static_cast<T>(settings.temperature), scores);
  times<T>(scores, shown_values(in), output.out);
  if (want.weights) output.weights = std::move(scores);
  return output;
}

template <class T>
Array<T> mix_backward(const Settings& settings, const Input<T>& in, const Sizes& n, Array<T> scores, View<const T> d_out, Gradients<T>& gradients) {
  const T scale = pooling_scale<T>(settings), temperature = static_cast<T>(settings.temperature);
  hide(in, n, scale, scores);
  weigh(settings, temperature, scores);
  Array<T> d(scores.rows, scores.columns);
  times_transposed<T>(d_out, shown_values(in), d);
  weigh_backward(settings, temperature, scores, d);
  if (in.bias.data != nullptr) {
    gradients.bias = Array<T>(n.queries, n.keys);
    for (std::size_t r = 0; r < d.rows; ++r) add_scaled(gradients.bias.row(r % n.queries), T{1}, d.row(r).data());
  }
  if (!values_are_keys(in)) gradients.v = Array<T>(n.keys, n.value);
  transposed_times<T>(scores, d_out, values_are_keys(in) ? gradients.k : gradients.v, Into::add);
  for (T& x : d.values) x *= scale;
  return d;
}

template <class T>
Result<Sizes> shared_sizes(const Input<T>& in, std::size_t queries, std::size_t heads) {
  if (!values_are_keys(in)) TRY(expect("rows of v (as k)", in.k.rows, in.v.rows));
  const std::size_t value = values_are_keys(in) ? in.k.columns : in.v.columns;
  return Sizes{.queries = queries, .keys = in.k.rows, .heads = heads, .kv_heads = 1, .head = in.k.columns, .value = value, .out_rows = heads * queries, .out_columns = value};
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

// 1 − 2 / (e^2x + 1): where e^2x overflows it is 1.
template <class T>
void tanh_all(std::span<T> x) {
  if constexpr (std::is_same_v<T, float>) {
    for (T& t : x) t *= 2;
    math::exp(x);
    for (T& t : x) t = 1 - 2 / (t + 1);
  } else {
    for (T& t : x) t = std::tanh(t);
  }
}

#define WEIR_BOTH(T)                                                                                                                       \
  template Array<T> shown(const Mask&, View<const T>);                                                                                     \
  template Array<T> shown_values(const Input<T>&);                                                                                         \
  template void hide(const Input<T>&, const Sizes&, T, Array<T>&);                                                                         \
  template std::vector<T> weigh(const Settings&, T, Array<T>&);                                                                            \
  template void weigh_backward(const Settings&, T, const Array<T>&, Array<T>&);                                                            \
  template Output<T> mix(const Settings&, const Input<T>&, const Sizes&, Array<T>, const Want&);                                           \
  template Array<T> mix_backward(const Settings&, const Input<T>&, const Sizes&, Array<T>, View<const T>, Gradients<T>&);                  \
  template Result<Sizes> shared_sizes(const Input<T>&, std::size_t, std::size_t);                                                          \
  template Status start_mixture(Stream<T>&, std::size_t, std::size_t);                                                                                \
  template void absorb(std::span<T>, T, std::span<const T>);                                                                               \
  template std::vector<T> mixed_so_far(const Stream<T>&, std::size_t, std::size_t);            \
  template void exp_all(std::span<T>);                                                                                                     \
  template void tanh_all(std::span<T>);
WEIR_BOTH(float)
WEIR_BOTH(double)
#undef WEIR_BOTH

}  // namespace weir::attention
