// Many literals in one pass: the automaton of Aho & Corasick 1975, with its failures compiled into a table of 16-bit rows over classes of bytes.
// Immutable; some 0.6 ns a byte whatever the literals.
#pragma once

#include <algorithm>
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
    std::vector<Ending> endings[streams];
    for (std::size_t begin = 0; begin < text.size(); begin += block) {
      run(text, begin, std::min(begin + block, text.size()), endings);
      for (std::vector<Ending>& stream : endings) {
        for (const Ending ending : stream)
          for (const Hit& hit : hits_[(ending.state - accepting_) / classes_])
            if (!found(hit.owner, ending.at + 1 - hit.length)) return;
        stream.clear();
      }
    }
  }

 private:
  struct Hit {
    std::uint16_t owner, length;
  };
  struct Ending {
    std::size_t at;  // of the literal's last byte
    std::uint16_t state;
  };
  // A step waits for the load of the one before, so that four parts of a block are walked side by side, each from a little before its begin.
  static constexpr std::size_t streams = 4, block = std::size_t{64} << 10;
  void run(std::string_view text, std::size_t begin, std::size_t end, std::vector<Ending> (&endings)[streams]) const;

  std::array<std::uint8_t, 256> class_{};
  std::size_t longest_ = 0;
  std::uint16_t classes_ = 1, accepting_ = 0;  // states are multiples of classes_; those from accepting_ on end a literal
  std::vector<std::uint16_t> next_;
  std::vector<std::vector<Hit>> hits_;
};

}  // namespace weir::guard
