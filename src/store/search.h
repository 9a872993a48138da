// What a reader typed into the search box, as questions to the word index. Words must all be there; "in quotes" they stand beside each other; a Chinese
// word is its pairs, and longer ones are looked up in the text; one character alone finds every word it is in; word* takes what begins so, from four
// letters on. Case, accents and full width do not matter; everything else separates. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::store {

struct SearchPlan {
  std::string match;        // for table f (no positions); empty: nothing that could be found was asked for
  std::string title_match;  // for table ft (positions)
  std::vector<std::vector<std::string>> phrases;  // words that must stand side by side: to be looked up in the text
  std::vector<std::string> terms;                 // every word, for ranking; with a * at its end when it is a beginning
};

inline constexpr std::size_t most_terms = 64, shortest_prefix = 4;

// Errors: invalid (a prefix that is too short, too many words), with the word in `where`.
Result<SearchPlan> plan_search(std::string_view text);

// Words of a document in their order, as hashes; begin(title) after the text: a phrase does not reach over.
struct Document {
  explicit Document(std::string_view title, std::string_view text);
  bool holds(const std::vector<std::string>& phrase) const;
  // BM25 without idf (every hit has every term): saturation of counts against length, a word in the title counting as four (Robertson & Zaragoza 2009).
  double score(const SearchPlan& plan) const;

 private:
  std::vector<std::uint64_t> title_, text_;
  std::string words_;  // of prefix terms: the words themselves
};

}  // namespace weir::store
