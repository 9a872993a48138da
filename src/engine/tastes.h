// What each reader likes, as rank's models over the store's signals and vectors: built when first asked for, kept while it is used, changed by each
// signal. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/encoding.h"
#include "rank/rank.h"
#include "store/store.h"
#include "types/query.h"
#include "types/score.h"

namespace weir {

class Tastes {
 public:
  Tastes(store::Store& store, const Encoding* encoding);  // without an encoding: recency and sources alone

  struct Scored {
    ItemId id;
    double value = 0;
  };
  // The best of the newest items of that query (its state, source and folder), best first.
  Result<std::vector<Scored>> rank(UserId user, ItemQuery query, Time now);
  Result<Score> explain(UserId user, const StoredItem& item, Time now);
  Result<int> signals(UserId user);
  void changed(UserId user);  // after new signals, or removed sources

 private:
  struct Reader {  // one user's history and model
    std::vector<rank::Past> history;
    std::vector<std::vector<float>> vectors;  // what history borrows
    std::vector<float> means[2];
    rank::Model model;
    std::int64_t signals = 0;
    ModelId model_id;
    std::uint64_t mean_count = 0;
    std::size_t without_vector = 0;  // of the history: they are looked for again when more is encoded
  };
  Result<std::shared_ptr<const Reader>> reader(UserId user);
  Result<std::shared_ptr<const Reader>> build(UserId user);

  store::Store& store_;
  const Encoding* encoding_;
  std::mutex mutex_;
  std::list<std::pair<UserId, std::shared_ptr<const Reader>>> kept_;  // the last used first
};

}  // namespace weir
