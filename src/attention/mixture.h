// What the forms with a matrix of logits and a layer of their own share: scores become weights, weights mix values, and back; and the same over a stream.
//
//   logit = (scale · score + bias) / temperature, −inf where the mask hides;   weights = normaliser of each row;   out = weights · v
//
// Rows are heads·Tq, head by head; row r is seen by the mask as query r mod Tq. Pure functions; any thread.
#pragma once

#include <span>
#include <vector>

#include "attention/form.h"

namespace weir::attention {

// x with zeros where Mask::keys hides: what it hides is never read.
template <class T>
Array<T> shown(const Mask& mask, View<const T> x);
// The same of the values: v, or k where v is empty.
template <class T>
bool values_are_keys(const Input<T>& in) { return in.v.data == nullptr && in.v.columns == 0; }
template <class T>
Array<T> shown_values(const Input<T>& in);

// scores [heads·Tq × Tk] become (scale · score + bias), −inf where hidden.
template <class T>
void hide(const Input<T>& in, const Sizes& n, T scale, Array<T>& scores);
// Then weights; returns the log-sum-exp of every row.
template <class T>
std::vector<T> weigh(const Settings& settings, T temperature, Array<T>& scores);
// d = ∂/∂weight becomes ∂/∂(scale · score + bias).
template <class T>
void weigh_backward(const Settings& settings, T temperature, const Array<T>& weights, Array<T>& d);
// Both steps, and the mixture of values that all heads share: out [heads·Tq × dv].
template <class T>
Output<T> mix(const Settings& settings, const Input<T>& in, const Sizes& n, Array<T> scores, const Want& want);
// From ∂/∂out to ∂/∂score; fills the gradients of bias and of v (or adds to k's where v is empty).
template <class T>
Array<T> mix_backward(const Settings& settings, const Input<T>& in, const Sizes& n, Array<T> scores, View<const T> d_out, Gradients<T>& gradients);
// Sizes of a form whose heads share the values; Tk and dv from k and v.
template <class T>
Result<Sizes> shared_sizes(const Input<T>& in, std::size_t queries, std::size_t heads);

template <class T>
T pooling_scale(const Settings& settings) { return static_cast<T>(settings.scale == 0 ? 1 : settings.scale); }

// A stream's state begins with a row a head: the greatest logit m, Σ e^(logit − m), Σ e^(logit − m)·v (`value` columns). Softmax only: else invalid.
template <class T>
Status start_mixture(Stream<T>& stream, std::size_t heads, std::size_t value);
template <class T>
void absorb(std::span<T> state, T logit, std::span<const T> value);
template <class T>
std::vector<T> mixed_so_far(const Stream<T>& stream, std::size_t heads, std::size_t value);
// Values of no columns stand for the keys.
template <class T>
std::size_t stream_value(const Stream<T>& stream) { return stream.value_columns == 0 ? stream.key_columns : stream.value_columns; }

// Of every element, in place; in float by math's exp, tanh within 2e-7.
template <class T>
void exp_all(std::span<T> x);
template <class T>
void tanh_all(std::span<T> x);

}  // namespace weir::attention
