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
    longest_ = std::max(longest_, literals[i].size());
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

void Literals::run(std::string_view text, std::size_t begin, std::size_t end, std::vector<Ending> (&endings)[streams]) const {
  const std::uint16_t* next = next_.data();
  const std::size_t part = (end - begin + streams - 1) / streams;
  std::size_t first[streams], from[streams], stop[streams];  // hits count from `first`; before it the automaton only gets into its state
  std::uint16_t state[streams] = {};
  std::size_t common = end - begin;
  for (std::size_t k = 0; k < streams; ++k) {
    first[k] = std::min(begin + k * part, end);
    stop[k] = std::min(first[k] + part, end);
    from[k] = first[k] - std::min(first[k], longest_ - 1);
    common = std::min(common, stop[k] - from[k]);
  }
  const auto step = [&](std::size_t k, std::size_t at) {
    state[k] = next[state[k] + class_[static_cast<unsigned char>(text[at])]];
    if (state[k] >= accepting_ && at >= first[k]) [[unlikely]]
      endings[k].push_back({at, state[k]});
  };
  for (std::size_t i = 0; i < common; ++i)
    for (std::size_t k = 0; k < streams; ++k) step(k, from[k] + i);
  for (std::size_t k = 0; k < streams; ++k)
    for (std::size_t at = from[k] + common; at < stop[k]; ++at) step(k, at);
}

}  // namespace weir::guard
