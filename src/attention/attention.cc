#include "attention/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "attention/form.h"
#include "attention/mask.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

constexpr std::size_t most_size = std::size_t{1} << 20;    // of heads, model, query, hidden, features, top_k
constexpr std::size_t most_values = std::size_t{1} << 40;  // of anything that is made here

struct Row {
  FormRow row;
  FormFunctions<float> (*f32)();
  FormFunctions<double> (*f64)();
};

#define WEIR_FORM(name) name<float>, name<double>
constexpr Row table[] = {
    {{.form = Form::dot_product,
      .name = "dot_product",
      .paper = "Vaswani 2017, arXiv:1706.03762; Ainslie 2023, arXiv:2305.13245",
      .heads = true,
      .has_query = true,
      .has_parameters = false,
      .logits = true,
      .position = true,
      .mixture = true,
      .causal = true,
      .streams = true,
      .linear_cost = false},
     WEIR_FORM(dot_product)},
    {{.form = Form::multi_head,
      .name = "multi_head",
      .paper = "Vaswani 2017, arXiv:1706.03762",
      .heads = true,
      .has_query = true,
      .has_parameters = true,
      .logits = true,
      .position = true,
      .mixture = true,
      .causal = true,
      .streams = false,
      .linear_cost = false},
     WEIR_FORM(multi_head)},
    {{.form = Form::dot_pooling,
      .name = "dot_pooling",
      .paper = "Yang 2016, aclanthology N16-1174",
      .heads = false,
      .has_query = false,
      .has_parameters = true,
      .logits = true,
      .position = false,
      .mixture = true,
      .causal = false,
      .streams = true,
      .linear_cost = true},
     WEIR_FORM(dot_pooling)},
    {{.form = Form::additive,
      .name = "additive",
      .paper = "Bahdanau 2014, arXiv:1409.0473",
      .heads = false,
      .has_query = true,
      .has_parameters = true,
      .logits = true,
      .position = false,
      .mixture = true,
      .causal = true,
      .streams = true,
      .linear_cost = false},
     WEIR_FORM(additive)},
    {{.form = Form::multi_head_pooling,
      .name = "multi_head_pooling",
      .paper = "Lin 2017, arXiv:1703.03130",
      .heads = true,
      .has_query = false,
      .has_parameters = true,
      .logits = true,
      .position = false,
      .mixture = true,
      .causal = false,
      .streams = true,
      .linear_cost = true},
     WEIR_FORM(multi_head_pooling)},
    {{.form = Form::candidate_pooling,
      .name = "candidate_pooling",
      .paper = "Zhou 2018, arXiv:1706.06978",
      .heads = false,
      .has_query = true,
      .has_parameters = true,
      .logits = true,
      .position = false,
      .mixture = true,
      .causal = false,
      .streams = true,
      .linear_cost = false},
     WEIR_FORM(candidate_pooling)},
    {{.form = Form::fastformer,
      .name = "fastformer",
      .paper = "Wu 2021, arXiv:2108.09084",
      .heads = true,
      .has_query = true,
      .has_parameters = true,
      .logits = false,
      .position = false,
      .mixture = false,
      .causal = false,
      .streams = false,
      .linear_cost = true},
     WEIR_FORM(fastformer)},
    {{.form = Form::linear,
      .name = "linear",
      .paper = "Katharopoulos 2020, arXiv:2006.16236; Sun 2023, arXiv:2307.08621",
      .heads = true,
      .has_query = true,
      .has_parameters = false,
      .logits = false,
      .position = false,
      .mixture = true,
      .causal = true,
      .streams = true,
      .linear_cost = true},
     WEIR_FORM(linear)},
    {{.form = Form::performer,
      .name = "performer",
      .paper = "Choromanski 2020, arXiv:2009.14794",
      .heads = true,
      .has_query = true,
      .has_parameters = true,
      .logits = false,
      .position = false,
      .mixture = true,
      .causal = true,
      .streams = true,
      .linear_cost = true},
     WEIR_FORM(performer)},
    {{.form = Form::time_decayed,
      .name = "time_decayed",
      .paper = "Vaswani 2017, arXiv:1706.03762, with ages and a target of entropy",
      .heads = true,
      .has_query = true,
      .has_parameters = false,
      .logits = true,
      .position = false,
      .mixture = true,
      .causal = true,
      .streams = true,
      .linear_cost = false},
     WEIR_FORM(time_decayed)},
};
#undef WEIR_FORM

