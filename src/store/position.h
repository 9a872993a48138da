// The place of an item in every list: hour of its time (UTC), then arrival within that hour. A place is fixed when the item comes in and never changes,
// so "newest first" is one descending walk over integers, and a reader's marks are bits: 4,096 places make a chunk, a chunk of a reader is two bitmaps.
//
//   place = hour (20 bits, to 2089) · sub-chunk of the hour (10 bits) · slot (12 bits)
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/time.h"

namespace weir::store {

inline constexpr int slot_bits = 12, hour_shift = 22;
inline constexpr std::int64_t max_hour = (std::int64_t{1} << 20) - 1;
inline constexpr std::int64_t past_every_place = std::int64_t{1} << 43;

inline std::int64_t hour_of(Time time) {
  const std::int64_t micros = to_micros(time);
  return micros < 0 ? 0 : std::min(micros / 3'600'000'000, max_hour);
}
inline std::int64_t first_place(std::int64_t hour) { return hour << hour_shift; }
inline std::int64_t chunk_of(std::int64_t place) { return place >> slot_bits; }
inline unsigned slot_of(std::int64_t place) { return static_cast<unsigned>(place & ((1 << slot_bits) - 1)); }
inline std::int64_t place_of(std::int64_t chunk, unsigned slot) { return chunk << slot_bits | slot; }

// A bitmap over one chunk. In the database it is as long as its last set byte.
class Bits {
 public:
  static constexpr unsigned size = 1u << slot_bits;

  Bits() = default;
  explicit Bits(std::string_view bytes) {
    for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), size / 8); ++i)
      words_[i / 8] |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (i % 8 * 8);
  }
  std::string bytes() const {
    std::string out(size / 8, '\0');
    std::size_t used = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      out[i] = static_cast<char>(words_[i / 8] >> (i % 8 * 8) & 0xff);
      if (out[i] != 0) used = i + 1;
    }
    out.resize(used);
    return out;
  }

  bool test(unsigned slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  void set(unsigned slot) { words_[slot / 64] |= std::uint64_t{1} << (slot % 64); }
  void clear(unsigned slot) { words_[slot / 64] &= ~(std::uint64_t{1} << (slot % 64)); }
  bool none() const {
    return std::ranges::all_of(words_, [](std::uint64_t w) { return w == 0; });
  }
  int count() const {
    int n = 0;
    for (const std::uint64_t w : words_) n += std::popcount(w);
    return n;
  }

  Bits& operator&=(const Bits& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
    return *this;
  }
  Bits& operator|=(const Bits& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }
  Bits& subtract(const Bits& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
    return *this;
  }

  // The set slot at or above `from`, or `size`.
  unsigned next(unsigned from) const {
    for (unsigned w = from / 64; from < size && w < words_.size(); ++w) {
      const std::uint64_t word = w == from / 64 ? words_[w] >> (from % 64) << (from % 64) : words_[w];
      if (word != 0) return w * 64 + static_cast<unsigned>(std::countr_zero(word));
    }
    return size;
  }
  // The set slot at or below `from`, or −1.
  int previous(int from) const {
    for (int w = from / 64; from >= 0 && w >= 0; --w) {
      const int shift = w == from / 64 ? 63 - from % 64 : 0;
      const std::uint64_t word = words_[static_cast<std::size_t>(w)] << shift >> shift;
      if (word != 0) return w * 64 + 63 - std::countl_zero(word);
    }
    return -1;
  }

 private:
  std::array<std::uint64_t, size / 64> words_{};
};

// One chunk of one reader. Unread and starred items are members; unread ⊆ member.
struct Chunk {
  Bits member, unread;
};

}  // namespace weir::store
