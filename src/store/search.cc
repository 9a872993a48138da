#include "store/search.h"

#include <algorithm>

#include "base/text.h"
#include "store/tokenizer.h"

namespace weir::store {
namespace {

std::string literal(std::string_view word) { return '"' + std::string(word) + '"'; }  // words hold letters and digits only

bool is_ideograph(std::string_view word) {
  std::size_t at = 0;
  return !word.empty() && is_valid_utf8(word) && is_cjk(next_code_point(word, at));
}

std::size_t characters(std::string_view word) {
  return static_cast<std::size_t>(std::ranges::count_if(word, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

class Planner {
 public:
  Result<SearchPlan> plan(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      if (text[at] == '"') {
        const std::size_t end = std::min(text.find('"', at + 1), text.size());
        phrase(text.substr(at + 1, end - at - 1));
        at = end + 1;
        continue;
      }
      const std::size_t end = std::min(text.find_first_of(" \t\r\n\"", at), text.size());
      TRY(bare(text.substr(at, end - at)));
      at = std::max(end, at + 1);
      if (end < text.size() && text[end] != '"') at = end + 1;
      else if (end < text.size()) at = end;
    }
    if (plan_.terms.size() > most_terms) return fail(Code::invalid, "too many words to search for", std::string(text.substr(0, 100)), "leave some out");
    return std::move(plan_);
  }

 private:
  void also(std::string_view f, std::string_view title) {
    for (const auto& [into, what] : {std::pair{&plan_.match, f}, std::pair{&plan_.title_match, title}}) {
      if (!into->empty()) *into += " AND ";
      *into += what;
    }
  }

  // Words that must stand beside each other.
  void phrase(std::string_view text) {
    std::vector<std::string> words = words_of(text);
    if (words.empty()) return;
    if (words.size() == 1) {
      single(words[0]);
      return;
    }
    std::string match, title;
    for (const std::string& word : words) {
      match += (match.empty() ? "" : " AND ") + literal(word);
      title += (title.empty() ? "" : " + ") + literal(word);
      plan_.terms.push_back(word);
    }
    also(match, '(' + title + ')');
    plan_.phrases.push_back(std::move(words));
  }

  void single(const std::string& word) {
    const bool begins = is_ideograph(word) && characters(word) == 1;  // every word with this character
    also(literal(word) + (begins ? " *" : ""), literal(word) + (begins ? " *" : ""));
    plan_.terms.push_back(word + (begins ? "*" : ""));
  }

  // Without quotes: each run of Chinese is one word, every other word stands alone.
  Status bare(std::string_view text) {
    std::vector<std::pair<std::size_t, std::size_t>> runs;  // byte ranges
    for_each_word(text, Purpose::query, [&](const Word& word) {
      const bool joins = !runs.empty() && is_ideograph(word.text) && word.start < runs.back().second;
      if (joins) runs.back().second = word.end;
      else runs.emplace_back(word.start, word.end);
      return true;
    });
    for (const auto& [start, end] : runs) {
      const std::string_view part = text.substr(start, end - start);
      if (end < text.size() && text[end] == '*' && !is_ideograph(words_of(part).front())) {
        const std::string word = words_of(part).front();
        if (characters(word) < shortest_prefix)
          return fail(Code::invalid, "the beginning of a word needs at least four letters", std::string(part) + "*", "write more of it, or the whole word");
        also(literal(word) + " *", literal(word) + " *");
        plan_.terms.push_back(word + "*");
      } else {
        phrase(part);
      }
    }
    return {};
  }

  SearchPlan plan_;
};

// The query's words among a document's: for each place the number of the query word that stands there, or none.
class Reading {
 public:
  explicit Reading(const SearchPlan& plan) {
    for (const std::string& term : plan.terms) number_of(term);
    for (const auto& phrase : plan.phrases)
      for (const std::string& word : phrase) number_of(word);
  }

  void read(std::string_view text) {
    places_.clear();
    counts_.assign(words_.size(), 0);
    for_each_word(text, Purpose::document, [&](const Word& word) {
      const int number = find(word.text);
      if (!word.colocated) places_.push_back(number);
      for (const std::size_t i : prefixes_)
        if (word.text.starts_with(words_[i])) ++counts_[i];
      if (number >= 0 && !word.colocated) ++counts_[static_cast<std::size_t>(number)];
      return true;
    });
  }

  std::size_t length() const { return places_.size(); }
  double count(const std::string& term) { return counts_[static_cast<std::size_t>(number_of(term))]; }
  bool holds(const std::vector<std::string>& phrase) {
    std::vector<int> wanted;
    for (const std::string& word : phrase) wanted.push_back(number_of(word));
    return !std::ranges::search(places_, wanted).empty();
  }

 private:
  int number_of(const std::string& term) {
    const bool prefix = term.ends_with('*');
    const std::string word = prefix ? term.substr(0, term.size() - 1) : term;
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i] == word && is_prefix(i) == prefix) return static_cast<int>(i);
    if (prefix) prefixes_.push_back(words_.size());
    words_.push_back(word);
    return static_cast<int>(words_.size()) - 1;
  }
  bool is_prefix(std::size_t i) const { return std::ranges::find(prefixes_, i) != prefixes_.end(); }
  int find(std::string_view word) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (words_[i] == word) return static_cast<int>(i);
    return -1;
  }

  std::vector<std::string> words_;
  std::vector<std::size_t> prefixes_;  // of words_: beginnings
  std::vector<int> places_;
  std::vector<double> counts_;
};

}  // namespace

Result<SearchPlan> plan_search(std::string_view text) { return Planner().plan(text); }

Judgement judge(const SearchPlan& plan, std::string_view title, std::string_view text) {
  constexpr double k1 = 1.2, b = 0.75, usual_length = 400, title_weight = 4, phrase_in_title = 1;
  Reading in_title(plan), in_text(plan);
  in_title.read(title);
  in_text.read(text);
  Judgement out;
  const double length = 1 - b + b * static_cast<double>(in_text.length()) / usual_length;
  for (const std::string& term : plan.terms) {
    const double n = in_text.count(term) + title_weight * in_title.count(term);
    out.score += n * (k1 + 1) / (n + k1 * length);
  }
  for (const auto& phrase : plan.phrases) {
    const bool there = in_title.holds(phrase);
    if (there) out.score += phrase_in_title;
    out.phrases = out.phrases && (there || in_text.holds(phrase));
  }
  return out;
}

}  // namespace weir::store