const Row* find(Form form) {
  for (const Row& row : table)
    if (row.row.form == form) return &row;
  return nullptr;
}

template <class... Parts>
std::unexpected<Error> wrong(fmt::format_string<Parts...> text, Parts&&... parts) {
  return fail(Code::invalid, fmt::format(text, std::forward<Parts>(parts)...));
}

// a · b · c, or nothing when it is more than most_values.
std::optional<std::size_t> product(std::size_t a, std::size_t b, std::size_t c = 1) {
  std::size_t n = 0;
  if (__builtin_mul_overflow(a, b, &n) || __builtin_mul_overflow(n, c, &n) || n > most_values) return std::nullopt;
  return n;
}

// Memory that cannot be had is told, not thrown.
template <class F>
auto guarded(F&& f) -> decltype(f()) {
  try {
    return f();
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {}
  return fail(Code::too_large, "expected an outcome that fits into memory, found none left for it", {},
              "give fewer queries, keys or heads, or do without weights");
}

// ---------------------------------------------------------------------------------------------------------------- checks

Status check_settings(const Settings& s, const FormRow& row) {
  const auto size = [](std::string_view name, std::size_t value) -> Status {
    if (value > most_size) return wrong("expected {} of at most {}, found {}", name, most_size, value);
    return {};
  };
  TRY(size("heads", s.heads));
  TRY(size("kv_heads", s.kv_heads));
  TRY(size("model", s.model));
  TRY(size("query", s.query));
  TRY(size("hidden", s.hidden));
  TRY(size("features", s.features));
  if (s.heads == 0) return wrong("expected at least 1 head, found 0");
  if (s.heads > 1 && !row.heads) return wrong("expected 1 head ({} has no more), found {}", row.name, s.heads);
  if (s.kv_heads != 0 && s.heads % s.kv_heads != 0) return wrong("expected kv_heads that divides {} heads, found {}", s.heads, s.kv_heads);
  if (to_string(s.normaliser) == "unknown") return wrong("expected a normaliser, found number {}", static_cast<int>(s.normaliser));
  if (s.normaliser != Normaliser::softmax && !row.logits)
    return wrong("expected softmax ({} has no other normaliser), found {}", row.name, to_string(s.normaliser));
  if (s.normaliser == Normaliser::top_k && s.top_k == 0) return wrong("expected a top_k of at least 1, found 0");
  if (s.position > Position::rope) return wrong("expected a position, found number {}", static_cast<int>(s.position));
  if (s.position != Position::none && !row.position)
    return wrong("expected no position ({} has none), found {}", row.name, s.position == Position::alibi ? "alibi" : "rope");
  if (!std::isfinite(s.scale)) return wrong("expected a finite scale, found {}", s.scale);
  if (!(s.temperature > 0) || !std::isfinite(s.temperature)) return wrong("expected a finite temperature above 0, found {}", s.temperature);
  if (s.temperature != 1 && !row.logits) return wrong("expected a temperature of 1 ({} has no other), found {}", row.name, s.temperature);
  if (!(s.decay > 0 && s.decay <= 1)) return wrong("expected a decay above 0 and at most 1, found {}", s.decay);
  if (s.decay != 1 && s.form != Form::linear) return wrong("expected a decay of 1 ({} has no other), found {}", row.name, s.decay);
  if (!(s.tau >= 0) || !std::isfinite(s.tau)) return wrong("expected a finite tau of at least 0, found {}", s.tau);
  if (s.effective_keys != 0 && (!(s.effective_keys >= 1) || !std::isfinite(s.effective_keys)))
    return wrong("expected effective_keys of 0 or at least 1, found {}", s.effective_keys);
  if (s.form != Form::time_decayed && (s.tau != 0 || s.effective_keys != 0)) return wrong("expected no tau and no effective_keys ({} has none)", row.name);
  return {};
}

template <class T>
Status check_view(std::string_view name, View<T> v) {
  if (v.rows != 0 && v.stride < v.columns) return wrong("expected {} with a stride of at least its {} columns, found {}", name, v.columns, v.stride);
  if (!product(v.rows, std::max(v.stride, v.columns))) return wrong("expected {} of at most {} values, found {} × {}", name, most_values, v.rows, v.stride);
  if (v.data == nullptr && v.rows != 0 && v.columns != 0) return wrong("expected {} of {} × {} values, found no data", name, v.rows, v.columns);
  return {};
}

template <class T>
Status check_finite(std::string_view name, View<const T> v, std::span<const std::uint8_t> there = {}) {
  for (std::size_t i = 0; i < v.rows; ++i) {
    if ((!there.empty() && there[i] == 0) || finite(std::span<const T>(v.row(i)))) continue;
    for (std::size_t j = 0; j < v.columns; ++j)
      if (!std::isfinite(v(i, j))) return wrong("expected finite values in {}, found {} at [{}, {}]", name, v(i, j), i, j);
  }
  return {};
}

template <class T>
Status check_parameters(const Settings& settings, const FormFunctions<T>& form, const Parameters<T>& parameters) {
  const std::vector<Shape> shapes = form.parameters == nullptr ? std::vector<Shape>{} : form.parameters(settings);
  if (shapes.size() != parameters.size()) return wrong("expected {} parameters, found {}", shapes.size(), parameters.size());
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto& [name, value] = parameters[i];
    const Shape& s = shapes[i];
    if (name != s.name) return wrong("expected parameter {} at place {}, found {}", s.name, i, name);
    if (value.rows != s.rows || value.columns != s.columns || product(s.rows, s.columns) != value.values.size())
      return wrong("expected parameter {} of {} × {}, found {} × {} with {} values", s.name, s.rows, s.columns, value.rows, value.columns, value.values.size());
    TRY(check_finite<T>(s.name, value));
  }
  return {};
}

