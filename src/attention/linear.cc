// linear: the features are φ(x) = elu(x) + 1 (x + 1 above zero, eˣ below), element by element. Katharopoulos 2020 (arXiv:2006.16236).
//
//   outᵢ = Σⱼ γ^(i−j)·⟨φ(qᵢ), φ(kⱼ)⟩·vⱼ / Σⱼ γ^(i−j)·⟨φ(qᵢ), φ(kⱼ)⟩
//
// Settings::decay = γ forgets what is old (retention, Sun 2023, arXiv:2307.08621, with the denominator kept); it needs a causal mask. There are no logits:
// scale and temperature do not exist here. O(Tk·d·dv) a head, and a stream whose state is d × (dv + 1).
#include "attention/features.h"
#include "attention/mixture.h"

namespace weir::attention {
namespace {

std::size_t count(const Settings&, std::size_t d) { return d; }

// e^min(x, 0) + max(x, 0)
template <class T>
Features<T> map(const Settings&, const Parameters<T>&, View<const T> x) {
  Features<T> out{.value = Array<T>(x.rows, x.columns), .scale = std::vector<T>(x.rows)};
  for (std::size_t i = 0; i < x.rows; ++i) {
    const T* __restrict from = x.row(i).data();
    T* __restrict to = out.value.row(i).data();
    for (std::size_t c = 0; c < x.columns; ++c) to[c] = from[c] < 0 ? from[c] : T{0};
  }
  exp_all(std::span(out.value.values));
  for (std::size_t i = 0; i < x.rows; ++i) {
    const T* __restrict from = x.row(i).data();
    T* __restrict to = out.value.row(i).data();
    for (std::size_t c = 0; c < x.columns; ++c) to[c] += from[c] > 0 ? from[c] : T{0};
  }
  return out;
}

// ∂φ/∂x = φ·(1 / (x + 1) above zero, 1 below)
template <class T>
void back(const Settings&, const Parameters<T>&, View<const T> x, View<const T> g, View<T> dx, Parameters<T>&) {
  for (std::size_t i = 0; i < x.rows; ++i) {
    const T* __restrict from = x.row(i).data(), * __restrict pull = g.row(i).data();
    T* __restrict to = dx.row(i).data();
    for (std::size_t c = 0; c < x.columns; ++c) to[c] += pull[c] / (1 + (from[c] > 0 ? from[c] : T{0}));
  }
}

template <class T>
constexpr FeatureMap<T> elu{.count = count, .map = map<T>, .back = back<T>};

template <class T>
Result<Sizes> sizes(const Settings& settings, const Input<T>& in) {
  if (settings.decay < 1 && !in.mask.causal)
    return fail(Code::invalid, "expected a causal mask (for a decay below 1), found none", "decay", "set mask.causal, or decay to 1");
  return head_sizes(settings, in);
}

}  // namespace

template <class T>
FormFunctions<T> linear() {
  return {
      .sizes = sizes<T>,
      .forward = [](const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& w,
                    const Executor& e) { return feature_forward(elu<T>, s, p, in, n, w, e); },
      .backward = [](const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d,
                     const Executor& e) { return feature_backward(elu<T>, s, p, in, n, d, e); },
      .start = [](Stream<T>& s) { return feature_start(elu<T>, s); },
      .push = [](Stream<T>& s, std::span<const T> k, std::span<const T> v, T, T) { feature_push(elu<T>, s, k, v); },
      .ask = [](const Stream<T>& s, std::span<const T> q) { return feature_ask(elu<T>, s, q); },
  };
}
template FormFunctions<float> linear();
template FormFunctions<double> linear();

}  // namespace weir::attention
