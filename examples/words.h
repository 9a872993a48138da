// What the examples share: words of a text, a vector for a word, and who looks at whom as lines of text.
#pragma once

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <weir/attention/attention.h>

// Runs of letters and digits, ASCII in lower case; a Chinese, Japanese or Korean character is a word of its own. Bytes that are not UTF-8 part words.
inline std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> words;
  bool open = false;  // the last word may grow
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 1;
    const std::string_view letter = text.substr(i, length);
    i += length;
    const bool ascii = lead < 0x80, alone = length >= 3 && letter >= "\u3040" && letter < "\uFF00";
    const bool part = ascii ? std::isalnum(lead) != 0 : letter >= "\u00C0" && length > 1 && letter < "\u2000";
    if (alone || (part && !open)) words.emplace_back();
    if (alone || part) words.back() += ascii ? std::string(1, static_cast<char>(std::tolower(lead))) : std::string(letter);
    open = part;
  }
  return words;
}

inline std::uint64_t hash(std::string_view bytes) {  // FNV-1a, then mixed as splitmix64 does
  std::uint64_t h = 0xcbf29ce484222325;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9;
  h = (h ^ h >> 27) * 0x94d049bb133111eb;
  return h ^ h >> 31;
}

// [words × d]: a word is the sum of random signs that its letter triples draw, so that words which share letters point the same way. Nothing is trained.
inline weir::attention::Array<float> embed(const std::vector<std::string>& words, std::size_t d) {
  weir::attention::Array<float> out(words.size(), d);
  for (std::size_t w = 0; w < words.size(); ++w) {
    const std::string word = "<" + words[w] + ">";
    for (std::size_t at = 0; at + 3 <= word.size(); ++at)
      for (std::size_t i = 0; i < d; ++i) out.row(w)[i] += (hash(word.substr(at, 3) + std::to_string(i)) & 1) != 0 ? 1.0f : -1.0f;
    float square = 0;
    for (const float x : out.row(w)) square += x * x;
    for (float& x : out.row(w)) x *= std::sqrt(static_cast<float>(d) / square);
  }
  return out;
}

// Head by head, one line a query: the three keys that it looks at most. weights: [heads·queries × keys].
inline void print_looks(const std::vector<std::string>& queries, const std::vector<std::string>& keys, weir::attention::View<const float> weights) {
  for (std::size_t r = 0; r < weights.rows; ++r) {
    if (weights.rows > queries.size() && r % queries.size() == 0) std::printf("head %zu\n", r / queries.size() + 1);
    const auto row = weights.row(r);
    std::vector<std::size_t> order(keys.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return row[a] > row[b]; });
    std::printf("  %-12s", queries[r % queries.size()].c_str());
    for (std::size_t k = 0; k < std::min<std::size_t>(3, order.size()); ++k) std::printf("  %.3f %s", static_cast<double>(row[order[k]]), keys[order[k]].c_str());
    std::printf("\n");
  }
}

inline int complain(const weir::Error& error) {
  std::fprintf(stderr, "%s\n", error.text().c_str());
  return 1;
}
