// Vectors of texts seen lately, by their token ids: syndicated copies and templates are encoded once. Bounded: the oldest goes out. Any number of threads.
// A hit is the vector itself (ids are compared, not only their hash), so results are the same bits with and without. About 1.5 KB and the ids an entry.
#pragma once

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace weir {

class VectorCache {
 public:
  explicit VectorCache(std::size_t capacity) : entries_(capacity) {}

  static std::uint64_t hash(std::span<const std::uint32_t> ids) { return xxh3({reinterpret_cast<const char*>(ids.data()), ids.size_bytes()}); }

  bool find(std::uint64_t hash, std::span<const std::uint32_t> ids, std::span<float> out) {
    const std::scoped_lock lock(mutex_);
    const auto at = where_.find(hash);
    const bool hit = at != where_.end() && std::ranges::equal(entries_[at->second].ids, ids);
    ++(hit ? hits_ : misses_);
    if (hit) std::ranges::copy(entries_[at->second].vector, out.begin());
    return hit;
  }

  void put(std::uint64_t hash, std::span<const std::uint32_t> ids, std::span<const float> vector) {
    if (entries_.empty()) return;
    const std::scoped_lock lock(mutex_);
    if (where_.contains(hash)) return;
    Entry& entry = entries_[next_];
    if (!entry.ids.empty()) where_.erase(entry.hash);
    entry = {hash, {ids.begin(), ids.end()}, {vector.begin(), vector.end()}};
    where_.emplace(hash, next_);
    next_ = (next_ + 1) % entries_.size();
  }

  struct Stats {
    std::uint64_t hits = 0, misses = 0;
    std::size_t entries = 0;
  };
  Stats stats() const {
    const std::scoped_lock lock(mutex_);
    return {hits_, misses_, where_.size()};
  }

 private:
  struct Entry {
    std::uint64_t hash = 0;
    std::vector<std::uint32_t> ids;
    std::vector<float> vector;
  };
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // a ring
  std::size_t next_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> where_;
  std::uint64_t hits_ = 0, misses_ = 0;
};

}  // namespace weir
