#include "attention/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <fmt/format.h>

#include "attention/check.h"
#include "attention/form.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

struct Random {  // splitmix64
  std::uint64_t state;
  double next() {  // [0, 1)
    std::uint64_t z = state += 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return static_cast<double>((z ^ (z >> 31U)) >> 11U) * 0x1p-53;
  }
};

}  // namespace

template <class T>
Result<Parameters<T>> initialise(const Settings& settings, std::uint64_t seed) {
  const FormRow* row = row_of(settings.form);
  if (row == nullptr) return wrong("expected a form of attention, found number {}", static_cast<int>(settings.form));
  TRY(check_settings(settings, *row));
  const FormFunctions<T> form = functions<T>(settings.form);
  Parameters<T> parameters;
  if (form.parameters == nullptr) return parameters;
  return guarded([&]() -> Result<Parameters<T>> {
    Random random{seed};
    for (const Shape& shape : form.parameters(settings)) {
      if (shape.rows == 0 || shape.columns == 0)
        return wrong("expected sizes of at least 1 for parameter {}, found {} × {}", shape.name, shape.rows, shape.columns);
      Parameter<T>& p = parameters.emplace_back(std::string(shape.name), Array<T>(shape.rows, shape.columns));
      const double bound = std::sqrt(6.0 / static_cast<double>(shape.rows + shape.columns));
      if (!shape.bias && form.draw == nullptr)
        for (T& x : p.value.values) x = static_cast<T>((2 * random.next() - 1) * bound);
    }
    if (form.draw != nullptr) form.draw(settings, parameters, seed);
    return parameters;
  });
}

template <class T>
Result<Output<T>> forward(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, const Want& want, const Executor& executor) {
  TRY(check_executor(executor));
  const Checked<T> c = TRY(check(settings, parameters, input));
  return guarded([&]() -> Result<Output<T>> {
    Output<T> output = c.form.forward(settings, parameters, input, c.sizes, want, executor);
    if (!merges(settings)) output.log_sum_exp.clear();
    TRY(check_outcome<T>("out", output.out));
    TRY(check_outcome<T>("weights", output.weights));
    TRY(check_lse(output.log_sum_exp));
    TRY(check_outcome("temperature", output.temperature));
    return output;
  });
}

template <class T>
Result<Gradients<T>> backward(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, const Output<T>& output, View<const T> d_out,
                              const Executor& executor) {
  TRY(check_executor(executor));
  const Checked<T> c = TRY(check(settings, parameters, input));
  TRY(check_output(settings, c, output, d_out));
  return guarded([&]() -> Result<Gradients<T>> {
    Gradients<T> g = c.form.backward(settings, parameters, input, c.sizes, output, d_out, executor);
    TRY(check_outcome<T>("the gradient of q", g.q));
    TRY(check_outcome<T>("the gradient of k", g.k));
    TRY(check_outcome<T>("the gradient of v", g.v));
    TRY(check_outcome<T>("the gradient of bias", g.bias));
    TRY(check_outcome("the gradient of age", g.age));
    TRY(check_outcome("the gradient of importance", g.importance));
    for (const Parameter<T>& p : g.parameters) TRY(check_outcome<T>("the gradient of " + p.name, p.value));
    if (!std::isfinite(g.tau) || !std::isfinite(g.temperature))
      return wrong("expected finite gradients of tau and temperature, found {} and {}", g.tau, g.temperature);
    return g;
  });
}

// ---------------------------------------------------------------------------------------------------------------- explain

namespace {

// The parts of one head at one query.
template <class T>
Explanation<T> parts(const Mixed<T>& mixed, std::span<const T> weights) {
  Explanation<T> e;
  e.constant = mixed.constant;
  e.weight.assign(weights.begin(), weights.end());
  e.part.resize(weights.size());
  double sum = static_cast<double>(mixed.constant);
  for (std::size_t j = 0; j < weights.size(); ++j) {
    e.part[j] = weights[j] == 0 ? T{0} : weights[j] * dot(mixed.values.row(j).data(), mixed.direction.data(), mixed.direction.size());
    sum += static_cast<double>(e.part[j]);
  }
  e.value = static_cast<T>(sum);
  return e;
}

template <class T>
Mixed<T> mixed_by(const Checked<T>& c, const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, std::size_t head,
                  std::span<const T> direction) {
  if (c.form.mixed != nullptr) return c.form.mixed(settings, parameters, input, c.sizes, head, direction);
  const View<const T> v = input.v.data == nullptr && input.v.columns == 0 ? input.k : input.v;
  const std::size_t group = c.sizes.heads / c.sizes.kv_heads;
  const std::size_t first = v.columns == c.sizes.value ? 0 : head / group * c.sizes.value;
  return {.values = columns(v, first, c.sizes.value), .direction = {direction.begin(), direction.end()}, .constant = 0, .made = {}};
}

}  // namespace

