// Text → token ids. Immutable after it is built; any thread. Two kinds, for the two families of models: WordPiece (Wu 2016, arXiv:1609.08144; as in
// BERT) and the unigram language model (Kudo 2018, arXiv:1804.10959; as in SentencePiece). Ids equal the reference tokenizers', except that control
// words in a text ("[SEP]", "</s>") are plain text here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "encode/trie.h"

namespace weir {

using TokenId = std::uint32_t;

// Bytes of a text that are looked at: more than any 512 tokens of real text; what bounds the time of a hostile one.
inline constexpr std::size_t token_bytes_limit = std::size_t{256} << 10U;

class WordPiece {
 public:
  struct Options {
    bool lower = true;  // and without accents
    bool chinese = true, clean = true;
    std::string unknown = "[UNK]", first = "[CLS]", last = "[SEP]", continuing = "##";
    std::size_t word_limit = 100;  // characters; a longer word is unknown
  };
  // Errors: corrupt (a control word is missing, ids are not 0…n-1).
  static Result<WordPiece> build(std::span<const std::string> vocabulary, Options options);
  // tokenizer.json of the `tokenizers` library. Errors: malformed, corrupt, refused (another kind of tokenizer).
  static Result<WordPiece> parse_json(std::string_view json);
  // vocab.txt: a piece a line.
  static Result<WordPiece> parse_vocabulary(std::string_view lines, bool lower);

  std::vector<TokenId> encode(std::string_view text, std::size_t limit) const;  // [CLS] … [SEP], at most `limit` of them
  std::size_t size() const { return size_; }

 private:
  WordPiece() = default;
  void add_word(std::string_view word, std::size_t characters, std::vector<TokenId>& out) const;
  Options options_;
  Trie trie_;
  std::uint32_t continuing_ = Trie::none;
  TokenId unknown_ = 0, first_ = 0, last_ = 0;
  std::size_t size_ = 0;
};

class Unigram {
 public:
  struct Rule {
    char32_t from;
    std::u32string to;
  };
  struct Options {
    TokenId first = 0, pad = 1, last = 2, unknown = 3;
    std::string prefix;  // put before every text
  };
  // pieces: their bytes, ids are positions; scores: log probabilities; rules: sorted by code point. Errors: corrupt.
  static Result<Unigram> build(std::span<const std::string_view> pieces, std::vector<float> scores, std::vector<Rule> rules, Options options);

  std::vector<TokenId> encode(std::string_view text, std::size_t limit) const;  // <s> … </s>
  std::size_t size() const { return scores_.size(); }

 private:
  Unigram() = default;
  friend struct UnigramRun;
  const Rule* rule(char32_t c) const;
  Options options_;
  Trie trie_;
  std::vector<float> scores_;
  double unknown_score_ = 0;
  std::vector<Rule> rules_;
  std::vector<std::uint16_t> rule_pages_;    // by code point / 256, into rule_entries_
  std::vector<std::uint16_t> rule_entries_;  // 1 + index of the rule; 0 is none
};

using Tokenizer = std::variant<WordPiece, Unigram>;

}  // namespace weir
