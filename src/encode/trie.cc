#include "encode/trie.h"

#include "base/result.h"

namespace weir {

Trie::Trie() : edges_(1024), values_(1, none), mask_(1023) { first_.fill(none); }

void Trie::insert(std::uint64_t edge) {
  std::size_t i = slot(static_cast<std::uint32_t>(edge >> 32U));
  while (edges_[i] != 0) i = (i + 1) & mask_;
  edges_[i] = edge;
}

void Trie::add(std::string_view key, std::uint32_t value) {
  std::uint32_t node = root;
  for (const char c : key) {
    const auto byte = static_cast<unsigned char>(c);
    std::uint32_t next = step(node, byte);
    if (next == none) {
      next = static_cast<std::uint32_t>(values_.size());
      CHECK(next < (1U << 24U));
      values_.push_back(none);
      if (node == root) {
        first_[byte] = next;
      } else {
        if (++count_ * 5 > edges_.size() * 4) {
          std::vector<std::uint64_t> old(edges_.size() * 2);
          old.swap(edges_);
          mask_ = edges_.size() - 1;
          for (const std::uint64_t edge : old)
            if (edge != 0) insert(edge);
        }
        insert(std::uint64_t{node << 8U | byte} << 32U | next);
      }
    }
    node = next;
  }
  if (values_[node] == none) values_[node] = value;
}

std::uint32_t Trie::walk(std::string_view key) const {
  std::uint32_t node = root;
  for (const char c : key) {
    node = step(node, static_cast<unsigned char>(c));
    if (node == none) return none;
  }
  return node;
}

}  // namespace weir
