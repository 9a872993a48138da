// Inside attention/: everything that can be wrong from outside, checked before the work starts (sizes, options that the form does not have, non-finite
// values) and after it (what overflowed). Errors are invalid, with what was expected and what was found. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

#include "attention/form.h"

namespace weir::attention {

constexpr std::size_t most_size = std::size_t{1} << 20;  // of heads, model, query, hidden, features, top_k
constexpr std::size_t most_threads = 4096;
constexpr std::size_t most_values = std::size_t{1} << 40;  // of anything that is made here

template <class... Parts>
std::unexpected<Error> wrong(fmt::format_string<Parts...> text, Parts&&... parts) {
  return fail(Code::invalid, fmt::format(text, std::forward<Parts>(parts)...));
}

// a · b · c, or nothing when it is more than most_values.
inline std::optional<std::size_t> product(std::size_t a, std::size_t b, std::size_t c = 1) {
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

// A call whose settings, parameters and inputs fit.
template <class T>
struct Checked {
  const FormRow* row;
  FormFunctions<T> form;
  Sizes sizes;
};

// Whether two outputs over two sets of keys have what makes them one: softmax, and nothing behind the mixture.
inline bool merges(const Settings& s) { return s.normaliser == Normaliser::softmax && s.form != Form::multi_head; }

Status check_settings(const Settings& settings, const FormRow& row);
Status check_executor(const Executor& executor);
// The row of a form whose settings and parameters fit.
template <class T>
Result<const FormRow*> check_form(const Settings& settings, const Parameters<T>& parameters);
// Everything that can be wrong before the work starts.
template <class T>
Result<Checked<T>> check(const Settings& settings, const Parameters<T>& parameters, const Input<T>& input);
// What backward() is told that forward() gave.
template <class T>
Status check_output(const Settings& settings, const Checked<T>& c, const Output<T>& output, View<const T> d_out);

template <class T>
Status check_view(std::string_view name, View<T> v);
// "expected finite values in k, found nan at [2, 0]"; rows where `there` is 0 are not read.
template <class T>
Status check_finite(std::string_view name, View<const T> v, std::span<const std::uint8_t> there = {});
// An outcome that overflowed is an error, with the place.
template <class T>
Status check_outcome(std::string_view name, View<const T> v);
template <class T>
Status check_outcome(std::string_view name, const std::vector<T>& v) {
  return check_outcome<T>(name, View<const T>(v.data(), 1, v.size()));
}
template <class T>
Status check_lse(const std::vector<T>& v);  // −inf is a row without a key

}  // namespace weir::attention
