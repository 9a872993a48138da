#include "attention/normalise.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/result.h"
#include "math/math.h"

namespace weir::attention {
namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

constexpr std::size_t lanes = 8;  // sums and maxima side by side: a compiler turns them into vectors

// And whether there is a NaN or +inf.
template <class T>
std::pair<T, bool> greatest(std::span<const T> z) {
  std::array<T, lanes> tops;
  std::array<std::int32_t, lanes> broken{};
  tops.fill(static_cast<T>(none));
  const T* x = z.data();
  const std::size_t whole = z.size() - z.size() % lanes;
  const auto look = [&](std::size_t i, std::size_t l) {
    tops[l] = tops[l] < x[i] ? x[i] : tops[l];
    broken[l] |= static_cast<std::int32_t>(!(x[i] < std::numeric_limits<T>::infinity()));
  };
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) look(i + l, l);
  for (std::size_t i = whole; i < z.size(); ++i) look(i, 0);
  return {*std::ranges::max_element(tops), std::ranges::any_of(broken, [](std::int32_t b) { return b != 0; })};
}

// e^(z − top) / Σ in place; the log-sum-exp.
template <class T>
T softmax(std::span<T> z, T top) {
  std::array<double, lanes> sums{};
  const std::size_t n = z.size(), whole = n - n % lanes;
  T* x = z.data();
  if constexpr (std::is_same_v<T, float>) {
    for (std::size_t i = 0; i < n; ++i) x[i] -= top;
    math::exp(z);
  } else {
    for (std::size_t i = 0; i < n; ++i) x[i] = std::exp(x[i] - top);
  }
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t l = 0; l < lanes; ++l) sums[l] += static_cast<double>(x[i + l]);
  for (std::size_t i = whole; i < n; ++i) sums[0] += static_cast<double>(x[i]);
  const double sum = std::accumulate(sums.begin(), sums.end(), 0.0);
  const T inverse = static_cast<T>(1 / sum);
  for (std::size_t i = 0; i < n; ++i) x[i] *= inverse;
  return static_cast<T>(static_cast<double>(top) + std::log(sum));
}

template <class T>
T top_k(std::span<T> z, std::size_t k, T top) {
  CHECK(k > 0);
  if (k < z.size()) {
    std::vector<std::size_t> order(z.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto before = [&](std::size_t a, std::size_t b) { return z[a] != z[b] ? z[a] > z[b] : a < b; };
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k), order.end(), before);
    for (std::size_t i = k; i < order.size(); ++i) z[order[i]] = static_cast<T>(none);
  }
  return softmax(z, top);
}

std::vector<double> descending(auto z, auto top, double factor) {
  std::vector<double> sorted;
  sorted.reserve(z.size());
  for (const auto x : z)
    if (x != -std::numeric_limits<decltype(top)>::infinity()) sorted.push_back((static_cast<double>(x) - static_cast<double>(top)) * factor);
  std::ranges::sort(sorted, std::greater<>{});
  return sorted;
}

// τ is that of the largest support whose least member stays above it.
template <class T>
void sparsemax(std::span<T> z, T top) {
  double sum = 0, tau = 0, count = 0;
  for (const double x : descending(z, top, 1.0)) {
    sum += x;
    ++count;
    if (1 + count * x <= sum) break;
    tau = (sum - 1) / count;
  }
  for (T& x : z) x = static_cast<T>(std::max(0.0, static_cast<double>(x) - static_cast<double>(top) - tau));
}

template <class T>
void entmax15(std::span<T> z, T top) {
  double sum = 0, squares = 0, tau = 0, count = 0;
  for (const double x : descending(z, top, 0.5)) {
    sum += x;
    squares += x * x;
    ++count;
    const double mean = sum / count, spread = squares - sum * mean;
    if (!(spread <= 1)) break;  // NaN: what is this far below the greatest overflowed
    const double candidate = mean - std::sqrt((1 - spread) / count);
    if (candidate > x) break;
    tau = candidate;
  }
  for (T& x : z) {
    const double above = std::max(0.0, (static_cast<double>(x) - static_cast<double>(top)) * 0.5 - tau);
    x = static_cast<T>(above * above);
  }
}

template <class T>
void sigmoid(std::span<T> z) {
  for (T& x : z) {
    const T e = std::exp(-std::fabs(x));  // ≤ 1: nothing overflows
    x = x >= 0 ? 1 / (1 + e) : e / (1 + e);
  }
}

}  // namespace

template <class T>
T normalise(Normaliser normaliser, std::size_t k, std::span<T> z) {
  const auto [top, broken] = greatest<T>(z);
  const bool sums = normaliser == Normaliser::softmax || normaliser == Normaliser::top_k;
  if (broken) {
    std::ranges::fill(z, std::numeric_limits<T>::quiet_NaN());
    return std::numeric_limits<T>::quiet_NaN();
  }
  if (top == static_cast<T>(none)) {
    std::ranges::fill(z, T{0});
    return sums ? static_cast<T>(none) : T{0};
  }
  switch (normaliser) {
    case Normaliser::softmax: return softmax(z, top);
    case Normaliser::top_k: return top_k(z, k, top);
    case Normaliser::sparsemax: sparsemax(z, top); break;
    case Normaliser::entmax15: entmax15(z, top); break;
    case Normaliser::sigmoid: sigmoid(z); break;
  }
  return T{0};
}

template <class T>
void normalise_backward(Normaliser normaliser, std::span<const T> weights, std::span<T> d) {
  CHECK(weights.size() == d.size());
  double sum = 0, inner = 0;  // of the factors; of the factors with d
  const auto factor = [&](T p) {
    switch (normaliser) {
      case Normaliser::sparsemax: return static_cast<T>(p > 0);
      case Normaliser::entmax15: return std::sqrt(p);
      default: return p;
    }
  };
  if (normaliser == Normaliser::sigmoid) {
    for (std::size_t j = 0; j < d.size(); ++j) d[j] *= weights[j] * (1 - weights[j]);
    return;
  }
  if (normaliser == Normaliser::softmax || normaliser == Normaliser::top_k) {  // their factors sum to 1
    std::array<double, lanes> sums{};
    const T* p = weights.data();
    T* to = d.data();
    const std::size_t n = d.size(), whole = n - n % lanes;
    for (std::size_t j = 0; j < whole; j += lanes)
      for (std::size_t l = 0; l < lanes; ++l) sums[l] += static_cast<double>(p[j + l]) * static_cast<double>(to[j + l]);
    for (std::size_t j = whole; j < n; ++j) sums[0] += static_cast<double>(p[j]) * static_cast<double>(to[j]);
    const T mean = static_cast<T>(std::accumulate(sums.begin(), sums.end(), 0.0));
    for (std::size_t j = 0; j < n; ++j) to[j] = p[j] * (to[j] - mean);
    return;
  }
  for (std::size_t j = 0; j < d.size(); ++j) {
    const double f = static_cast<double>(factor(weights[j]));
    sum += f;
    inner += f * static_cast<double>(d[j]);
  }
  if (sum == 0) {
    std::ranges::fill(d, T{0});
    return;
  }
  const T mean = static_cast<T>(inner / sum);
  for (std::size_t j = 0; j < d.size(); ++j) d[j] = factor(weights[j]) * (d[j] - mean);
}

template float normalise(Normaliser, std::size_t, std::span<float>);
template double normalise(Normaliser, std::size_t, std::span<double>);
template void normalise_backward(Normaliser, std::span<const float>, std::span<float>);
template void normalise_backward(Normaliser, std::span<const double>, std::span<double>);

}  // namespace weir::attention
