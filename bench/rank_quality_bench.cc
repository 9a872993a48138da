// weir_rank_quality_bench FILE [TOPICS]: how well taste orders unseen items after n signals. FILE: items as JSON lines with a label (`tags`, the first) and a vector, as
// `weir encode` prints them. Sixty pseudo-readers, each interested in TOPICS (3) of the labels; three in ten of the items they saw are of those, liked with
// probability .85, the others with .04. AUC over held-out items, noise-free, mean of the readers and its 95 % interval by bootstrap over readers. Rocchio,
// ridge, and the blend, one run.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/json.h"
#include "rank/rank.h"

using namespace weir;

namespace {

struct Row {
  int label = 0;
  std::vector<float> vector;
};

std::vector<Row> read(const char* path) {
  std::vector<Row> out;
  std::map<std::string, int, std::less<>> labels;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto value = parse_json(line);
    const json::object* object = value ? value->if_object() : nullptr;
    const json::array* tags = object ? find_array(*object, "tags") : nullptr;
    const json::object* ours = object ? find_object(*object, "_weir") : nullptr;
    const json::array* vector = ours ? find_array(*ours, "vector") : nullptr;
    if (!tags || tags->empty() || !(*tags)[0].is_string() || !vector) continue;
    Row row{labels.try_emplace(std::string((*tags)[0].get_string()), static_cast<int>(labels.size())).first->second, {}};
    for (const json::value& v : *vector) row.vector.push_back(static_cast<float>(v.to_number<double>()));
    out.push_back(std::move(row));
  }
  return out;
}

// Mann & Whitney: the share of (good, bad) pairs in the right order.
double auc(std::vector<std::pair<double, bool>> scored) {
  std::ranges::sort(scored);
  double bad = 0, right = 0, good = 0;
  for (const auto& [score, is_good] : scored) {
    if (is_good) right += bad, good += 1;
    else bad += 1;
  }
  return good * bad > 0 ? right / (good * bad) : 0.5;
}

}  // namespace

int main(int argc, char** argv) {
  const int topics = argc == 3 ? std::atoi(argv[2]) : 3;
  if (argc < 2 || argc > 3 || topics < 1) return std::fputs("usage: weir_rank_quality_bench FILE [TOPICS]\n", stderr), 2;
  const std::vector<Row> rows = read(argv[1]);
  if (rows.size() < 1'000) return std::fputs("needs 1,000 labelled vectors or more\n", stderr), 1;
  const std::size_t d = rows[0].vector.size();
  int labels = 0;
  std::vector<float> mean(d, 0.0f);
  for (const Row& row : rows) {
    labels = std::max(labels, row.label + 1);
    for (std::size_t i = 0; i < d; ++i) mean[i] += row.vector[i] / static_cast<float>(rows.size());
  }
  std::printf("%zu items, %d labels, %d of them liked, d = %zu\n", rows.size(), labels, topics, d);
  const std::pair<const char*, double> models[] = {{"rocchio", 1e12}, {"ridge", 1e-9}, {"blend", rank::Options().blend}};
  for (const std::size_t n : {10, 30, 100, 300})
    for (const auto& [name, blend] : models) {
      std::vector<double> readers;
      for (unsigned reader = 0; reader < 60; ++reader) {
        std::mt19937 random(reader);
        std::vector<int> of(static_cast<std::size_t>(labels));
        for (int i = 0; i < labels; ++i) of[static_cast<std::size_t>(i)] = i;
        std::ranges::shuffle(of, random);
        std::vector<bool> likes(static_cast<std::size_t>(labels));
        for (int i = 0; i < std::min(topics, labels); ++i) likes[static_cast<std::size_t>(of[static_cast<std::size_t>(i)])] = true;
        std::vector<std::size_t> order(rows.size());
        for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
        std::ranges::shuffle(order, random);
        std::vector<rank::Past> history;
        std::uniform_real_distribution<double> unit;
        const auto of_interest = [&](std::size_t i) -> bool { return likes[static_cast<std::size_t>(rows[i].label)]; };
        std::size_t seen = 0;  // what was seen goes to the front
        for (std::size_t at = 0; at < order.size() && seen < n * 3 / 10; ++at)
          if (of_interest(order[at])) std::swap(order[seen++], order[at]);
        for (std::size_t at = seen; at < order.size() && seen < n; ++at)
          if (!of_interest(order[at])) std::swap(order[seen++], order[at]);
        std::shuffle(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), random);
        for (std::size_t i = 0; i < n; ++i) {
          const Row& row = rows[order[i]];
          const bool said = unit(random) < (of_interest(order[i]) ? 0.85 : 0.04);
          history.push_back({"", "", {}, said ? 1.0 : -1.0, static_cast<std::int64_t>(i), {row.vector, mean}});
        }
        rank::Options options;
        options.dimensions = d;
        options.blend = blend;
        options.forget = 1;
        const rank::Model model = rank::Model::fit(history, options);
        std::vector<std::pair<double, bool>> scored;
        for (std::size_t i = n; i < std::min(order.size(), n + 2'000); ++i)
          scored.emplace_back(model.score({ItemId{1}, {}, {}, {rows[order[i]].vector, mean}}, Time{}).value,
                              likes[static_cast<std::size_t>(rows[order[i]].label)]);
        readers.push_back(auc(std::move(scored)));
      }
      std::mt19937 random(1);
      std::vector<double> means;
      for (int i = 0; i < 1'000; ++i) {
        double sum = 0;
        for (std::size_t k = 0; k < readers.size(); ++k) sum += readers[random() % readers.size()];
        means.push_back(sum / static_cast<double>(readers.size()));
      }
      std::ranges::sort(means);
      double sum = 0;
      for (const double value : readers) sum += value;
      std::printf("n = %3zu  %-8s AUC %.3f  [%.3f, %.3f]\n", n, name, sum / static_cast<double>(readers.size()), means[25], means[974]);
    }
}
