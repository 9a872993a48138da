// Random problems for the tests of every form: shapes, masks, settings, values. Each is drawn from one seed.
#pragma once

#include <cmath>
#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "attention/attention.h"
#include "attention/form.h"
#include "attention/mask.h"
#include "attention/products.h"

namespace weir::attention {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif
#else
constexpr bool sanitized = false;
#endif
constexpr std::size_t repeats = sanitized ? 100 : 1000;

struct Draw {  // splitmix64
  std::uint64_t state;
  std::uint64_t bits() {
    std::uint64_t z = state += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  std::size_t from(std::size_t least, std::size_t most) { return least + bits() % (most - least + 1); }
  bool one_in(std::size_t n) { return bits() % n == 0; }
  double unit() { return static_cast<double>(bits() >> 11U) * 0x1p-53; }
  double normal() { return std::sqrt(-2 * std::log(1 - unit())) * std::cos(6.283185307179586 * unit()); }
  Array<double> array(std::size_t rows, std::size_t columns) {
    Array<double> a(rows, columns);
    for (double& x : a.values) x = normal();
    return a;
  }
};

struct May {             // what a drawn problem may have
  bool position = true;  // ALiBi, RoPE
  bool order = true;     // causal, window, globals, block, pairs, decay: what depends on which key is where
  bool keys = true;      // padding
  bool bias = true;
  bool target = true;  // effective_keys
  bool temperature = true;
  bool normalisers = true;
  bool implied_values = true;  // v empty
  std::size_t most = 9;        // queries and keys; now and then ten times as many keys
};

template <class T>
struct Case {
  Settings settings;
  Parameters<T> parameters;
  Array<T> q, k, v, bias;
  std::vector<std::uint8_t> keys;
  Array<std::uint8_t> pairs;
  std::vector<T> age, importance;
  Mask mask;  // without keys and pairs