template <class T>
Status check_mask(const Mask& mask, const Sizes& sizes, const FormRow& row) {
  if (mask.causal && !row.causal) return wrong("expected no causal mask ({} has none)", row.name);
  if (!row.logits && (mask.window != 0 || mask.globals != 0 || mask.block != 0 || mask.pairs.data != nullptr))
    return wrong("expected no window, globals, block or pairs in the mask ({} has no matrix of logits)", row.name);
  if (!mask.keys.empty()) TRY(expect("mask.keys", sizes.keys, mask.keys.size()));
  TRY(check_view("mask.pairs", mask.pairs));
  if (mask.pairs.data != nullptr || mask.pairs.rows != 0) {
    TRY(expect("mask.pairs rows (as queries)", sizes.queries, mask.pairs.rows));
    TRY(expect("mask.pairs columns (as keys)", sizes.keys, mask.pairs.columns));
  }
  return {};
}

template <class T>
Status check_bias(const Input<T>& input, const Sizes& sizes, const FormRow& row) {
  TRY(check_view("bias", input.bias));
  if (input.bias.data == nullptr && input.bias.rows == 0) return {};
  if (!row.logits) return wrong("expected no bias ({} has no matrix of logits)", row.name);
  TRY(expect("bias rows (as queries)", sizes.queries, input.bias.rows));
  TRY(expect("bias columns (as keys)", sizes.keys, input.bias.columns));
  for (std::size_t i = 0; i < input.bias.rows; ++i) {
    if (finite(std::span<const T>(input.bias.row(i)))) continue;
    for (std::size_t j = 0; j < input.bias.columns; ++j)
      if (!std::isfinite(input.bias(i, j)) && visible(input.mask, i, j))
        return fail(Code::invalid, fmt::format("expected finite values in bias, found {} at [{}, {}]", input.bias(i, j), i, j), {},
                    "to hide a pair, use mask.pairs");
  }
  return {};
}

template <class T>
Status check_times(const Settings& settings, const Input<T>& input, const Sizes& sizes) {
  if (settings.form != Form::time_decayed) {
    if (!input.age.empty() || !input.importance.empty()) return wrong("expected no age and no importance: only time_decayed has them");
    return {};
  }
  if (settings.tau != 0 || !input.age.empty()) TRY(expect("age (as keys)", sizes.keys, input.age.size()));
  if (!input.importance.empty()) TRY(expect("importance (as keys)", sizes.keys, input.importance.size()));
  for (std::size_t j = 0; j < sizes.keys; ++j) {
    if (!input.mask.keys.empty() && input.mask.keys[j] == 0) continue;
    if (!input.age.empty() && (!(input.age[j] >= 0) || !std::isfinite(input.age[j])))
      return wrong("expected a finite age of at least 0, found {} at {}", input.age[j], j);
    if (!input.importance.empty() && (!(input.importance[j] > 0) || !std::isfinite(input.importance[j])))
      return wrong("expected a finite importance above 0, found {} at {}", input.importance[j], j);
  }
  return {};
}

