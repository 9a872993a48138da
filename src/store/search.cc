#include "store/search.h"

#include <algorithm>

#include "base/hash.h"
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
      if (end < text.size() && text[end] != '"') at = end + 1; else if (end < text.size()) at = end;
    }
    if (plan_.terms.size() > most_terms)
      return fail(Code::invalid, "too many words to search for", std::string(text.substr(0, 100)), "leave some out");
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

std::vector<std::uint64_t> hashes(std::string_view text) {
  std::vector<std::uint64_t> out;
  out.reserve(text.size() / 6);
  for_each_word(text, Purpose::document, [&](const Word& word) {
    if (!word.colocated) out.push_back(xxh3(word.text));
    return true;
  });
  return out;
}

}  // namespace

Result<SearchPlan> plan_search(std::string_view text) { return Planner().plan(text); }

Document::Document(std::string_view title, std::string_view text) : title_(hashes(title)), text_(hashes(text)) {
  words_.reserve(text.size());
  for (const std::string_view part : {title, text})
    for_each_word(part, Purpose::document, [&](const Word& word) { words_ += '\n'; words_ += word.text; return true; });
}

bool Document::holds(const std::vector<std::string>& phrase) const {
  std::vector<std::uint64_t> wanted;
  for (const std::string& word : phrase) wanted.push_back(xxh3(word));
  return !std::ranges::search(title_, wanted).empty() || !std::ranges::search(text_, wanted).empty();
}

double Document::score(const SearchPlan& plan) const {
  constexpr double k1 = 1.2, b = 0.75, usual_length = 400, title_weight = 4;
  const double length = 1 - b + b * static_cast<double>(text_.size()) / usual_length;
  double sum = 0;
  for (const std::string& term : plan.terms) {
    double n = 0;
    if (term.ends_with('*')) {
      const std::string begin = '\n' + term.substr(0, term.size() - 1);
      for (std::size_t at = words_.find(begin); at != std::string::npos; at = words_.find(begin, at + 1)) ++n;
    } else {
      const std::uint64_t hash = xxh3(term);
      n = static_cast<double>(std::ranges::count(text_, hash)) + title_weight * static_cast<double>(std::ranges::count(title_, hash));
    }
    sum += n * (k1 + 1) / (n + k1 * length);
  }
  for (const auto& phrase : plan.phrases) {
    std::vector<std::uint64_t> wanted;
    for (const std::string& word : phrase) wanted.push_back(xxh3(word));
    if (!std::ranges::search(title_, wanted).empty()) sum += 1;
  }
  return sum;
}

}  // namespace weir::store
