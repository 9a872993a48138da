#include "attention/check.h"

#include <algorithm>
#include <cmath>

#include "attention/mask.h"
#include "attention/products.h"
#include "math/cpu.h"

namespace weir::attention {

Status expect(std::string_view what, std::size_t expected, std::size_t found) {
  if (expected != found) return wrong("expected {} {}, found {}", expected, what, found);
  return {};
}

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

Status check_executor(const Executor& executor) {  // scratch is so many threads'
  if (executor.threads == 0 || executor.threads > most_threads)
    return wrong("expected an Executor of 1 to {} threads, found {}", most_threads, executor.threads);
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
Status check_finite(std::string_view name, View<const T> v, std::span<const std::uint8_t> there) {
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
Result<const FormRow*> check_form(const Settings& settings, const Parameters<T>& parameters) {
  if constexpr (std::is_same_v<T, float>) {  // double runs on plain code
    static const Result<math::Row> cpu = math::choose_row();
    if (!cpu) return std::unexpected(cpu.error());
  }
  const FormRow* row = row_of(settings.form);
  if (row == nullptr) return wrong("expected a form of attention, found number {}", static_cast<int>(settings.form));
  TRY(check_settings(settings, *row));
  TRY(check_parameters(settings, functions<T>(settings.form), parameters));
  return row;
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
  if (!output.log_sum_exp.empty() || (c.row->logits && merges(settings))) TRY(expect("output.log_sum_exp", rows, output.log_sum_exp.size()));
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

#define WEIR_BOTH(T)                                                                                 \
  template Result<const FormRow*> check_form(const Settings&, const Parameters<T>&);                 \
  template Result<Checked<T>> check(const Settings&, const Parameters<T>&, const Input<T>&);         \
  template Status check_output(const Settings&, const Checked<T>&, const Output<T>&, View<const T>); \
  template Status check_view(std::string_view, View<const T>);                                       \
  template Status check_finite(std::string_view, View<const T>, std::span<const std::uint8_t>);      \
  template Status check_outcome(std::string_view, View<const T>);                                    \
  template Status check_lse(const std::vector<T>&);
WEIR_BOTH(float)
WEIR_BOTH(double)
#undef WEIR_BOTH

}  // namespace weir::attention
