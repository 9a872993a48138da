// The contract on real weights: a vector depends on its text, the model, the precision and the CPU row alone. Whatever else is in the batch, in whatever
// order, on however many threads, with the cache or without: the same bits; and int8-portable gives the same bits on every row. Texts of 1 to 512 tokens,
// on every row that runs here. WEIR_LONG=1 takes more texts on every row, and all of them alone. Skips where a model is not fetched.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "encode/encoder.h"
#include "encode/models.h"
#include "math/kernels.h"

namespace weir {
namespace {

Executor threads_of(std::size_t& n) {
  return {n,
          [](void* self, std::size_t pieces, void (*task)(void*, std::size_t, std::size_t), void* argument) {
            std::atomic<std::size_t> next = 0;
            std::vector<std::jthread> running;
            for (std::size_t worker = 0; worker < *static_cast<std::size_t*>(self); ++worker)
              running.emplace_back([&, worker] {
                for (std::size_t i; (i = next++) < pieces;) task(argument, i, worker);
              });
          },
          &n};
}

// A text of so many tokens, their specials among them; of more than there may be where `tokens` is the most. Words go in as long as they fit.
std::string text_of(const Encoder& encoder, std::size_t tokens, std::mt19937& random) {
  constexpr std::string_view words[] = {"the",   "bank", "rates", "新闻", "of", "unfathomable", "2,417", "goal",
                                        "météo", "C++",  "rain",  "天气", "a",  "vote",         "—"};
  std::string text;
  for (std::size_t have = encoder.tokenize("").size(), misses = 0; have < tokens && misses < 20;) {
    const std::string longer = text + std::string(words[random() % std::size(words)]) + " ";
    const std::size_t now = encoder.tokenize(longer).size();
    if (now > tokens) {
      ++misses;
      continue;
    }
    text = longer;
    have = now;
  }
  if (tokens == encoder.max_tokens()) text += text;
  return text;
}

class Contract : public testing::TestWithParam<std::tuple<const char*, std::string_view>> {
 protected:
  void TearDown() override { ::unsetenv("WEIR_CPU"); }
};

TEST_P(Contract, OneTextHasOneVector) {
  const auto& [model, name] = GetParam();
  if (!find_model(model)) GTEST_SKIP() << "the model " << model << " is not here: weir model fetch " << model;
  math::Row row = math::Row::scalar;
  for (const math::Row r : math::all_rows)
    if (math::to_string(r) == name) row = r;
  if (math::kernels(row) == nullptr) GTEST_SKIP() << "this CPU has no " << name;
  const bool longer = std::getenv("WEIR_LONG") != nullptr, slow = row == math::Row::scalar, large = model == std::string("e5-small");
  bool few = !longer && (slow || (large && row != math::best_row()));
  if (!longer && slow && large) GTEST_SKIP() << "a minute: with WEIR_LONG=1";
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  if (row != math::best_row()) GTEST_SKIP() << "not an optimised build";
  few = true;
#endif

  std::mt19937 random(11);
  std::vector<std::string> texts;
  std::vector<float> portable;  // what the best row says
  {
    const auto encoder = Encoder::load(model, {.precision = Precision::int8_portable, .cache = 0});
    ASSERT_TRUE(encoder) << encoder.error().text();
    // Around what kernels and batches are cut by (16, 32, 256, 512), and between. A batch of 257 tokens and more takes another way through the transformer.
    std::vector<std::size_t> lengths = {3, 8, 17};
    if (!few && slow) lengths.insert(lengths.end(), {33, 65, 129, 257});
    else if (!few) lengths.insert(lengths.end(), {33, 4, 5, 15, 16, 31, 32, 65, 129, 255, 256, 257, 512});
    for (int i = 0; longer && !few && !slow && i < 40; ++i) lengths.push_back(3 + random() % 510);
    std::erase_if(lengths, [&](std::size_t n) { return n > encoder->max_tokens() || n <= encoder->tokenize("").size(); });
    for (const std::size_t n : lengths) {
      texts.push_back(text_of(*encoder, n, random));
      ASSERT_EQ(encoder->tokenize(texts.back()).size(), n);
    }
    texts.emplace_back();  // no token of its own: no vector
    portable = encoder->encode(std::vector<std::string_view>(texts.begin(), texts.end())).values;
  }
  const std::vector<std::string_view> all(texts.begin(), texts.end());
  ::setenv("WEIR_CPU", std::string(name).c_str(), 1);
  for (const Precision precision : {Precision::f32, Precision::bf16, Precision::int8, Precision::int8_portable}) {
    const std::string what = fmt::format("{} {} {}", model, name, to_string(precision));
    const auto encoder = Encoder::load(model, {.precision = precision, .cache = 0});
    ASSERT_TRUE(encoder);
    const Matrix together = encoder->encode(all);
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(Encoder::has_vector(together.row(i)), !all[i].empty()) << what;
    if (precision == Precision::int8_portable) { EXPECT_EQ(together.values, portable) << what; }
    for (std::size_t n : {2, 3}) EXPECT_EQ(encoder->encode(all, threads_of(n)).values, together.values) << what << " " << n << " threads";
    for (std::size_t i = 0; i < all.size(); i += longer ? 1 : 2) {
      std::size_t n = 1 + i / 2 % 3;
      EXPECT_TRUE(std::ranges::equal(encoder->encode({&all[i], 1}, threads_of(n)).row(0), together.row(i)))
          << what << ", alone on " << n << " threads, " << encoder->tokenize(all[i]).size() << " tokens";
    }
    std::vector<std::size_t> order(all.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::shuffle(order, random);
    std::vector<std::string_view> shuffled;
    for (const std::size_t i : order) shuffled.push_back(all[i]);
    const Matrix other = encoder->encode(shuffled);
    for (std::size_t j = 0; j < order.size(); ++j)
      EXPECT_TRUE(std::ranges::equal(other.row(j), together.row(order[j]))) << what << ", another order, text " << order[j];
    if (!longer && (precision != Precision::int8 || slow)) continue;
    const auto cached = Encoder::load(model, {.precision = precision, .cache = 64});
    ASSERT_TRUE(cached);
    EXPECT_EQ(cached->encode(shuffled).values, other.values) << what << " into the cache";
    EXPECT_EQ(cached->encode(all).values, together.values) << what << " from the cache";
    EXPECT_EQ(cached->cache_stats().hits, all.size() - 1) << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Contract,
                         testing::Combine(testing::Values("minilm", "e5-small"),
                                          testing::Values("scalar", "avx2", "avx2-vnni", "avx512", "avx512-bf16", "amx", "neon")),
                         [](const auto& test) {
                           std::string name = std::get<0>(test.param) + std::string("_") + std::string(std::get<1>(test.param));
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace weir
