#include "rank/rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_map>

#include "rank/parts.h"

namespace weir::rank {
namespace {

// How many units of score a cosine of 1 is worth when there are many signals, and how many signals make half of that. A relevant item has a cosine of
// about .3 with a reader's direction: with a gain of 6 that is worth as much as being some two and a half days newer.
constexpr double taste_gain = 6, taste_prior = 20, mean_prior = 4;

std::size_t row(std::size_t i) { return i * (i + 1) / 2; }

// y = M x for a symmetric matrix whose lower triangle is packed by rows.
std::vector<double> times(std::span<const double> packed, std::span<const double> x) {
  std::vector<double> y(x.size(), 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double* m = packed.data() + row(i);
    double sum = m[i] * x[i];
    for (std::size_t j = 0; j < i; ++j) {
      sum += m[j] * x[j];
      y[j] += m[j] * x[i];
    }
    y[i] += sum;
  }
  return y;
}

void add_scaled(std::vector<double>& to, double factor, std::span<const double> x) {
  for (std::size_t i = 0; i < x.size(); ++i) to[i] += factor * x[i];
}

double length(std::span<const double> x) { return std::sqrt(dot(x, x)); }

// The candidate's embedding as the parts see it. False: unscored.
bool look(const Model& model, const Candidate& candidate, std::vector<double>& x) {
  if (!unit(candidate.embedding, model.options().dimensions, x)) return false;
  if (!model.knows_enough()) x.clear();
  return true;
}

}  // namespace

double Model::weight(const Past& past) const { return std::abs(past.strength) * std::pow(options_.forget, static_cast<double>(reference_ - past.order)); }

// Sherman & Morrison 1950: (A ± w x xᵀ)⁻¹ = A⁻¹ ∓ w u uᵀ / (1 ± w xᵀu), u = A⁻¹x.
void Model::change(const Past& past, double sign) {
  const double w = weight(past), y = past.strength > 0 ? 1 : -1;
  if (!std::isfinite(w) || w == 0) return;
  signals_ += sign > 0 ? 1 : -1;
  const auto count = [&](Tally& tally) {
    tally.for_ += sign * w * y;
    tally.all += sign * w;
    tally.n += sign > 0 ? 1 : -1;
    if (tally.n == 0) tally = {};  // no rest of a rounding stays behind what is gone
  };
  count(all_);
  auto at = std::ranges::lower_bound(sources_, past.source, {}, &std::pair<SourceId, Tally>::first);
  if (at == sources_.end() || at->first != past.source) at = sources_.insert(at, {past.source, {}});
  count(at->second);
  if (at->second.n == 0) sources_.erase(at);

  std::vector<double> x;
  if (!unit(past.embedding, options_.dimensions, x) || x.empty()) return;
  std::vector<double>& sum = y > 0 ? liked_ : disliked_;
  Tally& tally = y > 0 ? like_ : dislike_;
  add_scaled(sum, sign * w, x);
  count(tally);
  if (tally.n == 0) std::ranges::fill(sum, 0.0);
  const std::vector<double> u = times(inverse_, x);
  const double factor = sign * w / (1 + sign * w * dot(x, u));
  for (std::size_t i = 0; i < u.size(); ++i) {
    double* m = inverse_.data() + row(i);
    const double f = factor * u[i];
    for (std::size_t j = 0; j <= i; ++j) m[j] -= f * u[j];
  }
}

// Both models give a direction; what counts is the cosine with it. Each direction is a sum over liked items less a sum over disliked ones, so like and
// dislike are kept apart.
void Model::aim() {
  const auto mean = [](const std::vector<double>& sum, double weight) {
    std::vector<double> out(sum.size(), 0.0);
    if (weight > 0) add_scaled(out, 1 / weight, sum);
    return out;
  };
  const std::vector<double> for_ = mean(liked_, like_.all), against = mean(disliked_, dislike_.all);
  // An intercept: ridge is fitted to y less its mean. Without it the more frequent of the two outvotes the other.
  std::vector<double> ridge_for = times(inverse_, liked_), ridge_against = times(inverse_, disliked_);
  for (double& v : ridge_for) v *= target(true);
  for (double& v : ridge_against) v *= target(false);
  std::vector<double> rocchio = for_, ridge = ridge_for;
  add_scaled(rocchio, -options_.beta, against);
  add_scaled(ridge, -1, ridge_against);

  const double n = signals_, gain = taste_gain * n / (n + taste_prior), share = n / (n + options_.blend);
  const double rocchio_length = length(rocchio), ridge_length = length(ridge);
  rocchio_ = rocchio_length > 1e-9 ? gain * (1 - share) / rocchio_length : 0;
  ridge_ = ridge_length > 1e-9 ? gain * share / ridge_length : 0;
  toward_.assign(options_.dimensions, 0.0);
  away_.assign(options_.dimensions, 0.0);
  add_scaled(toward_, rocchio_, for_);
  add_scaled(toward_, ridge_, ridge_for);
  add_scaled(away_, -rocchio_ * options_.beta, against);
  add_scaled(away_, -ridge_, ridge_against);
}

// |y − ȳ| of a liked or a disliked item, ȳ shrunk by some signals of either kind, so that a reader who only likes has a direction too.
double Model::target(bool liked) const {
  const double mean = (like_.all - dislike_.all) / (like_.all + dislike_.all + mean_prior);
  return liked ? 1 - mean : 1 + mean;
}

std::vector<double> Model::seen_from(std::span<const double> x, bool liked) const {
  std::vector<double> g = times(inverse_, x);
  for (double& v : g) v *= ridge_ * target(liked);
  const Tally& tally = liked ? like_ : dislike_;
  if (tally.all > 0) add_scaled(g, rocchio_ * (liked ? 1 : options_.beta) / tally.all, x);
  return g;
}

Model Model::fit(std::span<const Past> history, const Options& options) {
  Model model;
  model.options_ = options;
  const std::size_t d = options.dimensions;
  model.inverse_.assign(row(d), 0.0);
  for (std::size_t i = 0; i < d; ++i) model.inverse_[row(i) + i] = 1 / options.lambda;
  model.liked_.assign(d, 0.0);
  model.disliked_.assign(d, 0.0);
  for (const Past& past : history) model.reference_ = std::max(model.reference_, past.order);
  std::vector<std::size_t> by_order(history.size());  // so that the same history gives the same bits
  std::iota(by_order.begin(), by_order.end(), std::size_t{0});
  std::ranges::stable_sort(by_order, {}, [&](std::size_t i) { return history[i].order; });
  for (const std::size_t i : by_order) model.change(history[i], +1);
  model.aim();
  return model;
}

void Model::add(const Past& past) {
  change(past, +1);
  aim();
}

void Model::remove(const Past& past) {
  change(past, -1);
  aim();
}

std::size_t Model::bytes() const {
  return sizeof(*this) + sizeof(double) * (inverse_.size() + liked_.size() + disliked_.size() + toward_.size() + away_.size()) +
         sizeof(sources_[0]) * sources_.size();
}

Score Model::score(const Candidate& candidate, Time now) const { return explain(candidate, now, {}, 0); }

Score Model::explain(const Candidate& candidate, Time now, std::span<const Past> history, std::size_t causes) const {
  Score score{0, {}, signals_, knows_enough()};
  std::vector<double> x;
  if (!look(*this, candidate, x)) {
    score.value = std::numeric_limits<double>::quiet_NaN();
    return score;
  }
  const Context context{*this, candidate, x, now};
  for (const PartRow& row_ : parts()) {
    Part part{std::string(row_.name), row_.value(context), {}};
    score.value += part.value;
    if (part.value == 0 && row_.carry) continue;  // it says nothing
    if (row_.carry && causes > 0) {
      const std::vector<double> carried = row_.carry(context, history);
      // A history that is not the model's (an item was encoded again meanwhile) explains nothing: better no cause than a wrong one.
      if (std::abs(std::accumulate(carried.begin(), carried.end(), 0.0) - part.value) <= 1e-5) {
        std::unordered_map<std::string_view, std::size_t> place;  // an item that was opened, liked and starred is one cause
        for (std::size_t i = 0; i < carried.size(); ++i) {
          if (carried[i] == 0) continue;
          const auto [at, fresh] = place.try_emplace(history[i].item, part.from.size());
          if (fresh) part.from.push_back({history[i].item, history[i].title, 0});
          part.from[at->second].value += carried[i];
        }
        std::ranges::stable_sort(part.from, std::greater{}, [](const Cause& cause) { return std::abs(cause.value); });
        if (part.from.size() > causes) part.from.erase(part.from.begin() + static_cast<std::ptrdiff_t>(causes), part.from.end());
      }
    }
    score.parts.push_back(std::move(part));
  }
  return score;
}

std::vector<Ranked> order(const Model& model, std::span<const Candidate> candidates, Time now, std::size_t limit) {
  std::vector<Ranked> out;
  out.reserve(candidates.size());
  std::vector<double> x;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Ranked one{i, std::numeric_limits<double>::quiet_NaN()};
    if (look(model, candidates[i], x)) {
      one.value = 0;
      for (const PartRow& part : parts()) one.value += part.value({model, candidates[i], x, now});
    }
    out.push_back(one);
  }
  const auto scored = std::stable_partition(out.begin(), out.end(), [](const Ranked& r) { return std::isfinite(r.value); });
  const auto better = [&](const Ranked& a, const Ranked& b) {
    if (a.value != b.value) return a.value > b.value;
    const Candidate &x_ = candidates[a.index], &y_ = candidates[b.index];
    const Time at = std::min(x_.at, now), bt = std::min(y_.at, now);
    return at != bt ? at > bt : x_.id < y_.id;
  };
  const auto middle = out.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(limit, static_cast<std::size_t>(scored - out.begin())));
  std::partial_sort(out.begin(), middle, scored, better);
  if (limit < out.size()) out.resize(limit);
  return out;
}

bool holds(const Score& score) {
  double sum = 0;
  for (const Part& part : score.parts) sum += part.value;
  return std::isfinite(score.value) ? std::abs(sum - score.value) <= 1e-5 : score.parts.empty();
}

}  // namespace weir::rank
