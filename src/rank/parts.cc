#include "rank/parts.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace weir::rank {

// What the parts read of a Model.
struct Access {
  static const std::vector<double>& toward(const Model& m) { return m.toward_; }
  static const std::vector<double>& away(const Model& m) { return m.away_; }
  static Model::Tally all(const Model& m) { return m.all_; }
  static Model::Tally of(const Model& m, SourceId source) {
    const auto at = std::ranges::lower_bound(m.sources_, source, {}, &std::pair<SourceId, Model::Tally>::first);
    return at != m.sources_.end() && at->first == source ? at->second : Model::Tally{};
  }
  static double weight(const Model& m, const Past& p) { return m.weight(p); }
  static std::vector<double> seen_from(const Model& m, std::span<const double> x, bool liked) { return m.seen_from(x, liked); }
};

namespace {

// log of the odds that halve in half_life: −ln 2 · age / half_life.
double recency(const Context& c) {
  const double age = std::chrono::duration<double>(std::max(c.now - c.candidate.at, Duration::zero())).count();
  return -std::log(2.0) * age / std::chrono::duration<double>(c.model.options().half_life).count();
}

// The source's mean opinion above the reader's own, shrunk as if `prior` signals had said nothing (empirical Bayes): Σ w(y − ȳ) / (Σ w + prior).
constexpr double source_prior = 4, source_gain = 2;

double overall(const Model& model) {
  const auto all = Access::all(model);
  return all.all > 0 ? all.for_ / all.all : 0;
}

double source(const Context& c) {
  const auto of = Access::of(c.model, c.candidate.source);
  return c.candidate.source ? source_gain * (of.for_ - of.all * overall(c.model)) / (of.all + source_prior) : 0;
}

std::vector<double> source_carry(const Context& c, std::span<const Past> history) {
  const auto of = Access::of(c.model, c.candidate.source);
  std::vector<double> out;
  for (const Past& past : history) {
    const bool same = c.candidate.source && past.source == c.candidate.source;
    out.push_back(same ? source_gain * Access::weight(c.model, past) * ((past.strength > 0 ? 1 : -1) - overall(c.model)) / (of.all + source_prior) : 0);
  }
  return out;
}

double like(const Context& c) { return c.x.empty() ? 0 : dot(c.x, Access::toward(c.model)); }
double dislike(const Context& c) { return c.x.empty() ? 0 : dot(c.x, Access::away(c.model)); }

// unit(embedding) · g in one pass; 0 where unit() gives nothing.
double project(const Embedding& embedding, std::span<const double> g) {
  const auto [vector, mean] = embedding;
  if (vector.size() != g.size()) return 0;
  const bool centred = mean.size() == g.size();
  double along[4] = {}, square[4] = {};
  const auto add = [&](std::size_t i, std::size_t k) {
    const double v = static_cast<double>(vector[i]) - (centred ? static_cast<double>(mean[i]) : 0.0);
    along[k] += v * g[i];
    square[k] += v * v;
  };
  std::size_t i = 0;
  for (; i + 4 <= g.size(); i += 4)
    for (std::size_t k = 0; k < 4; ++k) add(i + k, k);
  for (; i < g.size(); ++i) add(i, 0);
  const double length = std::sqrt((square[0] + square[1]) + (square[2] + square[3]));
  return std::isfinite(length) && length >= 1e-9 ? ((along[0] + along[1]) + (along[2] + along[3])) / length : 0;
}

// A past item's share of both models: Rocchio w/Σw · xᵢᵀx, ridge w·y·xᵢᵀA⁻¹x.
std::vector<double> taste_carry(const Context& c, std::span<const Past> history, bool liked) {
  std::vector<double> out(history.size(), 0.0);
  if (c.x.empty()) return out;
  const std::vector<double> g = Access::seen_from(c.model, c.x, liked);
  for (std::size_t i = 0; i < history.size(); ++i)
    if (const Past& past = history[i]; past.strength != 0 && (past.strength > 0) == liked)
      out[i] = (liked ? 1 : -1) * Access::weight(c.model, past) * project(past.embedding, g);
  return out;
}

std::vector<double> like_carry(const Context& c, std::span<const Past> history) { return taste_carry(c, history, true); }
std::vector<double> dislike_carry(const Context& c, std::span<const Past> history) { return taste_carry(c, history, false); }

constexpr PartRow table[] = {
    {"recency", recency, nullptr},              // how new it is
    {"source", source, source_carry},           // what the reader thinks of where it comes from
    {"taste.like", like, like_carry},           // how near it is to what was liked
    {"taste.dislike", dislike, dislike_carry},  // how near to what was disliked
};

}  // namespace

std::span<const PartRow> parts() { return table; }

// Four sums at once: the additions do not wait for each other.
double dot(std::span<const double> a, std::span<const double> b) {
  double s[4] = {};
  std::size_t i = 0;
  for (; i + 4 <= a.size(); i += 4)
    for (std::size_t k = 0; k < 4; ++k) s[k] += a[i + k] * b[i + k];
  for (; i < a.size(); ++i) s[0] += a[i] * b[i];
  return (s[0] + s[1]) + (s[2] + s[3]);
}

bool unit(const Embedding& embedding, std::size_t dimensions, std::vector<double>& out) {
  out.clear();
  const auto [vector, mean] = embedding;
  if (vector.size() != dimensions) {
    double sum = 0;
    for (const float v : vector) sum += v - v;  // NaN when any is NaN or Inf
    return sum == 0;
  }
  out.resize(dimensions);
  const bool centred = mean.size() == dimensions;
  for (std::size_t i = 0; i < dimensions; ++i) out[i] = static_cast<double>(vector[i]) - (centred ? static_cast<double>(mean[i]) : 0.0);
  const double length = std::sqrt(dot(out, out));
  if (!std::isfinite(length)) return false;
  if (length < 1e-9) out.clear();
  for (double& v : out) v *= 1 / length;
  return true;
}

}  // namespace weir::rank
