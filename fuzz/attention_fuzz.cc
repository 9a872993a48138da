// Any settings, shapes, masks and numbers: attention answers with finite values or with an Error, and reads nothing that is not there. What forward()
// accepts, backward(), explain(), merge() and streams must take, too.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "attention/attention.h"

namespace {

using namespace weir;
using namespace weir::attention;

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;
  std::uint8_t next() { return size == 0 ? 0 : (--size, *data++); }
  std::size_t below(std::size_t n) { return next() % n; }
  float number() {  // small ones mostly, else any pattern of bits
    const std::uint8_t b = next();
    if (b < 250) return static_cast<float>(b) / 32 - 4;
    std::uint32_t bits = 0;
    for (int i = 0; i < 4; ++i) bits = bits << 8U | next();
    return std::bit_cast<float>(bits);
  }
  double option(double usual) { return next() % 8 != 0 ? usual : static_cast<double>(number()); }
  std::size_t size_option(std::size_t usual) { return next() % 16 != 0 ? usual : next() % 2 == 0 ? below(9) : ~std::size_t{0} >> below(64); }
};

template <class T>
void must_be_finite(const std::vector<T>& x) {
  for (const T v : x)
    if (!std::isfinite(v)) __builtin_trap();
}

template <class T>
Array<T> array(Bytes& in, std::size_t rows, std::size_t columns) {
  Array<T> a(rows, columns);
  for (T& x : a.values) x = static_cast<T>(in.number());
  return a;
}

template <class T>
void attend(Bytes in) {
  Settings s;
  const std::span<const FormRow> rows = forms();
  s.form = static_cast<Form>(in.below(rows.size() + 1));
  s.normaliser = static_cast<Normaliser>(in.below(8) % 6);
  if (in.below(2) == 0) s.normaliser = Normaliser::softmax;
  s.position = static_cast<Position>(in.below(12) % 4);
  if (in.below(2) == 0) s.position = Position::none;
  s.heads = in.size_option(1 + in.below(3));
  s.kv_heads = in.size_option(in.below(3));
  const std::size_t d = 1 + in.below(4), heads = std::min<std::size_t>(s.heads, 8), kv = s.kv_heads == 0 || s.kv_heads > 8 ? heads : s.kv_heads,
                    dv = 1 + in.below(4);
  const bool by_model = s.form == Form::multi_head || s.form == Form::fastformer;
  s.model = in.size_option(by_model ? heads * d : s.form == Form::performer ? kv * d : d);
  s.query = in.size_option(0);
  s.hidden = in.size_option(0);
  s.features = in.size_option(0);
  s.top_k = in.size_option(2);
  s.scale = in.option(0);
  s.temperature = in.option(1);
  s.decay = in.option(1);
  s.tau = in.option(0);
  s.effective_keys = in.option(0);
  constexpr std::size_t most = 256;
  if (s.model < most && s.hidden < most && s.features < most && s.query < most && s.heads < most) {
    const Result<Parameters<T>> parameters = initialise<T>(s, in.next());
    if (!parameters) return;
    Parameters<T> p = *parameters;
    for (Parameter<T>& x : p)
      if (in.below(8) == 0 && !x.value.values.empty()) x.value.values[in.below(x.value.values.size())] = static_cast<T>(in.number());
    const std::size_t keys = in.below(12), queries = s.form == Form::fastformer ? keys : in.below(6);
    const bool pooled = s.form == Form::dot_pooling || s.form == Form::multi_head_pooling,
               shared = pooled || s.form == Form::additive || s.form == Form::candidate_pooling;
    const Array<T> q = array<T>(in, queries, by_model || shared ? in.size_option(s.model) % 64 : heads * d),
                   k = array<T>(in, keys, by_model || shared ? in.size_option(s.model) % 64 : kv * d),
                   v = array<T>(in, keys,
                                by_model ? s.model % 64
                                : shared ? dv
                                         : kv * dv);
    std::vector<std::uint8_t> there(in.below(3) == 0 ? keys : 0);
    for (auto& x : there) x = in.below(3) != 0;
    Array<std::uint8_t> pairs(in.below(4) == 0 ? queries : 0, keys);
    for (auto& x : pairs.values) x = in.below(3) != 0;
    const Array<T> bias = in.below(4) == 0 ? array<T>(in, queries, keys) : Array<T>{};
    std::vector<T> age(in.below(2) == 0 ? keys : 0), importance(in.below(2) == 0 ? keys : 0);
    if (s.form != Form::time_decayed) age.clear(), importance.clear();
    for (T& x : age) x = std::fabs(static_cast<T>(in.number()));
    for (T& x : importance) x = std::fabs(static_cast<T>(in.number()));
    Input<T> input{.q = pooled ? View<const T>{} : View<const T>(q),
                   .k = k,
                   .v = shared && in.below(2) == 0 ? View<const T>{} : View<const T>(v),
                   .age = age,
                   .importance = importance};
    input.mask = {.causal = in.below(4) == 0,
                  .window = in.below(4) == 0 ? in.size_option(1) : 0,
                  .globals = in.below(4) == 0 ? in.size_option(1) : 0,
                  .block = in.below(4) == 0 ? in.size_option(2) : 0,
                  .keys = there};
    if (pairs.rows != 0) input.mask.pairs = pairs;
    if (bias.columns != 0) input.bias = bias;

    const Result<Output<T>> o = forward<T>(s, p, input, {.weights = in.below(2) == 0});
    if (o) {
      must_be_finite(o->out.values);
      must_be_finite(o->weights.values);
      const Array<T> d_out = array<T>(in, o->out.rows, o->out.columns);
      if (const Result<Gradients<T>> g = backward<T>(s, p, input, *o, d_out)) {
        must_be_finite(g->q.values);
        must_be_finite(g->k.values);
        must_be_finite(g->v.values);
      }
      std::vector<T> direction(s.form == Form::multi_head ? o->out.columns : shared || s.heads == 0 ? o->out.columns : o->out.columns / s.heads, T{1});
      if (const Result<Explanation<T>> e = explain<T>(s, p, input, in.below(6), in.below(4), direction)) must_be_finite(e->without);
      if (const Result<Output<T>> m = merge(*o, *o, s.heads)) must_be_finite(m->out.values);
    }
    Result<Stream<T>> stream =
        start_stream<T>(s, p, k.columns, v.columns, in.below(2) == 0 ? View<const T>{} : View<const T>(q), in.below(2) == 0 ? 0 : in.size_option(3) % 4096);
    if (!stream) return;
    for (std::size_t j = 0; j < keys; ++j) (void)push<T>(*stream, k.row(j), v.row(j), static_cast<T>(in.below(3)), static_cast<T>(in.below(3)));
    const std::vector<T> asked = queries == 0 ? std::vector<T>{} : std::vector<T>(q.row(0).begin(), q.row(0).end());
    for (const std::span<const T> one : {std::span<const T>(asked), std::span<const T>{}})
      if (const Result<std::vector<T>> out = ask<T>(*stream, one)) must_be_finite(*out);
  } else {
    const Array<T> one(1, 1);
    if (forward<T>(s, {}, {.q = one, .k = one, .v = one}) && (s.heads > 8 || s.kv_heads > 8)) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  attend<float>({data, size});
  attend<double>({data, size});
  return 0;
}
