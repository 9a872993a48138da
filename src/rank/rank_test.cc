#include "rank/rank.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>

#include "rank/parts.h"

namespace weir::rank {
namespace {

using namespace std::chrono_literals;

const Time now = *parse_rfc3339("2026-11-24T12:00:00Z");

// Items of a few topics in d dimensions, with a mean that all share, and a reader who likes the first topic.
struct World {
  std::size_t d;
  std::mt19937 random;
  std::vector<float> mean;
  std::vector<std::vector<float>> vectors;
  std::vector<Past> history;
  std::vector<Candidate> candidates;
  Options options;

  World(std::size_t dimensions, std::size_t past, std::size_t ahead, unsigned seed) : d(dimensions), random(seed) {
    options.dimensions = d;
    mean.assign(d, 0.3f);
    std::vector<std::vector<float>> topics;
    for (int t = 0; t < 4; ++t) topics.push_back(noise(1));
    for (std::size_t i = 0; i < past + ahead; ++i) {
      auto v = noise(0.7f);
      for (std::size_t k = 0; k < d; ++k) v[k] += topics[i % 4][k] + mean[k];
      vectors.push_back(std::move(v));
    }
    for (std::size_t i = 0; i < past; ++i)
      history.push_back({std::to_string(i),
                         "title " + std::to_string(i),
                         SourceId{static_cast<std::int64_t>(1 + random() % 3)},
                         i % 4 == 0 ? 1.0 : (i % 2 ? -0.3 : -1.0),
                         static_cast<std::int64_t>(i + 1),
                         {vectors[i], mean}});
    for (std::size_t i = 0; i < ahead; ++i)
      candidates.push_back({ItemId{static_cast<std::int64_t>(i + 1)},
                            SourceId{static_cast<std::int64_t>(1 + random() % 4)},
                            now - 1h * static_cast<int>(random() % 48),
                            {vectors[past + i], mean}});
  }

