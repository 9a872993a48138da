// What the tokenizers must know of Unicode, from tables that were made by asking the reference tokenizers (goldens/unicode_tables.py).
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace weir {

enum class BertKind : std::uint8_t { letter, removed, space, chinese, punctuation };

struct BertFold {
  BertKind kind = BertKind::letter;
  std::uint8_t length = 1;
  std::array<char32_t, 3> out{};  // lower case, decomposed, without marks
};
BertFold bert_fold(char32_t code_point, bool lower);  // kind is of what comes out; `lower` off: only what is removed, spaces and kinds

// Extended grapheme clusters of fewer than six bytes, which is as far as SentencePiece's normaliser looks: does `b` belong to the cluster of `a`?
bool joins_cluster(char32_t a, char32_t b);
char32_t compose(char32_t a, char32_t b);  // the canonical composition of a pair, or 0

}  // namespace weir
