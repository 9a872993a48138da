// Many literals in one pass: the automaton of Aho & Corasick 1975, with its failures compiled into a table of 16-bit rows over classes of bytes.
// Immutable; about 1 ns a byte whatever the literals.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weir::guard {

class Literals {
 public:
  // What is found at the end of literal i is reported as owners[i]. Literals are not empty; the table stays below 65,536 entries.
  Literals(std::span<const std::string_view> literals, std::span<const std::uint16_t> owners);

  // found(owner, start of the literal), in the order of the literals' ends. Stops when found answers false.
  template <class F>
  void each(std::string_view text, F&& found) const {
    const std::uint16_t* next = next_.data();
    std::uint16_t state = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      state = next[state + class_[static_cast<unsigned char>(text[i])]];
      if (state >= accepting_) [[unlikely]]
        for (const Hit& hit : hits_[(state - accepting_) / classes_])
          if (!found(hit.owner, i + 1 - hit.length)) return;
    }
  }

 private:
  struct Hit {
    std::uint16_t owner, length;
  };
  std::array<std::uint8_t, 256> class_{};
  std::uint16_t classes_ = 1, accepting_ = 0;  // states are multiples of classes_; those from accepting_ on end a literal
  std::vector<std::uint16_t> next_;
  std::vector<std::vector<Hit>> hits_;
};

}  // namespace weir::guard