  std::vector<float> noise(float size) {
    std::normal_distribution<float> normal(0, size);
    std::vector<float> out(d);
    for (float& v : out) v = normal(random);
    return out;
  }
};

double sum(const std::vector<Cause>& causes) {
  double out = 0;
  for (const Cause& cause : causes) out += cause.value;
  return out;
}

double value_of(const Score& score, std::string_view name) {  // a part that is not there says 0
  for (const Part& part : score.parts)
    if (part.name == name) return part.value;
  return 0;
}

void same_scores(const Model& a, const Model& b, const World& world, double within) {
  for (const Candidate& candidate : world.candidates) {
    const Score x = a.score(candidate, now), y = b.score(candidate, now);
    for (const PartRow& row : parts()) RC_ASSERT(std::abs(value_of(x, row.name) - value_of(y, row.name)) <= within);
  }
}

World any_world() { return World(*rc::gen::inRange<std::size_t>(1, 40), *rc::gen::inRange<std::size_t>(0, 60), 8, *rc::gen::arbitrary<unsigned>()); }

TEST(Rank, PartsSumToTheScoreAndCausesToTheirPart) {
  EXPECT_TRUE(rc::check([] {
    const World world = any_world();
    const Model model = Model::fit(world.history, world.options);
    for (const Candidate& candidate : world.candidates) {
      const Score score = model.explain(candidate, now, world.history, SIZE_MAX);
      RC_ASSERT(holds(score));
      RC_ASSERT(score.enough == (world.history.size() >= 10));
      for (const Part& part : score.parts)
        if (part.name != "recency") RC_ASSERT(std::abs(sum(part.from) - part.value) <= 1e-9);
      RC_ASSERT(score.value == model.score(candidate, now).value);
      RC_ASSERT(score.value == order(model, std::span(&candidate, 1), now)[0].value);
    }
  }));
}

TEST(Rank, TheOrderOfTheHistoryDoesNotMatter) {
  EXPECT_TRUE(rc::check([] {
    World world = any_world();
    const Model model = Model::fit(world.history, world.options);
    std::shuffle(world.history.begin(), world.history.end(), world.random);
    same_scores(model, Model::fit(world.history, world.options), world, 0);
  }));
}

TEST(Rank, ASignalWithoutStrengthChangesNothing) {
  EXPECT_TRUE(rc::check([] {
    World world = any_world();
    const Model model = Model::fit(world.history, world.options);
    Model other = model;
    Past nothing{"x", "x", SourceId{1}, 0, 0, {world.vectors[0], world.mean}};
    other.add(nothing);
    same_scores(model, other, world, 0);
    world.history.push_back(nothing);
    same_scores(model, Model::fit(world.history, world.options), world, 0);
  }));
}

// Taking any signal away is the refit that never saw it: "without your click on item i" is a fact, and forgetting is exact.
TEST(Rank, RemovingASignalIsTheFitWithoutIt) {
  EXPECT_TRUE(rc::check([] {
    World world = any_world();
    RC_PRE(world.history.size() >= 2);
    Model model = Model::fit(world.history, world.options);
    const std::size_t i = *rc::gen::inRange<std::size_t>(0, world.history.size() - 1);  // not the newest: it says what weighs 1
    const Past gone = world.history[i];
    model.remove(gone);
    world.history.erase(world.history.begin() + static_cast<std::ptrdiff_t>(i));
    const Model refit = Model::fit(world.history, world.options);
    RC_ASSERT(model.signals() == refit.signals());
    same_scores(model, refit, world, 1e-9);
    model.add(gone);
    world.history.push_back(gone);
    same_scores(model, Model::fit(world.history, world.options), world, 1e-9);
  }));
}

// The leave-one-out identity of ridge, algorithms' identity 4 with weights: θ₋ᵢ = θ − A⁻¹xᵢ wᵢrᵢ / (1 − wᵢhᵢ), against the normal equations solved anew.
TEST(Rank, TheRidgeIsTheSolutionOfItsNormalEquations) {
  World world(12, 40, 8, 7);
  world.options.blend = 1e-9;  // all ridge
  world.options.forget = 1;
  const Model model = Model::fit(world.history, world.options);
  const std::size_t d = world.d;
  std::vector<std::vector<double>> a(d, std::vector<double>(d + 1, 0.0));  // [A | b]
  for (std::size_t i = 0; i < d; ++i) a[i][i] = world.options.lambda;
  std::vector<double> x;
  double yes = 0, all = 4;  // the mean opinion is shrunk by four
  for (const Past& past : world.history) {
    yes += past.strength;
    all += std::abs(past.strength);
  }
  for (const Past& past : world.history) {
    ASSERT_TRUE(unit(past.embedding, d, x));
    for (std::size_t i = 0; i < d; ++i) {
      for (std::size_t j = 0; j < d; ++j) a[i][j] += std::abs(past.strength) * x[i] * x[j];
      a[i][d] += std::abs(past.strength) * ((past.strength > 0 ? 1 : -1) - yes / all) * x[i];
    }
  }
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t k = 0; k < d; ++k)
      if (k != i) {
        const double f = a[k][i] / a[i][i];
        for (std::size_t j = i; j <= d; ++j) a[k][j] -= f * a[i][j];
      }
  std::vector<double> theta(d);
  for (std::size_t i = 0; i < d; ++i) theta[i] = a[i][d] / a[i][i];
  const double n = 40, gain = 6 * n / (n + 20) / std::sqrt(dot(theta, theta));
  for (const Candidate& candidate : world.candidates) {
    ASSERT_TRUE(unit(candidate.embedding, d, x));
    double taste = 0;
    for (const Part& part : model.score(candidate, now).parts)
      if (part.name.starts_with("taste")) taste += part.value;
    EXPECT_NEAR(taste, gain * dot(theta, x), 1e-8);
  }
}

TEST(Rank, LearnsWhatTheReaderLikes) {
  World world(64, 40, 400, 3);
  for (Candidate& candidate : world.candidates) candidate.at = now;
  const auto ranked = order(Model::fit(world.history, world.options), world.candidates, now);
  int good = 0;
  for (int i = 0; i < 50; ++i) good += ranked[static_cast<std::size_t>(i)].index % 4 == 0;  // 40 past items: candidate i is of topic i mod 4
  EXPECT_GE(good, 48);
}

TEST(Rank, SeveralSignalsAboutOneItemAreOneCause) {
  World world(16, 20, 8, 4);
  for (std::size_t i = 10; i < 20; ++i) world.history[i] = world.history[i - 10];  // each of ten items twice
  const Model model = Model::fit(world.history, world.options);
  for (const Part& part : model.explain(world.candidates[0], now, world.history, SIZE_MAX).parts) {
    std::set<std::string> items;
    for (const Cause& cause : part.from) EXPECT_TRUE(items.insert(cause.item).second) << part.name << " names " << cause.item << " twice";
    if (part.name != "recency") { EXPECT_NEAR(sum(part.from), part.value, 1e-9); }
  }
  for (const Part& part : model.explain(world.candidates[0], now, world.history, 3).parts) EXPECT_LE(part.from.size(), 3U);
}

TEST(Rank, BelowTenSignalsOnlyRecencyAndSource) {
  World world(16, 9, 8, 4);
  Model model = Model::fit(world.history, world.options);
  const Score few = model.score(world.candidates[0], now);
  EXPECT_FALSE(few.enough);
  EXPECT_EQ(few.signals, 9);
  for (const Part& part : few.parts) EXPECT_TRUE(part.name == "recency" || part.name == "source") << part.name;
  model.add(Past{"9", "", SourceId{1}, 1, 10, {world.vectors[9], world.mean}});
  const Score many = model.score(world.candidates[0], now);
  EXPECT_TRUE(many.enough);
  EXPECT_TRUE(std::ranges::any_of(many.parts, [](const Part& part) { return part.name == "taste.like"; }));
}

TEST(Rank, ADayHalvesTheOddsAndTheFutureIsNow) {
  const Model model = Model::fit({});
  Candidate candidate{ItemId{1}, SourceId{1}, now - 24h, {}};
  EXPECT_NEAR(model.score(candidate, now).value, -std::log(2.0), 1e-12);
  candidate.at = now + 240h;
  EXPECT_EQ(model.score(candidate, now).value, 0);
}

TEST(Rank, NotEncodedYetIsScoredAndNotANumberIsNot) {
  World world(16, 20, 3, 5);
  const Model model = Model::fit(world.history, world.options);
  world.candidates[0].embedding = {};
  std::vector<float> bad(16, 1.0f), other_size(8, std::numeric_limits<float>::infinity());
  bad[3] = std::numeric_limits<float>::quiet_NaN();
  world.candidates[1].embedding.vector = bad;
  world.candidates[2].embedding.vector = other_size;
  EXPECT_TRUE(std::isfinite(model.score(world.candidates[0], now).value));
  for (const std::size_t i : {std::size_t{1}, std::size_t{2}}) {
    const Score score = model.score(world.candidates[i], now);
    EXPECT_TRUE(std::isnan(score.value));
    EXPECT_TRUE(holds(score));
  }
  const auto ranked = order(model, world.candidates, now);
  EXPECT_EQ(ranked[0].index, 0u);
  EXPECT_EQ(ranked[1].index, 1u);
  EXPECT_EQ(ranked[2].index, 2u);
  Model poisoned = model;
  poisoned.add(Past{"x", "", SourceId{1}, 1, 21, {bad, world.mean}});  // counts as a signal, not as taste
  EXPECT_TRUE(std::isfinite(poisoned.score(Candidate{ItemId{1}, SourceId{9}, now, {world.vectors[0], world.mean}}, now).value));
}

TEST(Rank, TiesGoToTheNewerThenTheSmallerId) {
  const Model model = Model::fit({});
  const std::vector<Candidate> same{{ItemId{3}, {}, now + 1h, {}}, {ItemId{2}, {}, now, {}}, {ItemId{7}, {}, now, {}}, {ItemId{1}, {}, now - 1h, {}}};
  const auto ranked = order(model, same, now, 3);
  ASSERT_EQ(ranked.size(), 3u);
  EXPECT_EQ(same[ranked[0].index].id.value, 2);
  EXPECT_EQ(same[ranked[1].index].id.value, 3);
  EXPECT_EQ(same[ranked[2].index].id.value, 7);
}

TEST(Rank, AHistoryThatIsNotTheModelsExplainsNothing) {
  World world(16, 30, 1, 6);
  const Model model = Model::fit(world.history, world.options);
  world.history.pop_back();
  const Score score = model.explain(world.candidates[0], now, world.history, 3);
  EXPECT_TRUE(holds(score));
  for (const Part& part : score.parts)
    if (part.name == "taste.dislike") { EXPECT_TRUE(part.from.empty()); }
}

TEST(Rank, HoldsSeesASumThatIsOff) {
  World world(16, 30, 1, 6);
  Score score = Model::fit(world.history, world.options).score(world.candidates[0], now);
  EXPECT_TRUE(holds(score));
  score.parts[0].value += 2e-5;
  EXPECT_FALSE(holds(score));
}

TEST(Rank, StateStaysBelowAMegabyte) {
  World world(384, 100, 1, 8);
  EXPECT_LE(Model::fit(world.history, world.options).bytes(), std::size_t{1} << 20);
}

}  // namespace
}  // namespace weir::rank
