// The rule table: one row a rule. A rule is tried where one of its literals stands; its pattern (RE2) or its function says how far the secret goes.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace weir::guard {

struct Span {
  std::size_t start = 0, end = 0;
};

// How a matched token is told from a placeholder.
enum class Check {
  none,
  random,    // as random as a secret: not "xxxx", not "abcdefgh…", enough bits a character after the prefix
  mixed,     // `random`, with capitals, small letters and two digits: for prefixes that say little
  checksum,  // last six characters are the CRC-32 of those after the prefix, in base 62 (GitHub, npm): sure; without it, as `random`
};

struct Rule {
  std::string_view kind, name;
  std::span<const std::string_view> literals;
  std::string_view pattern = {};  // anchored at the literal; the whole match is the secret
  Check check = Check::random;
  std::size_t longest = 256;  // bytes that the pattern may look at
  // Instead of a pattern; appends what it finds. `at`: where the literal begins. Raises `skip` to where this rule has to look again at the earliest,
  // so that a scan stays linear in the text.
  void (*match)(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found) = nullptr;
  bool token = true;              // the character before the literal must not be of a word
  std::string_view context = {};  // a word (small letters) that begins within 64 bytes before, in any case
};

std::span<const Rule> rules();

// The two rules that every exit applies.
void match_userinfo(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found);
void match_query(std::string_view text, std::size_t at, std::size_t& skip, std::vector<Span>& found);

bool passes(Check check, std::string_view token);
// A word does not go on over this place, seen from the right: also true after "\n" or "\u000a" as JSON writes them.
bool starts_word(std::string_view text, std::size_t at);

}  // namespace weir::guard
