// What the forms with a matrix of logits and a layer of their own share: scores become weights, weights mix values, and back; and the same over a stream.
//
//   logit = (scale · score + bias) / temperature, −inf where the mask hides;   weights = normaliser of each row;   out = weights · v
//
// Rows are heads·Tq, head by head; row r is seen by the mask as query r mod Tq. Pure functions; any thread.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "attention/form.h"

namespace weir::attention {

// x with zeros where Mask::keys hides: what it hides is never read.
template <class T>
Array<T> shown(const Mask& mask, View<const T> x);
// The same, copied only where something is hidden. It looks at x or at itself: it stays where it was made.
template <class T>
struct Shown {
  Array<T> made;
  View<const T> view;
  Shown(const Mask& mask, View<const T> x) : view(x) {
    if (!mask.keys.empty()) view = made = shown(mask, x);
  }
  Shown(const Shown&) = delete;
  Shown& operator=(const Shown&) = delete;
};
// The same of the values: v, or k where v is empty.
template <class T>
bool values_are_keys(const Input<T>& in) {
  return in.v.data == nullptr && in.v.columns == 0;
}
template <class T>
View<const T> values_of(const Input<T>& in) {
  return values_are_keys(in) ? in.k : in.v;
}

// Rows of scores from row `first` on become (scale · score + bias), −inf where hidden.
template <class T>
void hide(const Input<T>& in, const Sizes& n, T scale, std::size_t first, View<T> scores);
// change(row), after which a row in which something was seen still sees something: one whose logits all overflowed to −inf would look like one whose keys
// are all masked, and becomes NaN, which is told.
template <class T, class F>
void still_there(std::span<T> row, F&& change) {
  const auto seen = [&] { return std::ranges::any_of(row, [](T x) { return x != -std::numeric_limits<T>::infinity(); }); };
  const bool any = seen();
  change(row);
  if (any && !seen()) std::ranges::fill(row, std::numeric_limits<T>::quiet_NaN());
}
// Then weights; returns the log-sum-exp of every row.
template <class T>
std::vector<T> weigh(const Settings& settings, T temperature, View<T> scores);
// d = ∂/∂weight becomes ∂/∂(scale · score + bias).
template <class T>
void weigh_backward(const Settings& settings, T temperature, View<const T> weights, View<T> d);

// Rows are worked on in blocks of so many, so that scratch is a block and not Tq × Tk.
constexpr std::size_t block_rows = 128;

// All of it, for heads that share the values: out [heads·Tq × dv]. score(r, row) writes the scores of row r; blocks of rows go to the Executor.
template <class T>
Output<T> mix(const Settings& settings, const Input<T>& in, const Sizes& n, const Want& want, const Executor& executor,
              const std::function<void(std::size_t, std::span<T>)>& score);
// The same way back, in blocks of `block` rows: score of all rows of a block, then back(r, d) of each, which gets ∂/∂score of row r; both in ascending
// order. Here are the gradients of bias and of v (added to k's where v is empty).
template <class T>
void mix_backward(const Settings& settings, const Input<T>& in, const Sizes& n, View<const T> d_out, Gradients<T>& gradients, std::size_t block,
                  const std::function<void(std::size_t, std::span<T>)>& score, const std::function<void(std::size_t, std::span<const T>)>& back);
// Sizes of a form whose heads share the values; Tk and dv from k and v.
template <class T>
Result<Sizes> shared_sizes(const Input<T>& in, std::size_t queries, std::size_t heads);

template <class T>
T pooling_scale(const Settings& settings) {
  return static_cast<T>(settings.scale == 0 ? 1 : settings.scale);
}

// A stream's state begins with a row a head: the greatest logit m, Σ e^(logit − m), Σ e^(logit − m)·v (`value` columns). Softmax only: else invalid.
template <class T>
Status start_mixture(Stream<T>& stream, std::size_t heads, std::size_t value);
template <class T>
void absorb(std::span<T> state, T logit, std::span<const T> value);
template <class T>
std::vector<T> mixed_so_far(const Stream<T>& stream, std::size_t heads, std::size_t value);
// Values of no columns stand for the keys.
template <class T>
std::size_t stream_value(const Stream<T>& stream) {
  return stream.value_columns == 0 ? stream.key_columns : stream.value_columns;
}

// Of every element, in place; in float by math's exp, tanh within 2e-7.
template <class T>
void exp_all(std::span<T> x);
template <class T>
void tanh_all(std::span<T> x);

}  // namespace weir::attention
