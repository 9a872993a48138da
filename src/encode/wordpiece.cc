#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/json.h"
#include "base/text.h"
#include "encode/shown.h"
#include "encode/tokenizer.h"
#include "encode/unicode.h"

namespace weir {
namespace {

constexpr std::size_t vocabulary_limit = 2'000'000;

std::string_view bounded(std::string_view text) {
  if (text.size() <= token_bytes_limit) return text;
  std::size_t n = token_bytes_limit;
  while (n > token_bytes_limit - 4 && (static_cast<unsigned char>(text[n]) & 0xC0U) == 0x80) --n;  // not inside a character
  return text.substr(0, n);
}

}  // namespace

Result<WordPiece> WordPiece::build(std::span<const std::string> vocabulary, Options options) {
  WordPiece w;
  if (vocabulary.size() > vocabulary_limit)
    return fail(Code::corrupt, fmt::format("expected at most {} pieces, found {}", vocabulary_limit, vocabulary.size()));
  std::size_t bytes = 0;
  for (const std::string& piece : vocabulary) bytes += piece.size();
  if (bytes >= (std::size_t{1} << 24U) - 1) return fail(Code::corrupt, fmt::format("expected at most 16 MB of pieces, found {} bytes", bytes));
  for (std::size_t id = 0; id < vocabulary.size(); ++id)
    if (!is_valid_utf8(vocabulary[id]))
      return fail(Code::corrupt, fmt::format("piece {}: expected UTF-8, found the bytes {}", id, to_hex(std::string_view(vocabulary[id]).substr(0, 16))));
  for (std::size_t id = 0; id < vocabulary.size(); ++id) w.trie_.add(vocabulary[id], static_cast<TokenId>(id));
  const auto find = [&](std::string_view piece, TokenId& id) -> Status {
    const std::uint32_t node = w.trie_.walk(piece);
    if (piece.empty() || node == Trie::none || w.trie_.value(node) == Trie::none)
      return fail(Code::corrupt, fmt::format("expected the piece \"{}\" in the vocabulary, found {} others", shown(piece), vocabulary.size()));
    id = w.trie_.value(node);
    return {};
  };
  TRY(find(options.unknown, w.unknown_));
  TRY(find(options.first, w.first_));
  TRY(find(options.last, w.last_));
  w.continuing_ = w.trie_.walk(options.continuing);
  w.size_ = vocabulary.size();
  w.options_ = std::move(options);
  return w;
}

Result<WordPiece> WordPiece::parse_vocabulary(std::string_view lines, bool lower) {
  std::vector<std::string> vocabulary;
  while (!lines.empty() && vocabulary.size() <= vocabulary_limit) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    std::string_view line = lines.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    vocabulary.emplace_back(line);
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return build(vocabulary, {.lower = lower});
}

Result<WordPiece> WordPiece::parse_json(std::string_view text) {
  const json::value document = TRY(weir::parse_json(text, 16));
  const json::object* root = document.if_object();
  const json::object* model = root == nullptr ? nullptr : find_object(*root, "model");
  if (model == nullptr) return fail(Code::corrupt, "expected the member model, found none");
  if (const auto type = find_string(*model, "type"); type && *type != "WordPiece")
    return fail(Code::refused, fmt::format("the tokenizer: expected WordPiece, found {}", shown(*type)));
  const json::object* pieces = find_object(*model, "vocab");
  if (pieces == nullptr) return fail(Code::corrupt, "expected the member model.vocab, found none");
  std::vector<std::string> vocabulary(pieces->size());
  std::vector<bool> seen(pieces->size());
  for (const auto& [piece, id] : *pieces) {
    const std::int64_t* n = id.if_int64();
    if (n == nullptr || *n < 0 || static_cast<std::uint64_t>(*n) >= vocabulary.size() || seen[static_cast<std::size_t>(*n)])
      return fail(Code::corrupt,
                  fmt::format("expected the ids 0 to {}, each once, found {} for \"{}\"", vocabulary.size() - 1, shown(&id), shown(std::string_view(piece))));
    seen[static_cast<std::size_t>(*n)] = true;
    vocabulary[static_cast<std::size_t>(*n)] = piece;
  }
  Options options;
  if (const auto unknown = find_string(*model, "unk_token")) options.unknown = *unknown;
  if (const auto continuing = find_string(*model, "continuing_subword_prefix")) options.continuing = *continuing;
  if (const auto limit = find_int(*model, "max_input_chars_per_word"); limit && *limit > 0 && *limit <= 1000)
    options.word_limit = static_cast<std::size_t>(*limit);
  if (const json::object* normalizer = find_object(*root, "normalizer")) {
    if (const auto type = find_string(*normalizer, "type"); type && *type != "BertNormalizer")
      return fail(Code::refused, fmt::format("the normaliser: expected BertNormalizer, found {}", shown(*type)));
    options.lower = find_bool(*normalizer, "lowercase").value_or(true);
    options.chinese = find_bool(*normalizer, "handle_chinese_chars").value_or(true);
    options.clean = find_bool(*normalizer, "clean_text").value_or(true);
    if (find_bool(*normalizer, "strip_accents").value_or(options.lower) != options.lower)
      return fail(Code::refused, fmt::format("the normaliser: expected strip_accents to be as lowercase is, {}, found {}", options.lower, !options.lower));
  }
  return build(vocabulary, std::move(options));
}

void WordPiece::add_word(std::string_view word, std::size_t characters, std::vector<TokenId>& out) const {
  if (word.empty()) return;
  if (characters > options_.word_limit) return out.push_back(unknown_);
  const std::size_t before = out.size();
  std::uint32_t start = Trie::root;
  for (std::size_t at = 0; at < word.size(); start = continuing_) {
    TokenId best = unknown_;
    std::size_t end = at;
    std::uint32_t node = start;
    for (std::size_t i = at; i < word.size() && node != Trie::none; ++i) {
      node = trie_.step(node, static_cast<unsigned char>(word[i]));
      if (node == Trie::none) break;
      if (trie_.value(node) == Trie::none) continue;
      best = trie_.value(node);
      end = i + 1;
    }
    if (end == at) {  // no piece fits: the whole word is unknown
      out.resize(before);
      return out.push_back(unknown_);
    }
    out.push_back(best);
    at = end;
  }
}

std::vector<TokenId> WordPiece::encode(std::string_view text, std::size_t limit) const {
  text = bounded(text);
  std::string repaired;
  if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
  std::vector<TokenId> out{first_};
  std::string word;
  std::size_t characters = 0;
  const auto flush = [&] {
    add_word(word, characters, out);
    word.clear();
    characters = 0;
  };
  const auto alone = [&](char32_t c) {
    flush();
    append_utf8(word, c);
    characters = 1;
    flush();
  };
  for (std::size_t at = 0; at < text.size() && out.size() < limit;) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9')) {  // the common case
      if (characters++ < options_.word_limit) word += static_cast<char>(byte);
      ++at;
      continue;
    }
    const char32_t c = next_code_point(text, at);
    const BertFold fold = bert_fold(c, options_.lower);
    switch (fold.kind) {
      case BertKind::removed: break;
      case BertKind::space: flush(); break;
      case BertKind::chinese:
        if (options_.chinese) {
          alone(fold.out[0]);
          break;
        }
        [[fallthrough]];
      case BertKind::letter:
        for (std::size_t i = 0; i < fold.length; ++i)
          if (characters++ < options_.word_limit) append_utf8(word, fold.out[i]);
        break;
      case BertKind::punctuation: alone(fold.out[0]); break;
    }
  }
  flush();
  if (out.size() > limit - 1) out.resize(limit - 1);
  out.push_back(last_);
  return out;
}

}  // namespace weir
