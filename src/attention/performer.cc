// performer: positive random features whose products are, on average over ω, those of softmax (FAVOR+). Choromanski 2020 (arXiv:2009.14794).
//
//   E⟨φ(q), φ(k)⟩ = e^⟨s·q, s·k⟩,   φ(x)ᵣ = e^(⟨ωᵣ, s·x⟩ − |s·x|²/2) / √m,   s² = scale, 1/√d if not set
//
// Parameter: omega [features × d], the same for all heads: blocks of d orthogonal rows, each as long as a Gaussian vector of d would be, which lowers the
// variance below that of independent rows (theorem 2 there). Drawn from the seed of initialise(); Settings::model = kv_heads · d. It can be trained: its
// gradient is given. Variance grows as e^(|s·q + s·k|²): meant for logits of a few units. 1/√m cancels and is left out; each row's greatest feature is 1.
// O(T·features·dv) a head, and a stream whose state is features × (dv + 1).
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

#include <fmt/format.h>

#include "attention/features.h"
#include "attention/mixture.h"
#include "attention/products.h"

namespace weir::attention {
namespace {

std::size_t count(const Settings& s, std::size_t d) { return s.features == 0 ? 4 * d : s.features; }

template <class T>
T shrink(const Settings& s, std::size_t d) {
  return static_cast<T>(std::sqrt(s.scale == 0 ? 1 / std::sqrt(static_cast<double>(d)) : s.scale));
}

// Of at least one value; by lanes, which a compiler turns into vectors.
template <class T>
T greatest(std::span<const T> x) {
  constexpr std::size_t lanes = 16;
  std::array<T, lanes> most;
  most.fill(x[0]);
  const T* __restrict from = x.data();
  std::size_t i = 0;
  for (; i + lanes <= x.size(); i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) most[l] = most[l] < from[i + l] ? from[i + l] : most[l];
  for (; i < x.size(); ++i) most[0] = std::max(most[0], from[i]);
  return *std::ranges::max_element(most);
}

template <class T>
Features<T> map(const Settings& settings, const Parameters<T>& parameters, View<const T> x) {
  const Array<T>& omega = parameters[0].value;
  const T s = shrink<T>(settings, x.columns);
  Features<T> out{.value = Array<T>(x.rows, omega.rows), .scale = std::vector<T>(x.rows)};
  if (x.rows == 1)  // a stream: packing omega would cost more than the product
    for (std::size_t r = 0; r < omega.rows; ++r) out.value.values[r] = dot(omega.row(r).data(), x.data, x.columns);
  else times_transposed<T>(x, omega, out.value);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const std::span<T> row = out.value.row(i);
    const T top = greatest<T>(row);
    for (T& u : row) u = s * (u - top);
    exp_all(row);
    out.scale[i] = s * top - s * s / 2 * dot(x.row(i).data(), x.row(i).data(), x.columns);
  }
  return out;
}

// log φᵣ = s·⟨ωᵣ, x⟩ − s²·|x|²/2
template <class T>
void back(const Settings& settings, const Parameters<T>& parameters, View<const T> x, View<const T> g, View<T> dx, Parameters<T>& gradients) {
  const Array<T>& omega = parameters[0].value;
  const T s = shrink<T>(settings, x.columns);
  Array<T> turned(x.rows, x.columns), by_omega(omega.rows, omega.columns);
  times<T>(g, omega, turned);
  transposed_times<T>(g, x, by_omega);
  for (std::size_t i = 0; i < x.rows; ++i) {
    T total = 0;
    for (const T value : g.row(i)) total += value;
    for (std::size_t c = 0; c < x.columns; ++c) dx(i, c) += s * turned.row(i)[c] - s * s * total * x(i, c);
  }
  add_scaled(std::span(gradients[0].value.values), s, by_omega.values.data());
}

template <class T>
constexpr FeatureMap<T> favor{.count = count, .map = map<T>, .back = back<T>};

// Standard normal numbers of our own (Box & Muller 1958): the same from a seed with every library.
class Normal {
 public:
  explicit Normal(std::uint64_t seed) : generator_(seed) {}
  double operator()() {
    const auto unit = [&] { return (static_cast<double>(generator_() >> 11U) + 0.5) * 0x1p-53; };
    const double radius = std::sqrt(-2 * std::log(unit()));
    return radius * std::cos(2 * std::numbers::pi * unit());
  }

 private:
  std::mt19937_64 generator_;
};

// Gram-Schmidt, twice over for accuracy, block by block of at most d rows.
template <class T>
void draw(const Settings&, Parameters<T>& parameters, std::uint64_t seed) {
  Array<T>& omega = parameters[0].value;
  const std::size_t d = omega.columns;
  Normal normal(seed);
  std::vector<std::vector<double>> block;
  for (std::size_t r = 0; r < omega.rows; ++r) {
    if (r % std::max<std::size_t>(d, 1) == 0) block.clear();
    std::vector<double> row(d);
    for (double& x : row) x = normal();
    for (int pass = 0; pass < 2; ++pass)
      for (const std::vector<double>& other : block) add_scaled(std::span(row), -dot(row.data(), other.data(), d), other.data());
    const double norm = std::sqrt(dot(row.data(), row.data(), d));
    for (double& x : row) x /= norm;
    double length = 0;
    for (std::size_t c = 0; c < d; ++c) {
      const double x = normal();
      length += x * x;
    }
    for (std::size_t c = 0; c < d; ++c) omega.row(r)[c] = static_cast<T>(row[c] * std::sqrt(length));
    block.push_back(std::move(row));
  }
}

std::vector<Shape> parameters(const Settings& settings) {
  const std::size_t d = settings.model / kv_heads(settings);
  return {{.name = "omega", .rows = count(settings, d), .columns = d}};
}

Status fits(const Settings& settings, std::size_t key_columns) {
  if (settings.scale < 0) return fail(Code::invalid, fmt::format("expected a scale above 0, found {}", settings.scale));
  return expect("columns of k (model)", settings.model, key_columns);
}

template <class T>
Result<Sizes> sizes(const Settings& settings, const Input<T>& in) {
  TRY(fits(settings, in.k.columns));
  return head_sizes(settings, in);
}

template <class T>
Status start(Stream<T>& stream) {
  TRY(fits(stream.settings, stream.key_columns));
  return feature_start(favor<T>, stream);
}

}  // namespace

template <class T>
FormFunctions<T> performer() {
  return {
      .parameters = parameters,
      .draw = draw<T>,
      .sizes = sizes<T>,
      .forward = [](const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Want& w,
                    const Executor& e) { return feature_forward(favor<T>, s, p, in, n, w, e); },
      .backward = [](const Settings& s, const Parameters<T>& p, const Input<T>& in, const Sizes& n, const Output<T>&, View<const T> d,
                     const Executor& e) { return feature_backward(favor<T>, s, p, in, n, d, e); },
      .start = start<T>,
      .push = [](Stream<T>& s, std::span<const T> k, std::span<const T> v, T, T) { feature_push(favor<T>, s, k, v); },
      .ask = [](const Stream<T>& s, std::span<const T> q) { return feature_ask(favor<T>, s, q); },
  };
}
template FormFunctions<float> performer();
template FormFunctions<double> performer();

}  // namespace weir::attention
