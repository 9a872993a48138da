// What time_decayed promises beyond the properties of every form: what age, importance and the target of effective keys mean.
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

template <class T>
double effective(std::span<const T> weights) {
  double entropy = 0;
  for (const T w : weights)
    if (w > 0) entropy -= static_cast<double>(w) * std::log(static_cast<double>(w));
  return std::exp(entropy);
}

template <class T>
void meets_targets(double error) {
  std::mt19937_64 random(1);
  for (const double spread : {0.01, 1.0, 30.0})
    for (const double target : {1.5, 3.0, 7.25, 19.0}) {
      const Array<T> q = normal<T>(random, 6, 16, spread), k = normal<T>(random, 20, 16), v = normal<T>(random, 20, 4);
      std::vector<T> age(20);
      for (T& a : age) a = static_cast<T>(random() % 1000);
      const auto seen = forward<T>({.form = Form::time_decayed, .heads = 2, .tau = 500, .effective_keys = target}, {}, {.q = q, .k = k, .v = v, .age = age},
                                   {.weights = true});
      ASSERT_TRUE(seen) << seen.error().text();
      ASSERT_EQ(seen->temperature.size(), 12U);
      for (std::size_t r = 0; r < 12; ++r) {
        EXPECT_NEAR(effective<T>(seen->weights.row(r)) / target, 1, error) << spread << " " << target;
        EXPECT_GT(seen->temperature[r], T{0});
      }
    }
}
TEST(TimeDecayed, EveryRowMeetsItsTarget) {
  meets_targets<double>(1e-8);
  meets_targets<float>(1e-4);
}

// Two equal greatest logits cannot be told apart, and three keys are at most three.
TEST(TimeDecayed, ATargetOutOfReachGetsTheNearest) {
  Array<double> q(1, 1), k(4, 1), v(4, 1);
  q.values = {1};
  k.values = {2, 2, 1, 0};
  v.values = {1, 1, 0, 0};
  const std::vector<std::uint8_t> keys{1, 1, 1, 0};
  const auto run = [&](double target, std::span<const std::uint8_t> there) {
    return forward<double>({.form = Form::time_decayed, .effective_keys = target}, {}, {.q = q, .k = k, .v = v, .mask = {.keys = there}}, {.weights = true})
        .value();
  };
  EXPECT_NEAR(effective<double>(run(1, {}).weights.row(0)), 2, 1e-5);
  EXPECT_NEAR(effective<double>(run(4, keys).weights.row(0)), 3, 1e-5);
  EXPECT_EQ(run(4, keys).weights.row(0)[3], 0);
  k.values = {1, 1, 1, 1};
  EXPECT_NEAR(effective<double>(run(2, {}).weights.row(0)), 4, 1e-12);
}

TEST(TimeDecayed, WhatAgeAndImportanceMean) {
  std::mt19937_64 random(2);
  const Array<double> q = normal(random, 1, 4), one = normal(random, 1, 4);
  Array<double> k(2, 4), v(2, 2);
  for (std::size_t j = 0; j < 2; ++j) std::ranges::copy(one.row(0), k.row(j).begin());
  v.values = {1, 0, 0, 1};
  const Settings settings{.form = Form::time_decayed, .tau = 3600};
  const auto weights = [&](std::vector<double> age, std::vector<double> importance) {
    const auto seen = forward<double>(settings, {}, {.q = q, .k = k, .v = v, .age = age, .importance = importance}, {.weights = true});
    EXPECT_TRUE(seen);
    return seen->weights.values;
  };
  const std::vector<double> hour = weights({0, 3600}, {}), twice = weights({5, 5}, {2, 1});
  EXPECT_NEAR(hour[0] / hour[1], std::exp(1.0), 1e-12);
  EXPECT_NEAR(twice[0] / twice[1], 2, 1e-12);
  const std::vector<double> later = weights({7200, 10'800}, {});  // time passes for all alike
  EXPECT_NEAR(later[0], hour[0], 1e-12);
}

// Queries of any length give the same weights where the temperature follows: their gradient has no part along them. Held fixed, it does.
TEST(TimeDecayed, TheGradientFollowsTheChosenTemperature) {
  std::mt19937_64 random(3);
  const Array<double> q = normal(random, 1, 4), k = normal(random, 5, 4), v = normal(random, 5, 2), d = normal(random, 1, 2);
  Settings settings{.form = Form::time_decayed, .effective_keys = 2.5};
  const Input<double> input{.q = q, .k = k, .v = v};
  const auto along_q = [&] {
    const auto seen = forward<double>(settings, {}, input);
    const auto g = backward<double>(settings, {}, input, *seen, d);
    EXPECT_TRUE(g);
    double sum = 0, size = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      sum += g->q.values[i] * q.values[i];
      size += std::fabs(g->q.values[i] * q.values[i]);
    }
    EXPECT_EQ(g->temperature == 0, settings.effective_keys != 0);
    return sum / size;
  };
  const double chosen = forward<double>(settings, {}, input)->temperature[0];
  EXPECT_NEAR(along_q(), 0, 1e-9);
  settings.effective_keys = 0;
  settings.temperature = chosen;
  EXPECT_GT(std::fabs(along_q()), 1e-3);
}

TEST(TimeDecayed, AStreamHasNoTarget) {
  const Array<double> q(1, 4);
  const auto stream = start_stream<double>({.form = Form::time_decayed, .effective_keys = 2}, {}, 4, 2, q);
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, Code::invalid);
  EXPECT_NE(stream.error().message.find("expected no effective_keys over a stream"), std::string::npos) << stream.error().message;
}

TEST(TimeDecayed, AStreamOfAYearStaysExact) {
  std::mt19937_64 random(4);
  const Array<float> q = normal<float>(random, 1, 8);
  auto stream = start_stream<float>({.form = Form::time_decayed, .tau = 86'400}, {}, 8, 2, q);
  ASSERT_TRUE(stream) << stream.error().text();
  const std::size_t n = 20'000, last = 1500;  // a key every half hour: the last month
  Array<float> k = normal<float>(random, n, 8), v = normal<float>(random, n, 2);
  for (std::size_t i = 0; i < n; ++i) ASSERT_TRUE(push<float>(*stream, k.row(i), v.row(i), 1800, 1));
  std::vector<float> age(last);
  for (std::size_t j = 0; j < last; ++j) age[j] = 1800.0F * static_cast<float>(last - 1 - j);
  const auto batch = forward<float>(stream->settings, {}, {.q = q, .k = {k.row(n - last).data(), last, 8}, .v = {v.row(n - last).data(), last, 2}, .age = age});
  const auto out = ask<float>(*stream, {});
  ASSERT_TRUE(batch && out);
  for (std::size_t c = 0; c < 2; ++c) EXPECT_NEAR((*out)[c], batch->out.values[c], 2e-5);
}

}  // namespace
}  // namespace weir::attention
