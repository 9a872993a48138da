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
  std::string match;                              // for table f (no positions); empty: nothing that could be found was asked for
  std::string title_match;                        // for table ft (positions)
  std::vector<std::vector<std::string>> phrases;  // words that must stand side by side: to be looked up in the text
  std::vector<std::string> terms;                 // every word, for ranking; with a * at its end when it is a beginning
};

inline constexpr std::size_t most_terms = 64, shortest_prefix = 4;

// Errors: invalid (a prefix that is too short, too many words), with the word in `where`.
Result<SearchPlan> plan_search(std::string_view text);

// How a document answers a plan, in one pass over its words.
struct Judgement {
  bool phrases = true;  // each stands somewhere, in the title or in the text
  // BM25 without idf (every hit has every term): counts saturate, long texts count less, a word in the title is worth four (Robertson & Zaragoza 2009).
  double score = 0;
};
Judgement judge(const SearchPlan& plan, std::string_view title, std::string_view text);

}  // namespace weir::store