  Input<T> input() const {
    Input<T> in{.mask = mask, .age = age, .importance = importance};
    if (q.columns != 0) in.q = q;
    in.k = k;
    if (v.columns != 0) in.v = v;
    if (bias.columns != 0) in.bias = bias;
    in.mask.keys = keys;
    if (pairs.columns != 0) in.mask.pairs = pairs;
    return in;
  }
  bool shared() const {
    return settings.form == Form::additive || settings.form == Form::candidate_pooling || settings.form == Form::dot_pooling ||
           settings.form == Form::multi_head_pooling;
  }
  std::size_t kv() const { return shared() ? 1 : kv_heads(settings); }
  std::size_t heads() const { return settings.heads; }
  std::size_t queries() const { return q.columns == 0 ? 1 : q.rows; }
  const Array<T>& values() const { return v.columns == 0 ? k : v; }
  std::size_t value() const { return settings.form == Form::multi_head ? settings.model / settings.heads : values().columns / kv(); }
  // Column c of what head h mixes, where it is a column of the input; where it lies in out.
  T value_at(std::size_t h, std::size_t j, std::size_t c) const {
    return values().row(j)[h / (heads() / std::min(kv(), heads())) * (shared() ? 0 : value()) + c];
  }
  T out_at(const Output<T>& o, std::size_t h, std::size_t i, std::size_t c) const {
    if (settings.form == Form::multi_head_pooling) return o.out.row(h)[c];
    return o.out.row(i)[(shared() ? 0 : h * value()) + c];
  }
  bool sees(std::size_t i, std::size_t j) const { return visible(input().mask, i, j); }
  bool sees_any(std::size_t i) const {
    for (std::size_t j = 0; j < k.rows; ++j)
      if (sees(i, j)) return true;
    return false;
  }
  std::string text() const {
    return fmt::format(
        "{} {} position {} heads {}/{} Tq {} Tk {} columns {} {} {} causal {} window {} globals {} block {} keys {} pairs {} bias {} temperature {} decay {} "
        "tau {} target {}",
        to_string(settings.form), to_string(settings.normaliser), static_cast<int>(settings.position), settings.heads, settings.kv_heads, q.rows, k.rows,
        q.columns, k.columns, v.columns, mask.causal, mask.window, mask.globals, mask.block, keys.size(), pairs.values.size(), bias.values.size(),
        settings.temperature, settings.decay, settings.tau, settings.effective_keys);
  }
};

inline Case<double> draw(const FormRow& row, std::uint64_t seed, const May& may = {}) {
  Draw d{seed * 77 + static_cast<std::uint64_t>(row.form)};
  Case<double> c;
  Settings& s = c.settings;
  s.form = row.form;
  std::size_t queries = d.from(1, may.most), keys = d.from(1, may.most);
  if (d.one_in(10)) queries = 1;
  if (d.one_in(10)) keys = 1;
  if (d.one_in(20)) keys = d.from(may.most, may.most * 10);
  if (row.form == Form::fastformer) queries = keys;
  if (row.heads) s.heads = d.from(1, 4);
  if (row.form == Form::dot_product || row.form == Form::multi_head || row.form == Form::linear || row.form == Form::performer ||
      row.form == Form::time_decayed) {
    do s.kv_heads = d.from(1, s.heads);
    while (s.heads % s.kv_heads != 0);
    if (s.kv_heads == s.heads && d.one_in(2)) s.kv_heads = 0;
  }
  if (row.logits && may.normalisers && d.one_in(2)) s.normaliser = static_cast<Normaliser>(d.from(0, 4));
  s.top_k = d.from(1, 5);
  if (row.position && may.position && d.one_in(2)) s.position = d.one_in(2) ? Position::alibi : Position::rope;
  if (row.logits && may.temperature && d.one_in(3)) s.temperature = 0.3 + 2 * d.unit();
  if (d.one_in(3)) s.scale = 0.3 + 0.7 * d.unit();
  std::size_t head = d.from(1, 5), value = d.from(1, 5);
  if (s.position == Position::rope) head = 2 * d.from(1, 3);
  const std::size_t kv = kv_heads(s);
  switch (row.form) {
    case Form::multi_head:
    case Form::fastformer:
      s.model = s.heads * head;
      c.q = d.array(queries, s.model);
      c.k = d.array(keys, s.model);
      c.v = d.array(keys, s.model);
      break;
    case Form::dot_product:
    case Form::linear:
    case Form::performer:
    case Form::time_decayed:
      if (row.form == Form::performer) s.model = kv * head, s.features = d.from(0, 9);
      c.q = d.array(queries, s.heads * head);
      c.k = d.array(keys, kv * head);
      c.v = d.array(keys, kv * value);
      break;
    default:
      s.model = head;
      s.hidden = d.from(0, 4);
      if (row.form == Form::additive) s.query = d.from(0, 4);
      if (row.has_query) c.q = d.array(queries, s.query == 0 ? s.model : s.query);
      c.k = d.array(keys, s.model);
      if (!may.implied_values || d.one_in(2)) c.v = d.array(keys, value);
  }
  queries = c.queries();
  if (may.order && row.causal && d.one_in(2)) c.mask.causal = true;
  if (may.order && row.logits && d.one_in(3)) {
    if (d.one_in(2)) c.mask.window = d.from(1, 4);
    if (d.one_in(2)) c.mask.block = d.from(1, 5);
    if (d.one_in(2)) c.mask.globals = d.from(1, 3);
  }
  if (may.order && row.logits && d.one_in(4)) {
    c.pairs = Array<std::uint8_t>(queries, keys);
    for (auto& p : c.pairs.values) p = !d.one_in(4);
  }
  if (may.keys && d.one_in(2)) {
    c.keys.resize(keys);
    for (auto& p : c.keys) p = !d.one_in(3);
  }
  if (may.bias && row.logits && d.one_in(3)) c.bias = d.array(queries, keys);
  if (row.form == Form::linear && c.mask.causal && d.one_in(2)) s.decay = 0.5 + 0.5 * d.unit();
  if (row.form == Form::time_decayed) {
    if (d.one_in(2)) {
      s.tau = 1 + 10 * d.unit();
      c.age.resize(keys);
      for (double& x : c.age) x = 10 * d.unit();
    }
    if (d.one_in(2)) {
      c.importance.resize(keys);
      for (double& x : c.importance) x = 0.1 + 3 * d.unit();
    }
    if (may.target && s.normaliser == Normaliser::softmax && d.one_in(3)) s.effective_keys = 1 + d.unit() * static_cast<double>(keys - 1);
  }
  Result<Parameters<double>> parameters = initialise<double>(s, seed);
  CHECK(parameters.has_value());
  c.parameters = std::move(*parameters);
  for (auto& p : c.parameters)
    if (p.name != "omega")
      for (double& x : p.value.values) x += 0.3 * d.normal();  // biases, too
  return c;
}

template <class To, class From>
Array<To> as(const Array<From>& a) {
  Array<To> b(a.rows, a.columns);
  for (std::size_t i = 0; i < a.values.size(); ++i) b.values[i] = static_cast<To>(a.values[i]);
  return b;
}

inline Case<float> as_float(const Case<double>& c) {
  Case<float> f{.settings = c.settings,
                .parameters = {},
                .q = as<float>(c.q),
                .k = as<float>(c.k),
                .v = as<float>(c.v),
                .bias = as<float>(c.bias),
                .keys = c.keys,
                .pairs = c.pairs,
                .age = {c.age.begin(), c.age.end()},
                .importance = {c.importance.begin(), c.importance.end()},
                .mask = c.mask};
  for (const auto& p : c.parameters) f.parameters.push_back({p.name, as<float>(p.value)});
  return f;
}
inline Case<double> as_double(const Case<float>& c) {  // what f32 was given, exactly
  Case<double> d{.settings = c.settings,
                 .parameters = {},
                 .q = as<double>(c.q),
                 .k = as<double>(c.k),
                 .v = as<double>(c.v),
                 .bias = as<double>(c.bias),
                 .keys = c.keys,
                 .pairs = c.pairs,
                 .age = {c.age.begin(), c.age.end()},
                 .importance = {c.importance.begin(), c.importance.end()},
                 .mask = c.mask};
  for (const auto& p : c.parameters) d.parameters.push_back({p.name, as<double>(p.value)});
  return d;
}

template <class T>
Output<T> run(const Case<T>& c, bool weights = true, const Executor& executor = {}) {
  Result<Output<T>> o = forward<T>(c.settings, c.parameters, c.input(), {.weights = weights && c.settings.form != Form::fastformer}, executor);
  if (!o) throw std::runtime_error(o.error().text() + ": " + c.text());
  return std::move(*o);
}
template <class T>
Gradients<T> run_back(const Case<T>& c, const Output<T>& o, const Array<T>& d_out, const Executor& executor = {}) {
  Result<Gradients<T>> g = backward<T>(c.settings, c.parameters, c.input(), o, d_out, executor);
  if (!g) throw std::runtime_error(g.error().text() + ": " + c.text());
  return std::move(*g);
}

// Rows `order` of x.
template <class T>
Array<T> rows_of(const Array<T>& x, const std::vector<std::size_t>& order) {
  Array<T> y(order.size(), x.columns);
  for (std::size_t i = 0; i < order.size(); ++i) std::ranges::copy(x.row(order[i]), y.row(i).data());
  return y;
}
template <class T>
Array<T> columns_of(const Array<T>& x, const std::vector<std::size_t>& order) {
  Array<T> y(x.rows, order.size());
  for (std::size_t i = 0; i < x.rows; ++i)
    for (std::size_t j = 0; j < order.size(); ++j) y.row(i)[j] = x.row(i)[order[j]];
  return y;
}
// Keys `order` of a problem; its queries stay.
template <class T>
Case<T> keys_of(Case<T> c, const std::vector<std::size_t>& order) {
  const auto some = [&](auto& x) {
    if (x.empty()) return;
    auto y = x;
    y.clear();
    for (const std::size_t j : order) y.push_back(x[j]);
    x = y;
  };
  c.k = rows_of(c.k, order);
  if (c.v.columns != 0) c.v = rows_of(c.v, order);
  if (c.bias.columns != 0) c.bias = columns_of(c.bias, order);
  if (c.pairs.columns != 0) c.pairs = columns_of(c.pairs, order);
  some(c.keys);
  some(c.age);
  some(c.importance);
  return c;
}
inline std::vector<std::size_t> count_to(std::size_t n) {
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

}  // namespace weir::attention
