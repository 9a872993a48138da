// A trie over byte strings, walked a byte at a time. Built once, then read by any thread. Edges live in one open hash table: 8 bytes an edge, one probe a step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace weir {

class Trie {
 public:
  static constexpr std::uint32_t none = 0xFFFFFFFF, root = 0;

  Trie();
  void add(std::string_view key, std::uint32_t value);                // the first value of a key stays; at most 2²⁴ nodes (CHECK)
  std::uint32_t step(std::uint32_t node, unsigned char byte) const {  // the next node, or none
    if (node == root) return first_[byte];
    const std::uint32_t key = node << 8U | byte;
    for (std::size_t i = slot(key);; i = (i + 1) & mask_) {
      const std::uint64_t edge = edges_[i];
      if (edge == 0) return none;
      if (static_cast<std::uint32_t>(edge >> 32U) == key) return static_cast<std::uint32_t>(edge);
    }
  }
  std::uint32_t walk(std::string_view key) const;  // the node of a prefix, or none
  std::uint32_t value(std::uint32_t node) const { return values_[node]; }

 private:
  std::size_t slot(std::uint32_t key) const { return (key * std::uint64_t{0x9E3779B97F4A7C15}) >> 32U & mask_; }
  void insert(std::uint64_t edge);
  std::array<std::uint32_t, 256> first_;
  std::vector<std::uint64_t> edges_;  // node and byte in the upper half, child in the lower; 0 is free
  std::vector<std::uint32_t> values_;
  std::size_t mask_ = 0, count_ = 0;
};

}  // namespace weir
