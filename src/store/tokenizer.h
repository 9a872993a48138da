// Words of a text, the same for documents and queries. Letters and digits of any script make words, folded: lower case, Latin without its accents, full
// width as ASCII. Chinese, Japanese and Korean runs make overlapping pairs (中国人 → 中国 国人), one character alone makes itself; in documents the last
// character of a run is one more word in its pair's place, so that a prefix finds every single character. Pure; any thread. Any bytes are allowed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace weir::store {

class Connection;

enum class Purpose { document, query };

// A word: at most 64 bytes (what is longer is cut, in documents and queries alike).
struct Word {
  std::string_view text;           // valid during the call
  std::size_t start = 0, end = 0;  // where it stands, in bytes
  bool colocated = false;          // stands where the word before it does
};

// Calls take(self, word) for each word until one returns false.
void for_each_word(std::string_view text, Purpose purpose, bool (*take)(void* self, const Word& word), void* self);

template <class F>
void for_each_word(std::string_view text, Purpose purpose, F&& f) {
  for_each_word(text, purpose, [](void* self, const Word& word) { return (*static_cast<std::remove_reference_t<F>*>(self))(word); }, &f);
}

// The words of a query text, without colocated ones.
std::vector<std::string> words_of(std::string_view text);

// Makes `tokenize='weir'` known to FTS5 on this connection. `tokenize='weir set'` gives each word of a document once: for tables without positions.
Status register_tokenizer(Connection& connection);

}  // namespace weir::store