template <class T>
Result<Explanation<T>> explain(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, std::size_t query, std::size_t head,
                               std::span<const T> direction) {
  const Checked<T> c = TRY(check(settings, parameters, input));
  if (!c.row->mixture) return wrong("expected a form that mixes values, found {}", c.row->name);
  if (query >= c.sizes.queries || head >= c.sizes.heads)
    return wrong("expected a query below {} and a head below {}, found {} and {}", c.sizes.queries, c.sizes.heads, query, head);
  const bool through_all = settings.form == Form::multi_head;  // its out is the sum of what the heads bring
  TRY(expect("values in direction", through_all ? c.sizes.out_columns : c.sizes.value, direction.size()));
  TRY(check_finite<T>("direction", View<const T>(direction.data(), 1, direction.size())));
  return guarded([&]() -> Result<Explanation<T>> {
    const auto at = [&](const Output<T>& o, std::size_t h) { return std::span<const T>(o.weights.row(h * c.sizes.queries + query)); };
    const Output<T> output = TRY(forward(settings, parameters, input, {.weights = true}));
    const Mixed<T> mixed = mixed_by(c, settings, parameters, input, head, direction);
    Explanation<T> e = parts(mixed, at(output, head));
    TRY(check_outcome("what keys bring", e.part));
    TRY(check_outcome("what keys bring together", std::vector<T>{e.value}));
    // The sum must be what the outcome says.
    double told = static_cast<double>(e.value), size = std::fabs(static_cast<double>(e.constant));
    for (const T part : e.part) size += std::fabs(static_cast<double>(part));
    const T* row = output.out.values.data();
    if (through_all) {
      for (std::size_t h = 0; h < c.sizes.heads; ++h)
        if (h != head) {
          const Explanation<T> other = parts(mixed_by(c, settings, parameters, input, h, direction), at(output, h));
          told += static_cast<double>(other.value) - static_cast<double>(other.constant);
          for (const T part : other.part) size += std::fabs(static_cast<double>(part));
        }
      row += query * output.out.columns;
    } else {
      row += output.out.rows == c.sizes.queries ? query * output.out.columns + (output.out.columns == c.sizes.value ? 0 : head * c.sizes.value)
                                                : head * output.out.columns;
    }
    const double found = static_cast<double>(dot(row, direction.data(), direction.size()));
    for (std::size_t i = 0; i < direction.size(); ++i) size += std::fabs(static_cast<double>(row[i] * direction[i]));
    TRY(check_outcome("what all heads bring", std::vector<double>{told, found, size}));
    if (!(std::fabs(told - found) <= 1e-5 * size + 1e-30))
      return fail(Code::internal, fmt::format("expected the parts of {} to sum to {}, found {}", c.row->name, found, told));

    const bool closed = (settings.normaliser == Normaliser::softmax && settings.effective_keys == 0) || settings.normaliser == Normaliser::sigmoid;
    const double sum = static_cast<double>(e.value) - static_cast<double>(e.constant);
    e.without.assign(e.part.size(), e.value);
    for (std::size_t j = 0; j < e.part.size(); ++j) {
      if (e.weight[j] == 0 && settings.effective_keys == 0) continue;  // a key without weight changes nothing, in any normaliser
      const double left = settings.normaliser == Normaliser::sigmoid ? 1 : 1 - static_cast<double>(e.weight[j]);
      if (closed && left > 1e-3) {  // nearer to 1 the difference would lose too many digits
        e.without[j] = static_cast<T>(static_cast<double>(e.constant) + (sum - static_cast<double>(e.part[j])) / left);
        continue;
      }
      std::vector<std::uint8_t> keys(c.sizes.keys, 1);
      if (!input.mask.keys.empty()) keys.assign(input.mask.keys.begin(), input.mask.keys.end());
      keys[j] = 0;
      Input<T> less = input;
      less.mask.keys = keys;
      const Output<T> anew = TRY(forward(settings, parameters, less, {.weights = true}));
      e.without[j] = parts(mixed, at(anew, head)).value;
    }
    TRY(check_outcome("what is without a key", e.without));
    return e;
  });
}

// ---------------------------------------------------------------------------------------------------------------- merge

