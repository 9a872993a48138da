#include "guard/literals.h"

#include <queue>

#include "base/result.h"

namespace weir::guard {

Literals::Literals(std::span<const std::string_view> literals, std::span<const std::uint16_t> owners) {
  for (const std::string_view literal : literals)
    for (const char c : literal)
      if (auto& of = class_[static_cast<unsigned char>(c)]; of == 0) of = static_cast<std::uint8_t>(classes_++);

  struct Node {
    std::vector<int> next;
    int fail = 0;
    std::vector<Hit> hits;
  };
  std::vector<Node> nodes(1, Node{std::vector<int>(classes_, -1), 0, {}});
  for (std::size_t i = 0; i < literals.size(); ++i) {
    CHECK(!literals[i].empty());
    int at = 0;
    for (const char c : literals[i]) {
      const auto by = class_[static_cast<unsigned char>(c)];
      if (nodes[at].next[by] < 0) {
        nodes[at].next[by] = static_cast<int>(nodes.size());
        nodes.push_back({std::vector<int>(classes_, -1), 0, {}});
      }
      at = nodes[at].next[by];
    }
    nodes[at].hits.push_back({owners[i], static_cast<std::uint16_t>(literals[i].size())});
  }

  std::queue<int> breadth_first;  // a node's failure is nearer to the root, so it is complete before
  for (int& child : nodes[0].next)
    if (child < 0) child = 0;
    else breadth_first.push(child);
  while (!breadth_first.empty()) {
    const int at = breadth_first.front();
    breadth_first.pop();
    const Node& fail = nodes[nodes[at].fail];
    nodes[at].hits.insert(nodes[at].hits.end(), fail.hits.begin(), fail.hits.end());
    for (std::size_t by = 0; by < classes_; ++by)
      if (int& child = nodes[at].next[by]; child < 0) child = fail.next[by];
      else {
        nodes[child].fail = fail.next[by];
        breadth_first.push(child);
      }
  }

  // Accepting states last, so that one comparison tells them.
  std::vector<std::size_t> number(nodes.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (nodes[i].hits.empty()) number[i] = count++;
  CHECK(nodes.size() * classes_ < 65'536);
  accepting_ = static_cast<std::uint16_t>(count * classes_);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    if (!nodes[i].hits.empty()) {
      number[i] = count++;
      hits_.push_back(nodes[i].hits);
    }
  next_.resize(nodes.size() * classes_);
  for (std::size_t i = 0; i < nodes.size(); ++i)
    for (std::size_t by = 0; by < classes_; ++by) next_[number[i] * classes_ + by] = static_cast<std::uint16_t>(number[nodes[i].next[by]] * classes_);
}

}  // namespace weir::guard
