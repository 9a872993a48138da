// The table of the parts: what a score is the sum of. A new part is one function and one row in parts.cc.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "rank/rank.h"

namespace weir::rank {

// What a part may look at.
struct Context {
  const Model& model;
  const Candidate& candidate;
  std::span<const double> x;  // the centred embedding, of length 1; empty when there is none, or when Weir does not know enough
  Time now;
};

struct PartRow {
  std::string_view name;
  double (*value)(const Context&);
  // What each past item carries, in the order of the history; they sum to the value. Null: the part comes from no past item.
  std::vector<double> (*carry)(const Context&, std::span<const Past>);
};

std::span<const PartRow> parts();

// Centres and scales to length 1. False: it holds NaN or Inf. Empty when the vector is empty, of another size, or equal to its mean.
bool unit(const Embedding& embedding, std::size_t dimensions, std::vector<double>& out);
double dot(std::span<const double> a, std::span<const double> b);

}  // namespace weir::rank