template <class T>
Result<Output<T>> merge(const Output<T>& a, const Output<T>& b, std::size_t heads) {
  if (heads == 0 || heads > most_size) return wrong("expected 1 to {} heads, found {}", most_size, heads);
  TRY(expect("rows in b (as a)", a.out.rows, b.out.rows));
  TRY(expect("columns in b (as a)", a.out.columns, b.out.columns));
  if (a.out.columns % heads != 0) return wrong("expected columns that {} heads divide, found {}", heads, a.out.columns);
  const std::optional<std::size_t> rows = product(a.out.rows, heads), values = product(a.out.rows, a.out.columns);
  if (!rows || !values) return wrong("expected at most {} values, found {} × {} of {} heads", most_values, a.out.rows, a.out.columns, heads);
  const auto has_weights = [](const Output<T>& o) { return o.weights.rows != 0 || !o.weights.values.empty(); };
  const bool weights = has_weights(a) && has_weights(b);
  for (const Output<T>* o : {&a, &b}) {
    if (!o->temperature.empty()) return wrong("expected outputs without a target of entropy, found temperatures chosen for their own keys");
    TRY(expect("values in out", *values, o->out.values.size()));
    TRY(expect("values in log_sum_exp", *rows, o->log_sum_exp.size()));
    TRY(check_finite<T>("out", o->out));
    TRY(check_lse(o->log_sum_exp));
    if (!weights) continue;
    TRY(expect("rows in weights", *rows, o->weights.rows));
    if (product(*rows, o->weights.columns) != o->weights.values.size())
      return wrong("expected weights of {} × {}, found {} values", *rows, o->weights.columns, o->weights.values.size());
    TRY(check_finite<T>("weights", o->weights));
  }
  return guarded([&]() -> Result<Output<T>> {
    constexpr T none = -std::numeric_limits<T>::infinity();
    const std::size_t queries = a.out.rows, value = a.out.columns / heads;
    Output<T> output{.out = Array<T>(queries, a.out.columns), .weights = {}, .log_sum_exp = std::vector<T>(*rows, none), .temperature = {}};
    if (weights) output.weights = Array<T>(*rows, a.weights.columns + b.weights.columns);
    for (std::size_t r = 0; r < *rows; ++r) {
      const T la = a.log_sum_exp[r], lb = b.log_sum_exp[r], top = std::max(la, lb);
      if (top == none) continue;
      const T ea = std::exp(la - top), eb = std::exp(lb - top), sum = ea + eb, fa = ea / sum, fb = eb / sum;
      output.log_sum_exp[r] = top + std::log(sum);
      const std::size_t at = r % queries * a.out.columns + r / queries * value;
      for (std::size_t c = at; c < at + value; ++c) output.out.values[c] = fa * a.out.values[c] + fb * b.out.values[c];
      if (!weights) continue;
      T* to = output.weights.row(r).data();
      for (const T w : a.weights.row(r)) *to++ = fa * w;
      for (const T w : b.weights.row(r)) *to++ = fb * w;
    }
    TRY(check_outcome<T>("out", output.out));
    TRY(check_lse(output.log_sum_exp));
    return output;
  });
}

// ---------------------------------------------------------------------------------------------------------------- streams

namespace {

// Whether a stream of the form keeps the last keys themselves.
bool windowed(const FormRow& row) { return row.form == Form::dot_product || row.form == Form::multi_head; }
// What start_stream() leaves behind, in one number: settings and sizes of everything. A few ns, of a push that takes 20 and more.
template <class T>
std::uint64_t shape_of(const Stream<T>& s) {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15ULL;
  std::uint64_t sum = 1, factor = odd;
  const auto add = [&](std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) { sum += (a ^ std::rotl(b, 21) ^ std::rotl(c, 42)) * (factor += 2 * odd); };
  const auto add_array = [&](const Array<T>& a) { add(a.rows, a.columns, a.values.size()); };
  const auto bits = [](double x) { return std::bit_cast<std::uint64_t>(x); };
  const Settings& t = s.settings;
  add(static_cast<std::uint64_t>(t.form), static_cast<std::uint64_t>(t.normaliser), static_cast<std::uint64_t>(t.position));
  add(t.heads, t.kv_heads, t.model);
  add(t.query, t.hidden, t.features);
  add(t.top_k, bits(t.scale), bits(t.temperature));
  add(bits(t.decay), bits(t.tau), bits(t.effective_keys));
  add(s.key_columns, s.value_columns, s.window);
  add_array(s.state);
  add_array(s.keys);
  add_array(s.values);
  add_array(s.query);
  for (const Parameter<T>& p : s.parameters) add_array(p.value);
  return sum;
}

template <class T>
Status check_stream(const Stream<T>& s) {
  if (s.shape != 0 && s.shape == shape_of(s)) return {};
  return fail(Code::invalid,
              fmt::format("expected a stream as start_stream() made it, found {}", s.shape == 0 ? "one that was not started" : "other settings or sizes"), {},
              "start_stream() again, and push its keys");
}

// Whether it knows its query from the start (else none, or one with every ask).
bool fixed_query(const FormRow& row) { return row.has_query && !windowed(row) && row.form != Form::linear && row.form != Form::performer; }

}  // namespace

