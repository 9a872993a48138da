// Rank: what matters to this reader. A Score is a sum of named parts (rank/parts.cc has the table), each with the past items that carry it, exactly.
//
// Taste is two linear models of one reader over centred unit embeddings, blended: Rocchio (mean liked − ½ mean disliked; Rocchio 1971) and Bayesian ridge
// (A = λI + Σ wxxᵀ, mean A⁻¹Σ w(y − ȳ)x; Hoerl & Kennard 1970), which weighs more as signals come in. Both are sums over the past items, so a candidate's
// taste splits over them without rest, and taking a signal away again gives the model that never saw it. Below `enough` signals there is no taste yet.
//
// Pure: values in, values out; no clock, no I/O. Threads: a Model is a value; const calls may run at once.
// Units: parts are log-odds-like; a part of 0 says nothing. Times are the caller's. Cost: bench/rank (state ≤ 1 MB at d = 384, a signal ≤ 1 ms).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/id.h"
#include "base/time.h"
#include "types/score.h"

namespace weir::rank {

inline constexpr int enough = 10;  // signals below which Weir does not know enough yet

// An embedding and the mean of its language (or stream) under the same model; both empty when the item is not encoded yet. Borrowed for the call.
// The mean is taken away and the rest brought to length 1 here. An empty mean takes nothing away.
struct Embedding {
  std::span<const float> vector, mean;
};

struct Candidate {
  ItemId id;
  SourceId source;
  Time at{};  // when it was published, or first seen if that is earlier (so that a date in the future does not stay on top)
  Embedding embedding;
};

// A signal joined with its item.
struct Past {
  std::string item, title;  // for the explanation
  SourceId source;
  double strength = 0;     // types/signal.h: sign is for or against, size is weight; 0 changes nothing
  std::int64_t order = 0;  // its place among this reader's signals: a number that grows; holes are allowed. Older ones weigh less
  Embedding embedding;
};

// Defaults are algorithms.md §2.2, §2.3.
struct Options {
  std::size_t dimensions = 384;                 // embeddings of another size are left out of taste
  double lambda = 7;                            // ridge: 10 · the mean weight of a usual history
  double beta = 0.5;                            // Rocchio: how much a disliked item counts
  double forget = 0.9975;                       // a signal's weight, per later signal; half-life 277 signals
  double blend = 300;                           // signals at which ridge and Rocchio weigh the same
  Duration half_life = std::chrono::hours(24);  // recency: the odds halve in this time
};

class Model {
 public:
  // The model of a history, in any order. Cost: n · d² (bench/rank).
  static Model fit(std::span<const Past> history, const Options& options = {});

  // One signal more, or one taken back: the same model as a fit with or without it has, but that the last fit's newest signal still weighs 1 (so fit
  // again every few hundred).
  void add(const Past& past);
  void remove(const Past& past);  // of a signal that is in

  int signals() const { return signals_; }
  bool knows_enough() const { return signals_ >= enough; }
  const Options& options() const { return options_; }
  std::size_t bytes() const;  // memory of the state

  // The parts, without causes. A part that says nothing is left out. Unscored (no parts, value NaN) when the embedding holds NaN or Inf.
  Score score(const Candidate& candidate, Time now) const;
  // With the past items that carry each part, the strongest first, `causes` a part at most. `history` is what the model was fitted on; when it is not
  // (its causes do not sum to the part), the part comes without causes.
  Score explain(const Candidate& candidate, Time now, std::span<const Past> history, std::size_t causes = 3) const;

 private:
  friend struct Access;  // rank/parts.cc
  struct Tally {
    double for_ = 0, all = 0;
    int n = 0;
  };  // Σ w·y, Σ w, how many
  double weight(const Past& past) const;       // |strength| · forget^(reference − order)
  void change(const Past& past, double sign);  // sign −1 takes it back
  void aim();                                  // toward_ and away_ from the sums
  double target(bool liked) const;
  // What a liked (or disliked) past item is multiplied with, beside its weight, for its share in the score of x.
  std::vector<double> seen_from(std::span<const double> x, bool liked) const;

  Options options_;
  int signals_ = 0;
  std::int64_t reference_ = 0;            // the order whose weight is 1
  std::vector<double> inverse_;           // A⁻¹, d × d symmetric, lower triangle packed by rows
  std::vector<double> liked_, disliked_;  // Σ w x over liked, over disliked; d
  Tally like_, dislike_;                  // of those with an embedding
  double rocchio_ = 0, ridge_ = 0;        // what the two directions are multiplied with
  Tally all_;
  std::vector<std::pair<SourceId, Tally>> sources_;  // sorted by id
  std::vector<double> toward_, away_;                // what x is multiplied with for taste.like and taste.dislike; d
};

struct Ranked {
  std::size_t index = 0;  // into the candidates
  double value = 0;       // the score; NaN when it could not be scored
};

// Best first: by score, then the newer, then the smaller id. What could not be scored comes after, as it came. Cost: 10,000 candidates ≤ 15 ms.
std::vector<Ranked> order(const Model& model, std::span<const Candidate> candidates, Time now, std::size_t limit = SIZE_MAX);

// That the parts sum to the value, within 1e-5. Run before a score is shown. (That the causes sum to their part is checked where they are made.)
bool holds(const Score& score);

}  // namespace weir::rank
