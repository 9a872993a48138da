// Inside dot-product attention: one call's problem, with positions applied to q and k, and the float path over it.
#pragma once

#include "attention/form.h"
#include "attention/position.h"
#include "attention/products.h"

namespace weir::attention {

template <class T>
struct Problem {
  const Settings& settings;
  const Input<T>& input;
  const Sizes& sizes;
  Array<T> turned_q, turned_k;  // under RoPE
  View<const T> q, k, v;
  double scale;    // logit = scale · ⟨q, k⟩ + (position + bias) · inverse
  double inverse;  // 1 / temperature

  Problem(const Settings& s, const Input<T>& i, const Sizes& z);
  Problem(const Problem&) = delete;
  Problem& operator=(const Problem&) = delete;

  std::size_t group() const { return sizes.heads / sizes.kv_heads; }
  const T* query(std::size_t h, std::size_t i) const { return q.data + i * q.stride + h * sizes.head; }
  const T* key(std::size_t h, std::size_t j) const { return k.data + j * k.stride + h / group() * sizes.head; }
  const T* value(std::size_t h, std::size_t j) const { return v.data + j * v.stride + h / group() * sizes.value; }
  // What is added to the score of a pair that is seen, times `inverse`.
  double extra(std::size_t h, std::size_t i, std::size_t j) const {
    double x = input.bias.data == nullptr ? 0 : static_cast<double>(input.bias(i, j));
    if (settings.position == Position::alibi) x -= alibi_slope(h, sizes.heads) * static_cast<double>(i > j ? i - j : j - i);
    return x * inverse;
  }
};

// Softmax on f32, by tiles on math's kernels (tiles.cc).
void tiled_forward(const Problem<float>& p, Output<float>& output, const Want& want, const Executor& executor);
// Adds into the zeros of g.q, g.k, g.v (and g.bias); RoPE is not yet turned back.
void tiled_backward(const Problem<float>& p, const Output<float>& output, View<const float> d_out, Gradients<float>& g, const Executor& executor);

}  // namespace weir::attention
