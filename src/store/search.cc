#include "store/search.h"

#include <algorithm>
#include <cstring>

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
      if (end < text.size() && text[end] != '"') at = end + 1;
      else if (end < text.size()) at = end;
    }
    if (plan_.terms.size() > most_terms)
      return fail(Code::invalid, say("search_words_many", "too many words to search for"), std::string(text.substr(0, 100)), "leave some out");
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
          return fail(Code::invalid, say("search_prefix_short", "the beginning of a word needs at least four letters"), std::string(part) + "*",
                      "write more of it, or the whole word");
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

  void read(std::string_view text, Pairs* pairs = nullptr) {
    places_.clear();
    counts_.assign(words_.size(), 0);
    std::uint64_t before = 0;
    for_each_word(text, Purpose::document, [&](const Word& word) {
      const int number = find(word.text);
      if (!word.colocated) {
        places_.push_back(number);
        if (pairs != nullptr) {
          const std::uint64_t hash = xxh3(word.text);
          pairs->add(Pairs::number(before, hash));
          before = hash;
        }
      }
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

std::uint16_t Pairs::number(std::uint64_t left, std::uint64_t right) {
  return static_cast<std::uint16_t>((left * 0x9e3779b97f4a7c15 ^ right) * 0xff51afd7ed558ccd >> 52);
}

std::vector<std::uint16_t> pairs_of(const SearchPlan& plan) {
  std::vector<std::uint16_t> out;
  for (const auto& phrase : plan.phrases)
    for (std::size_t i = 1; i < phrase.size(); ++i) out.push_back(Pairs::number(xxh3(phrase[i - 1]), xxh3(phrase[i])));
  return out;
}

bool PairMemory::may_have_all(std::int64_t place, std::uint64_t stamp, std::span<const std::uint16_t> pairs) const {
  const std::scoped_lock lock(mutex_);
  if (entries_.empty()) return true;
  const Entry& entry = entries_[slot(place)];
  return entry.place != place || entry.stamp != stamp || std::ranges::all_of(pairs, [&](std::uint16_t pair) { return entry.pairs.may_have(pair); });
}

void PairMemory::put(std::int64_t place, std::uint64_t stamp, const Pairs& pairs) {
  const std::scoped_lock lock(mutex_);
  if (entries_.empty()) entries_.resize(slots);
  entries_[slot(place)] = {.place = place, .stamp = stamp, .pairs = pairs};
}

bool holds_phrases(const SearchPlan& plan, std::string_view title, std::string_view text, Pairs* pairs) {
  Reading in_title(plan), in_text(plan);
  in_title.read(title, pairs);
  in_text.read(text, pairs);
  return std::ranges::all_of(plan.phrases, [&](const auto& phrase) { return in_title.holds(phrase) || in_text.holds(phrase); });
}

namespace {

bool is_ascii_word(std::string_view word) {
  return std::ranges::all_of(word, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); });
}

// How a phrase is mostly written: words of ASCII with blanks, pairs of ideographs as the run they come from. "": neither.
std::string as_written(const std::vector<std::string>& phrase) {
  if (std::ranges::all_of(phrase, is_ascii_word)) {
    std::string out;
    for (const std::string& word : phrase) out += (out.empty() ? "" : " ") + word;
    return out;
  }
  std::string out;
  for (const std::string& word : phrase) {
    if (!is_ideograph(word) || characters(word) != 2) return {};
    std::size_t half = 0;
    next_code_point(word, half);
    if (!is_ideograph(std::string_view(word).substr(half))) return {};
    if (out.empty()) out = word;
    else if (out.ends_with(std::string_view(word).substr(0, half))) out += word.substr(half);
    else return {};
  }
  return out;
}

// Quotation marks, dashes and the like: U+2010 to U+202F, three bytes.
bool is_punctuation(std::string_view three) { return three.size() == 3 && three.starts_with("\xe2\x80") && static_cast<unsigned char>(three[2]) >= 0x90; }

bool separates(char c) { return static_cast<unsigned char>(c) < 0x80 && !(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z'); }

// Nothing that could be part of the word touches [from, to). A tag may: its text may go on behind it.
bool stands_alone(std::string_view html, std::size_t from, std::size_t to) {
  const bool left = from == 0 || (separates(html[from - 1]) && html[from - 1] != '>') || (from >= 3 && is_punctuation(html.substr(from - 3, 3)));
  const bool right = to == html.size() || (separates(html[to]) && html[to] != '<') || is_punctuation(html.substr(to, 3));
  return left && right;
}

bool in_tag(std::string_view html, std::size_t at) {  // a '>' ends any tag (text_of_clean_html)
  const std::size_t last = html.substr(0, at).find_last_of("<>");
  return last != std::string_view::npos && html[last] == '<';
}

// ASCII in lower case, eight bytes at a time.
std::string lower_ascii(std::string_view text) {
  constexpr std::uint64_t all = 0x0101010101010101;
  std::string out(text);
  std::size_t at = 0;
  for (; at + 8 <= out.size(); at += 8) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, out.data() + at, 8);
    const std::uint64_t low = bytes & 0x7f * all;
    const std::uint64_t upper = ((low + (0x80 - 'A') * all) ^ (low + (0x7f - 'Z') * all)) & ~bytes & 0x80 * all;  // the top bit of each byte in A…Z
    bytes |= upper >> 2;
    std::memcpy(out.data() + at, &bytes, 8);
  }
  for (; at < out.size(); ++at) out[at] = static_cast<char>(out[at] + (out[at] >= 'A' && out[at] <= 'Z' ? 32 : 0));
  return out;
}

bool stands_in(const std::string& html, const std::string& written, bool alone) {
  for (std::string_view rest = html; !rest.empty();) {
    const void* found = ::memmem(rest.data(), rest.size(), written.data(), written.size());
    if (found == nullptr) return false;
    const auto at = static_cast<std::size_t>(static_cast<const char*>(found) - html.data());
    if (!in_tag(html, at) && (!alone || stands_alone(html, at, at + written.size()))) return true;
    rest = std::string_view(html).substr(at + 1);
  }
  return false;
}

}  // namespace

bool surely_holds(const SearchPlan& plan, std::string_view title, std::string_view html) {
  const std::string in_title = lower_ascii(title), in_html = lower_ascii(html);
  return std::ranges::all_of(plan.phrases, [&](const auto& phrase) {
    const std::string written = as_written(phrase);
    const bool alone = is_ascii_word(phrase.front());
    return !written.empty() && (stands_in(in_title, written, alone) || stands_in(in_html, written, alone));
  });
}

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
