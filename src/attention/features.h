// Attention whose weights are products of features: wᵢⱼ ∝ γ^(i−j)·⟨φ(qᵢ), φ(kⱼ)⟩, φ > 0. Keys are summed up once and never meet queries one by one:
//
//   Sᵢ = Σ_{j≤i} γ^(i−j)·φ(kⱼ)·[vⱼ, 1]ᵀ,   [n, s] = φ(qᵢ)ᵀ·Sᵢ,   outᵢ = n / s          (not causal: one S over all keys, γ = 1)
//
// linear and performer share this page and differ in φ alone. Kinds of gradient: with h = [d, −⟨d, out⟩] / s (d = ∂/∂out), ∂φ(qᵢ) = Sᵢ·hᵢ, and with
// Rⱼ = Σ_{i≥j} γ^(i−j)·φ(qᵢ)·hᵢᵀ, ∂φ(kⱼ) = Rⱼ·[vⱼ, 1] and ∂vⱼ = (Rⱼᵀφ(kⱼ)) without its last.
//
// A row of features is e^scale · value. Scales of queries cancel; S is kept relative to the greatest scale of the keys so far, which also shrinks by γ
// a step, so that neither large keys nor a long stream overflow or wash out. A query without any key gives zeros.
// Causal positions are walked in chunks of 64, so that all is matrix products; a stream goes key by key.
// Pure functions; key/value heads go to the Executor. Cost: O((Tq + Tk)·features·dv) a head.
#pragma once

#include <span>
#include <vector>

#include "attention/form.h"

namespace weir::attention {

template <class T>
struct Features {
  Array<T> value;        // [rows × features], ≥ 0
  std::vector<T> scale;  // [rows]
};

template <class T>
struct FeatureMap {
  std::size_t (*count)(const Settings&, std::size_t d);  // how many
  Features<T> (*map)(const Settings&, const Parameters<T>&, View<const T> x);
  // g = φ∘∂/∂φ, of no scale; dx += its part, and so the parameters' gradients.
  void (*back)(const Settings&, const Parameters<T>&, View<const T> x, View<const T> g, View<T> dx, Parameters<T>& gradients);
};

// Sizes of the forms without parameters of their own: q [Tq × heads·d], k [Tk × kv_heads·d], v [Tk × kv_heads·dv].
template <class T>
Result<Sizes> head_sizes(const Settings& settings, const Input<T>& input);

template <class T>
Output<T> feature_forward(const FeatureMap<T>&, const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, const Want&, const Executor&);
template <class T>
Gradients<T> feature_backward(const FeatureMap<T>&, const Settings&, const Parameters<T>&, const Input<T>&, const Sizes&, View<const T> d_out, const Executor&);

// Stream::state: S of every key/value head, [features × (dv + 1)] one below the other, then a row a head that begins with its scale.
template <class T>
Status feature_start(const FeatureMap<T>&, Stream<T>&);
template <class T>
void feature_push(const FeatureMap<T>&, Stream<T>&, std::span<const T> k, std::span<const T> v);
template <class T>
std::vector<T> feature_ask(const FeatureMap<T>&, const Stream<T>&, std::span<const T> q);

}  // namespace weir::attention
