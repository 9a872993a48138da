// What a reader typed into the search box, as questions to the word index. Words must all be there; "in quotes" they stand beside each other; a Chinese
// word is its pairs, and longer ones are looked up in the text; one character alone finds every word it is in; word* takes what begins so, from four
// letters on. Case, accents and full width do not matter; everything else separates. Pure; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::store {

struct SearchPlan {
  std::string match;                              // for table f (no positions); empty: nothing that could be found was asked for
  std::string title_match;                        // for table ft (positions)
  std::vector<std::vector<std::string>> phrases;  // words that must stand side by side: to be looked up in the text
  std::vector<std::string> terms;                 // every word, for ranking; with a * at its end when it is a beginning
};

inline constexpr std::size_t most_terms = 64, shortest_prefix = 4;

// Errors: invalid (a prefix that is too short, too many words), with the word in `where`.
Result<SearchPlan> plan_search(std::string_view text);

// Which words stand beside each other in a document, as bits: "not there" is certain, "there" is a guess (Bloom 1970, one hash: at 400 words wrong for one
// pair in ten).
class Pairs {
 public:
  static constexpr std::size_t size = 4'096;
  static std::uint16_t number(std::uint64_t left, std::uint64_t right);  // of a pair, from its words' hashes
  void add(std::uint16_t number) { bits_[number / 64] |= std::uint64_t{1} << (number % 64); }
  bool may_have(std::uint16_t number) const { return (bits_[number / 64] >> (number % 64) & 1) != 0; }

 private:
  std::array<std::uint64_t, size / 64> bits_{};
};

// The pairs of documents that phrases were looked up in, so that the next phrase, whichever it is, reads only those that may have it: searches begin at
// the newest item, so they meet the same ones. 2 MB from the first use on. `stamp` names a document's very text. Any thread.
class PairMemory {
 public:
  bool may_have_all(std::int64_t place, std::uint64_t stamp, std::span<const std::uint16_t> pairs) const;  // true, too, when the document is not known
  void put(std::int64_t place, std::uint64_t stamp, const Pairs& pairs);

 private:
  struct Entry {
    std::int64_t place = -1;
    std::uint64_t stamp = 0;
    Pairs pairs;
  };
  static constexpr std::size_t slots = 4'096;
  static std::size_t slot(std::int64_t place) { return static_cast<std::size_t>(static_cast<std::uint64_t>(place) * 0x9e3779b97f4a7c15 >> 52); }
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
};

// Every pair that a document with the plan's phrases must have.
std::vector<std::uint16_t> pairs_of(const SearchPlan& plan);

// Whether each phrase stands somewhere, in the title or in the text: judge().phrases alone. Adds the document's pairs to `pairs` when it is given.
bool holds_phrases(const SearchPlan& plan, std::string_view title, std::string_view text, Pairs* pairs = nullptr);

// A glance at a title and at a text or its sanitised HTML: true proves that every phrase stands in one of them, false says nothing. It finds phrases as they
// are mostly written (one blank between words, letters as they are, a word's end that is plain to see), for a tenth of what reading costs.
bool surely_holds(const SearchPlan& plan, std::string_view title, std::string_view html);

// How a document answers a plan, in one pass over its words.
struct Judgement {
  bool phrases = true;  // each stands somewhere, in the title or in the text
  // BM25 without idf (every hit has every term): counts saturate, long texts count less, a word in the title is worth four (Robertson & Zaragoza 2009).
  double score = 0;
};
Judgement judge(const SearchPlan& plan, std::string_view title, std::string_view text);

}  // namespace weir::store
