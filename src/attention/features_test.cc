// What linear and performer promise beyond the properties of every form (properties_test.cc): the explicit weights they stand for, what forgetting means
// over a long stream, and what the random features of performer are on average.
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "attention/attention.h"

namespace weir::attention {
namespace {

template <class T = double>
Array<T> normal(std::mt19937_64& random, std::size_t rows, std::size_t columns, double scale = 1) {
  std::normal_distribution<double> draw(0, scale);
  Array<T> a(rows, columns);
  for (T& x : a.values) x = static_cast<T>(draw(random));
  return a;
}

double product(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(Linear, IsItsExplicitWeights) {
  std::mt19937_64 random(1);
  const std::size_t t = 23, d = 5, dv = 3;
  const Array<double> q = normal(random, t, d), k = normal(random, t, d), v = normal(random, t, dv);
  for (const double decay : {1.0, 0.9, 0.3}) {
    const Settings settings{.form = Form::linear, .decay = decay};
    const auto seen = forward<double>(settings, {}, {.q = q, .k = k, .v = v, .mask = {.causal = true}}, {.weights = true});
    ASSERT_TRUE(seen) << seen.error().text();
    const auto phi = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
    for (std::size_t i = 0; i < t; ++i) {
      std::vector<double> weight(t);
      double sum = 0;
      for (std::size_t j = 0; j <= i; ++j) {
        for (std::size_t c = 0; c < d; ++c) weight[j] += phi(q.row(i)[c]) * phi(k.row(j)[c]);
        weight[j] *= std::pow(decay, static_cast<double>(i - j));
        sum += weight[j];
      }
      for (std::size_t c = 0; c < dv; ++c) {
        double out = 0;
        for (std::size_t j = 0; j <= i; ++j) out += weight[j] / sum * v.row(j)[c];
        EXPECT_NEAR(seen->out.row(i)[c], out, 1e-13);
      }
      for (std::size_t j = 0; j < t; ++j) EXPECT_NEAR(seen->weights.row(i)[j], weight[j] / sum, 1e-13);
    }
  }
}

TEST(Linear, DecayNeedsCausal) {
  std::mt19937_64 random(1);
  const Array<double> x = normal(random, 4, 2);
  const auto seen = forward<double>({.form = Form::linear, .decay = 0.5}, {}, {.q = x, .k = x, .v = x});
  ASSERT_FALSE(seen);
  EXPECT_EQ(seen.error().code, Code::invalid);
}

// γ^100,000 is far below the least float: the state must not fade with it, nor keep what is forgotten.
TEST(Linear, ALongStreamStaysExact) {
  std::mt19937_64 random(2);
  auto stream = start_stream<float>({.form = Form::linear, .decay = 0.9}, {}, 4, 2);
  ASSERT_TRUE(stream);
  const std::size_t long_ago = 100'000, last = 400;  // 0.9^400 ≈ 5e-19
  for (std::size_t i = 0; i < long_ago; ++i) {
    const Array<float> k = normal<float>(random, 1, 4), v = normal<float>(random, 1, 2, 1000);
    ASSERT_TRUE(push<float>(*stream, k.values, v.values));
  }
  const Array<float> q = normal<float>(random, last, 4), k = normal<float>(random, last, 4), v = normal<float>(random, last, 2);
  for (std::size_t i = 0; i < last; ++i) ASSERT_TRUE(push<float>(*stream, k.row(i), v.row(i)));
  const auto batch = forward<float>(stream->settings, {}, {.q = q, .k = k, .v = v, .mask = {.causal = true}});
  const auto out = ask<float>(*stream, q.row(last - 1));
  ASSERT_TRUE(batch && out);
  for (std::size_t c = 0; c < 2; ++c) EXPECT_NEAR((*out)[c], batch->out.row(last - 1)[c], 1e-5);
}

struct Estimate {
  double mean = 0, variance = 0;
};
// ⟨φ(q), φ(k)⟩ over many draws, of features that are orthogonal in blocks or (each in a block of its own) are not.
Estimate estimate(std::span<const double> q, std::span<const double> k, std::size_t features, bool orthogonal, int draws) {
  double sum = 0, squares = 0;
  for (int n = 0; n < draws; ++n) {
    double value = 0;
    Array<double> omega(features, q.size());
    const Settings settings{.form = Form::performer, .model = q.size(), .features = orthogonal ? features : 1};
    for (std::size_t r = 0; r < features; r += settings.features) {
      const auto p = initialise<double>(settings, static_cast<std::uint64_t>(n) * 1000 + r);
      std::copy_n((*p)[0].value.values.begin(), settings.features * q.size(), omega.row(r).begin());
    }
    for (std::size_t r = 0; r < features; ++r)
      value += std::exp(product(omega.row(r), q) + product(omega.row(r), k) - product(q, q) / 2 - product(k, k) / 2) / static_cast<double>(features);
    sum += value;
    squares += value * value;
  }
  return {sum / draws, squares / draws - sum / draws * (sum / draws)};
}

TEST(Performer, FeaturesAreUnbiasedAndOrthogonalOnesVaryLess) {
  std::mt19937_64 random(3);
  for (int pair = 0; pair < 4; ++pair) {
    const Array<double> q = normal(random, 1, 8, 0.4), k = normal(random, 1, 8, 0.4);
    const double exact = std::exp(product(q.row(0), k.row(0)));
    const int draws = 4000;
    const Estimate orthogonal = estimate(q.row(0), k.row(0), 8, true, draws), independent = estimate(q.row(0), k.row(0), 8, false, draws);
    EXPECT_NEAR(orthogonal.mean, exact, 4 * std::sqrt(orthogonal.variance / draws));
    EXPECT_NEAR(independent.mean, exact, 4 * std::sqrt(independent.variance / draws));
    EXPECT_LT(orthogonal.variance, independent.variance);
  }
}

TEST(Performer, RowsOfABlockAreOrthogonalAndTheSeedDecides) {
  const Settings settings{.form = Form::performer, .model = 6, .features = 15};
  const auto a = initialise<double>(settings, 1), b = initialise<double>(settings, 1), c = initialise<double>(settings, 2);
  ASSERT_TRUE(a && b && c);
  EXPECT_EQ((*a)[0].value.values, (*b)[0].value.values);
  EXPECT_NE((*a)[0].value.values, (*c)[0].value.values);
  const Array<double>& omega = (*a)[0].value;
  for (std::size_t r = 0; r < 15; ++r)
    for (std::size_t s = r / 6 * 6; s < r; ++s) EXPECT_NEAR(product(omega.row(r), omega.row(s)), 0, 1e-12);
}

TEST(Performer, NearsSoftmaxWithMoreFeatures) {
  std::mt19937_64 random(4);
  const Array<double> q = normal(random, 6, 8, 0.5), k = normal(random, 9, 8, 0.5), v = normal(random, 9, 3);
  const auto exact = forward<double>({.form = Form::dot_product}, {}, {.q = q, .k = k, .v = v});
  ASSERT_TRUE(exact);
  double before = 1e9;
  for (const std::size_t features : {16, 256, 4096}) {
    const Settings settings{.form = Form::performer, .model = 8, .features = features};
    double error = 0;
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
      const auto parameters = initialise<double>(settings, seed);
      const auto seen = forward<double>(settings, *parameters, {.q = q, .k = k, .v = v});
      ASSERT_TRUE(seen) << seen.error().text();
      for (std::size_t i = 0; i < seen->out.values.size(); ++i) error += std::fabs(seen->out.values[i] - exact->out.values[i]);
    }
    error /= 8 * static_cast<double>(exact->out.values.size());
    EXPECT_LT(error, before / 2);  // 16 times the features: a quarter of the error, on average
    before = error;
  }
  EXPECT_LT(before, 0.03);
}

// Norms whose e^|x|² no float holds.
TEST(Performer, LargeKeysNeitherOverflowNorVanish) {
  std::mt19937_64 random(5);
  const Settings settings{.form = Form::performer, .model = 8, .features = 64};
  const auto parameters = initialise<float>(settings, 1);
  const Array<float> q = normal<float>(random, 5, 8), v = normal<float>(random, 7, 3);
  Array<float> k = normal<float>(random, 7, 8);
  for (float& x : k.row(6)) x *= 40;
  for (const bool causal : {false, true}) {
    const auto seen = forward<float>(settings, *parameters, {.q = q, .k = k, .v = v, .mask = {.causal = causal}}, {.weights = true});
    ASSERT_TRUE(seen) << seen.error().text();
    for (std::size_t i = 0; i < 5; ++i) {
      double sum = 0;
      for (const float w : seen->weights.row(i)) sum += static_cast<double>(w);
      EXPECT_NEAR(sum, 1, 1e-5);
    }
  }
}

}  // namespace
}  // namespace weir::attention