template <class T>
struct Checked {
  const FormRow* row;
  FormFunctions<T> form;
  Sizes sizes;
};

template <class T>
Result<const FormRow*> check_form(const Settings& settings, const Parameters<T>& parameters) {
  const Row* row = find(settings.form);
  if (row == nullptr) return wrong("expected a form of attention, found number {}", static_cast<int>(settings.form));
  TRY(check_settings(settings, row->row));
  TRY(check_parameters(settings, functions<T>(settings.form), parameters));
  return &row->row;
}

// Everything that can be wrong before the work starts.
template <class T>
Result<Checked<T>> check(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input) {
  const FormRow* row = TRY(check_form(settings, parameters));
  const FormFunctions<T> form = functions<T>(settings.form);
  TRY(check_view("q", input.q));
  TRY(check_view("k", input.k));
  TRY(check_view("v", input.v));
  if (!row->has_query && (input.q.data != nullptr || input.q.rows != 0))
    return wrong("expected no q ({} learns its own), found {} rows", row->name, input.q.rows);
  const Sizes sizes = TRY(form.sizes(settings, input));
  if (sizes.head == 0 || sizes.value == 0) return wrong("expected at least 1 column a head, found {} in keys and {} in values", sizes.head, sizes.value);
  if (!product(sizes.heads, sizes.queries, std::max<std::size_t>(sizes.keys, 1)) || !product(sizes.out_rows, sizes.out_columns))
    return wrong("expected heads × queries × keys of at most {}, found {} × {} × {}", most_values, sizes.heads, sizes.queries, sizes.keys);
  TRY(check_mask<T>(input.mask, sizes, *row));
  TRY(check_finite("q", input.q));
  TRY(check_finite("k", input.k, input.mask.keys));
  TRY(check_finite("v", input.v, input.mask.keys));
  TRY(check_bias(input, sizes, *row));
  TRY(check_times(settings, input, sizes));
  if (settings.effective_keys > static_cast<double>(std::max<std::size_t>(sizes.keys, 1)))
    return wrong("expected effective_keys of at most {} (as keys), found {}", sizes.keys, settings.effective_keys);
  return Checked<T>{row, form, sizes};
}

// An outcome that overflowed is an error, with the place.
template <class T>
Status check_outcome(std::string_view name, View<const T> v) {
  Status status = check_finite(name, v);
  if (!status) status.error().remedy = "inputs or settings this large overflow: scale them down";
  return status;
}

template <class T>
Status check_outcome(std::string_view name, const std::vector<T>& v) {
  return check_outcome<T>(name, View<const T>(v.data(), 1, v.size()));
}

template <class T>
Status check_lse(const std::vector<T>& v) {
  for (std::size_t i = 0; i < v.size(); ++i)
    if (std::isnan(v[i]) || v[i] == std::numeric_limits<T>::infinity()) return check_outcome<T>("log_sum_exp", View<const T>(v.data() + i, 1, 1));
  return {};
}

// What backward() is told that forward() gave.
template <class T>
Status check_output(const Settings& settings, const Checked<T>& c, const Output<T>& output, View<const T> d_out) {
  const auto array = [](std::string_view name, const Array<T>& a, std::size_t rows, std::size_t columns) -> Status {
    TRY(expect(fmt::format("{} rows", name), rows, a.rows));
    TRY(expect(fmt::format("{} columns", name), columns, a.columns));
    return expect(fmt::format("{} values", name), rows * columns, a.values.size());
  };
  TRY(array("output.out", output.out, c.sizes.out_rows, c.sizes.out_columns));
  const std::size_t rows = c.sizes.heads * c.sizes.queries;
  if (!output.weights.values.empty()) TRY(array("output.weights", output.weights, rows, c.sizes.keys));
  if (!output.log_sum_exp.empty() || (c.row->logits && settings.normaliser == Normaliser::softmax))
    TRY(expect("output.log_sum_exp", rows, output.log_sum_exp.size()));
  if (settings.effective_keys != 0) TRY(expect("output.temperature", rows, output.temperature.size()));
  TRY(check_outcome<T>("output.out", output.out));
  TRY(check_outcome<T>("output.weights", output.weights));
  TRY(check_outcome("output.temperature", output.temperature));
  TRY(check_lse(output.log_sum_exp));
  TRY(check_view("d_out", d_out));
  TRY(expect("d_out rows", c.sizes.out_rows, d_out.rows));
  TRY(expect("d_out columns", c.sizes.out_columns, d_out.columns));
  return check_finite("d_out", d_out);
}

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

