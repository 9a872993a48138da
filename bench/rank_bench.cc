// weir_rank_bench: what a signal, a page of candidates and an explanation cost at d = 384, and how large a reader's model is. Vectors are random: no cost
// depends on their values.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <random>
#include <vector>

#include "rank/rank.h"

int main() {
  using namespace weir;
  constexpr std::size_t d = 384, past = 1'000, ahead = 10'000;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<std::vector<float>> vectors(past + ahead, std::vector<float>(d));
  for (auto& vector : vectors)
    for (float& v : vector) v = normal(random);
  const std::vector<float> mean(d, 0.1f);
  const Time now = from_micros(1'700'000'000'000'000);
  std::vector<rank::Past> history;
  for (std::size_t i = 0; i < past; ++i)
    history.push_back(
        {std::to_string(i), "title", SourceId{static_cast<std::int64_t>(1 + i % 50)}, i % 3 ? 1.0 : -1.0, static_cast<std::int64_t>(i), {vectors[i], mean}});
  std::vector<rank::Candidate> candidates;
  for (std::size_t i = 0; i < ahead; ++i)
    candidates.push_back(
        {ItemId{static_cast<std::int64_t>(i + 1)}, SourceId{static_cast<std::int64_t>(1 + i % 60)}, now - std::chrono::minutes(i), {vectors[past + i], mean}});
  const auto ms = [](int repeats, auto&& work) {
    std::vector<double> times;
    for (int i = 0; i < repeats; ++i) {
      const auto start = std::chrono::steady_clock::now();
      work();
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::ranges::nth_element(times, times.begin() + repeats / 2);
    return times[static_cast<std::size_t>(repeats / 2)];
  };
  rank::Model model;
  for (const std::size_t n : {std::size_t{30}, std::size_t{300}, past})
    std::printf("fit of %zu signals %.1f ms\n", n, ms(5, [&] { model = rank::Model::fit(std::span(history).first(n)); }));
  std::printf("state %zu bytes\n", model.bytes());
  rank::Past one = history[0];
  one.order = static_cast<std::int64_t>(past);
  std::printf("a signal more and taken back %.3f ms\n", ms(101, [&] {
                model.add(one);
                model.remove(one);
              }));
  double sum = 0;
  std::printf("order of %zu candidates %.1f ms\n", ahead, ms(11, [&] { sum += rank::order(model, candidates, now)[0].value; }));
  std::printf("explanation over %zu past items %.3f ms\n", past, ms(51, [&] { sum += model.explain(candidates[0], now, history).value; }));
  return sum == 0;
}