template <class T>
Result<Stream<T>> start_stream(const Settings& settings, const Parameters<T>& parameters, std::size_t key_columns, std::size_t value_columns,
                               View<const T> query, std::size_t window) {
  const FormRow* row = TRY(check_form(settings, parameters));
  const FormFunctions<T> form = functions<T>(settings.form);
  if (!row->streams || form.start == nullptr) return wrong("expected a form with a stream, found {}", row->name);
  if (key_columns == 0 || key_columns > most_size || value_columns > most_size)
    return wrong("expected 1 to {} columns of keys and at most that of values, found {} and {}", most_size, key_columns, value_columns);
  if ((window != 0) != windowed(*row)) return wrong("expected {} window for {}, found {}", windowed(*row) ? "a" : "no", row->name, window);
  if (window > most_size) return wrong("expected a window of at most {}, found {}", most_size, window);
  if ((query.rows != 0) != fixed_query(*row))
    return wrong("expected {} fixed query for {}, found {} rows", fixed_query(*row) ? "a" : "no", row->name, query.rows);
  TRY(check_view("the fixed query", query));
  TRY(check_finite("the fixed query", query));
  return guarded([&]() -> Result<Stream<T>> {
    Stream<T> s{.settings = settings,
                .parameters = parameters,
                .key_columns = key_columns,
                .value_columns = value_columns,
                .window = window,
                .seen = 0,
                .state = {},
                .keys = {},
                .values = {},
                .query = Array<T>(query.rows, query.columns)};
    for (std::size_t i = 0; i < query.rows; ++i) std::ranges::copy(query.row(i), s.query.row(i).data());
    TRY(form.start(s));
    s.shape = shape_of(s);
    return s;
  });
}

template <class T>
Status push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T dt, T importance) {
  TRY(check_stream(stream));
  TRY(expect("values in k", stream.key_columns, k.size()));
  TRY(expect("values in v", stream.value_columns, v.size()));
  if (!finite(k)) return check_finite<T>("k", View<const T>(k.data(), 1, k.size()));
  if (!finite(v)) return check_finite<T>("v", View<const T>(v.data(), 1, v.size()));
  if (!(dt >= 0) || !std::isfinite(dt)) return wrong("expected a finite dt of at least 0, found {}", dt);
  if (!(importance > 0) || !std::isfinite(importance)) return wrong("expected a finite importance above 0, found {}", importance);
  functions<T>(stream.settings.form).push(stream, k, v, dt, importance);
  ++stream.seen;
  return {};
}

template <class T>
Result<std::vector<T>> ask(const Stream<T>& stream, std::span<const T> q) {
  TRY(check_stream(stream));
  const FormRow& row = *row_of(stream.settings.form);
  const bool fixed = !row.has_query || fixed_query(row);
  if (fixed) TRY(expect("values in q (the query is fixed)", 0, q.size()));
  else
    TRY(expect("values in q", row.form == Form::multi_head ? stream.key_columns : stream.key_columns / kv_heads(stream.settings) * stream.settings.heads,
               q.size()));
  TRY(check_finite<T>("q", View<const T>(q.data(), 1, q.size())));
  return guarded([&]() -> Result<std::vector<T>> {
    std::vector<T> out = functions<T>(stream.settings.form).ask(stream, q);
    TRY(check_outcome("out", out));
    return out;
  });
}

#define WEIR_BOTH(T)                                                                                                                                \
  template Result<Parameters<T>> initialise(const Settings&, std::uint64_t);                                                                        \
  template Result<Output<T>> forward(const Settings&, const Parameters<T>&, const Input<T>&, const Want&, const Executor&);                         \
  template Result<Gradients<T>> backward(const Settings&, const Parameters<T>&, const Input<T>&, const Output<T>&, View<const T>, const Executor&); \
  template Result<Explanation<T>> explain(const Settings&, const Parameters<T>&, const Input<T>&, std::size_t, std::size_t, std::span<const T>);    \
  template Result<Output<T>> merge(const Output<T>&, const Output<T>&, std::size_t);                                                                \
  template Result<Stream<T>> start_stream(const Settings&, const Parameters<T>&, std::size_t, std::size_t, View<const T>, std::size_t);             \
  template Status push(Stream<T>&, std::span<const T>, std::span<const T>, T, T);                                                                   \
  template Result<std::vector<T>> ask(const Stream<T>&, std::span<const T>);
WEIR_BOTH(float)
WEIR_BOTH(double)
#undef WEIR_BOTH

}  // namespace weir::attention