Status expect(std::string_view what, std::size_t expected, std::size_t found) {
  if (expected != found) return wrong("expected {} {}, found {}", expected, what, found);
  return {};
}

template <class T>
FormFunctions<T> functions(Form form) {
  const Row* row = find(form);
  CHECK(row != nullptr);
  if constexpr (std::is_same_v<T, float>) return row->f32();
  else return row->f64();
}

std::span<const FormRow> forms() {
  static const std::vector<FormRow> rows = [] {
    std::vector<FormRow> all;
    for (const Row& row : table) all.push_back(row.row);
    return all;
  }();
  return rows;
}

std::string_view to_string(Form form) {
  const Row* row = find(form);
  return row == nullptr ? "unknown" : row->row.name;
}

std::string_view to_string(Normaliser normaliser) {
  switch (normaliser) {
    case Normaliser::softmax: return "softmax";
    case Normaliser::sparsemax: return "sparsemax";
    case Normaliser::entmax15: return "entmax15";
    case Normaliser::top_k: return "top_k";
    case Normaliser::sigmoid: return "sigmoid";
  }
  return "unknown";
}

template <class T>
Result<Parameters<T>> initialise(const Settings& settings, std::uint64_t seed) {
  const Row* row = find(settings.form);
  if (row == nullptr) return wrong("expected a form of attention, found number {}", static_cast<int>(settings.form));
  TRY(check_settings(settings, row->row));
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
  const Checked<T> c = TRY(check(settings, parameters, input));
  return guarded([&]() -> Result<Output<T>> {
    Output<T> output = c.form.forward(settings, parameters, input, c.sizes, want, executor);
    TRY(check_outcome<T>("out", output.out));
    TRY(check_outcome<T>("weights", output.weights));
    TRY(check_lse(output.log_sum_exp));
    return output;
  });
}

template <class T>
Result<Gradients<T>> backward(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input, const Output<T>& output, View<const T> d_out,
                              const Executor& executor) {
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
  const bool weights = !a.weights.values.empty() && !b.weights.values.empty();
  for (const Output<T>* o : {&a, &b}) {
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

// Whether a stream of the form knows its query from the start (else none, or one with every ask).
bool fixed_query(const FormRow& row) { return row.has_query && row.form != Form::dot_product && row.form != Form::linear && row.form != Form::performer; }

}  // namespace

template <class T>
Result<Stream<T>> start_stream(const Settings& settings, const Parameters<T>& parameters, std::size_t key_columns, std::size_t value_columns,
                               View<const T> query, std::size_t window) {
  const FormRow* row = TRY(check_form(settings, parameters));
  const FormFunctions<T> form = functions<T>(settings.form);
  if (!row->streams || form.start == nullptr) return wrong("expected a form with a stream, found {}", row->name);
  if (key_columns == 0 || key_columns > most_size || value_columns > most_size)
    return wrong("expected 1 to {} columns of keys and at most that of values, found {} and {}", most_size, key_columns, value_columns);
  if ((window != 0) != (settings.form == Form::dot_product))
    return wrong("expected a window for dot_product and for no other form, found {} for {}", window, row->name);
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
    return s;
  });
}

template <class T>
Status push(Stream<T>& stream, std::span<const T> k, std::span<const T> v, T dt, T importance) {
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
  const FormRow& row = find(stream.settings.form)->row;
  const bool fixed = !row.has_query || fixed_query(row);
  if (fixed) TRY(expect("values in q (the query is fixed)", 0, q.size()));
  else TRY(expect("values in q", stream.key_columns / kv_heads(stream.settings) * stream.settings.heads, q.size()));
  TRY(check_finite<T>("q", View<const T>(q.data(), 1, q.size())));
  return guarded([&]() -> Result<std::vector<T>> {
    std::vector<T> out = functions<T>(stream.settings.form).ask(stream, q);
    TRY(check_outcome("out", out));
    return out;
  });
}

#define WEIR_BOTH(T)                                                                                                                                \
  template FormFunctions<T> functions(Form);                                                                                                        \
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
