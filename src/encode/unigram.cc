#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/hash.h"
#include "base/text.h"
#include "encode/tokenizer.h"
#include "encode/unicode.h"

namespace weir {
namespace {

constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581 stands for a space
constexpr std::size_t word_bytes_limit = 16U << 10U;     // a longer word is cut: its best path is found piece by piece
constexpr double unknown_penalty = 10.0;

}  // namespace

Result<Unigram> Unigram::build(std::span<const std::string_view> pieces, std::vector<float> scores, std::vector<Rule> rules, Options options) {
  if (pieces.size() != scores.size()) return fail(Code::corrupt, fmt::format("expected {} scores, one a piece, found {}", pieces.size(), scores.size()));
  for (const TokenId id : {options.first, options.pad, options.last, options.unknown})
    if (id >= pieces.size()) return fail(Code::corrupt, fmt::format("a control id: expected less than {}, the number of pieces, found {}", pieces.size(), id));
  if (rules.size() >= 0xFFFF) return fail(Code::corrupt, fmt::format("expected at most 65534 normalisation rules, found {}", rules.size()));
  std::size_t bytes = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    bytes += pieces[id].size();
    if (!std::isfinite(scores[id])) return fail(Code::corrupt, fmt::format("the score of piece {}: expected a finite number, found {}", id, scores[id]));
    if (!is_valid_utf8(pieces[id]))
      return fail(Code::corrupt, fmt::format("piece {}: expected UTF-8, found the bytes {}", id, to_hex(pieces[id].substr(0, 16))));
    least = std::min(least, static_cast<double>(scores[id]));
  }
  if (bytes >= (std::size_t{1} << 24U) - 1) return fail(Code::corrupt, fmt::format("expected at most 16 MB of pieces, found {} bytes", bytes));
  Unigram u;
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const bool control = id == options.first || id == options.pad || id == options.last || id == options.unknown || pieces[id] == "<mask>";
    if (!control && !pieces[id].empty()) u.trie_.add(pieces[id], static_cast<TokenId>(id));
  }
  u.unknown_score_ = least - unknown_penalty;
  u.rule_pages_.assign(0x1100, 0);
  u.rule_entries_.assign(256, 0);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const char32_t c = rules[i].from;
    if (c >= 0x110000 || (i > 0 && c <= rules[i - 1].from))
      return fail(Code::corrupt,
                  fmt::format("normalisation rule {}: expected code points in ascending order, found U+{:04X}", i, static_cast<std::uint32_t>(c)));
    for (const char32_t to : rules[i].to)
      if (to >= 0x110000 || (to >= 0xD800 && to < 0xE000))
        return fail(Code::corrupt, fmt::format("normalisation rule {}: expected characters, found {:#x}", i, static_cast<std::uint32_t>(to)));
    std::uint16_t& page = u.rule_pages_[c >> 8U];
    if (page == 0) {
      page = static_cast<std::uint16_t>(u.rule_entries_.size() / 256);
      u.rule_entries_.resize(u.rule_entries_.size() + 256);
    }
    u.rule_entries_[std::size_t{page} * 256 + (c & 255U)] = static_cast<std::uint16_t>(i + 1);
  }
  u.scores_ = std::move(scores);
  u.rules_ = std::move(rules);
  u.options_ = std::move(options);
  return u;
}

const Unigram::Rule* Unigram::rule(char32_t c) const {
  const std::uint16_t i = rule_entries_[std::size_t{rule_pages_[c >> 8U]} * 256 + (c & 255U)];
  return i == 0 ? nullptr : &rules_[i - 1U];
}

// One text on its way to ids: normalised characters go in one by one, words come out at spaces.
struct UnigramRun {
  const Unigram& u;
  std::size_t limit;
  std::vector<TokenId> out;
  std::string word;
  bool any = false, after_space = false, unknown_before = false;
  struct Step {
    double score;
    std::uint32_t from;
    TokenId id;
  };
  std::vector<Step> best;

  void put(char32_t c) {
    if (c == ' ') {
      if (!after_space) {
        end_word();
        word = space_mark;
      }
      any = after_space = true;
      return;
    }
    if (!any) word = space_mark;
    any = true;
    after_space = false;
    if (word.size() >= word_bytes_limit) cut_word();
    append_utf8(word, c);
  }

  void end_word() {
    cut_word();
    unknown_before = false;
  }

  // The most probable split of the word (Viterbi). Unknown characters in a row are one token.
  void cut_word() {
    constexpr double unreached = -std::numeric_limits<double>::infinity();
    const std::size_t n = word.size();
    if (n == 0) return;
    best.assign(n + 1, {unreached, 0, 0});
    best[0].score = 0;
    for (std::size_t at = 0; at < n;) {
      const double so_far = best[at].score;
      const auto lead = static_cast<unsigned char>(word[at]);
      const std::size_t next = at + (lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4);
      bool single = false;
      std::uint32_t node = Trie::root;
      for (std::size_t i = at; i < n;) {
        node = u.trie_.step(node, static_cast<unsigned char>(word[i++]));
        if (node == Trie::none) break;
        const TokenId id = u.trie_.value(node);
        if (id == Trie::none) continue;
        single |= i == next;
        const double score = so_far + static_cast<double>(u.scores_[id]);
        if (score > best[i].score) best[i] = {score, static_cast<std::uint32_t>(at), id};
      }
      if (!single && so_far + u.unknown_score_ > best[next].score) best[next] = {so_far + u.unknown_score_, static_cast<std::uint32_t>(at), u.options_.unknown};
      at = next;
    }
    const std::size_t before = out.size();
    for (std::size_t at = n; at > 0; at = best[at].from) out.push_back(best[at].id);
    std::reverse(out.begin() + static_cast<std::ptrdiff_t>(before), out.end());
    std::size_t kept = before;
    for (std::size_t i = before; i < out.size(); ++i) {
      const bool unknown = out[i] == u.options_.unknown;
      if (!unknown || !unknown_before) out[kept++] = out[i];
      unknown_before = unknown;
    }
    out.resize(kept);
    word.clear();
  }

  void put_mapped(char32_t c) {
    const Unigram::Rule* rule = u.rule(c);
    if (rule == nullptr) return put(c);
    for (const char32_t to : rule->to) put(to);
  }

  // The reference looks up a grapheme cluster of fewer than six bytes as a whole and takes the shortest rule that begins it, dropping the rest; else it
  // goes character by character.
  void normalise(std::string_view text) {
    for (std::size_t at = 0; at < text.size() && out.size() < limit;) {
      const std::size_t start = at;
      const char32_t c = next_code_point(text, at);
      if (at >= text.size() || (c < 0x80 && c != '\r' && static_cast<unsigned char>(text[at]) < 0x80)) {
        put_mapped(c);
        continue;
      }
      std::size_t end = at, ahead = at;
      char32_t last = c, second = 0;
      while (ahead < text.size() && end - start < 6) {
        const char32_t next = next_code_point(text, ahead);
        if (!joins_cluster(last, next)) break;
        if (second == 0) second = next;
        last = next;
        end = ahead;
      }
      if (second != 0 && end - start < 6) {
        const char32_t composed = u.rule(c) == nullptr ? compose(c, second) : 0;
        if (u.rule(c) != nullptr || composed != 0) {
          if (composed != 0) put(composed);
          else put_mapped(c);
          at = end;
          continue;
        }
      }
      put_mapped(c);
    }
  }
};

std::vector<TokenId> Unigram::encode(std::string_view text, std::size_t limit) const {
  text = text.substr(0, token_bytes_limit);
  while (!text.empty() && text.size() == token_bytes_limit && (static_cast<unsigned char>(text.back()) & 0xC0U) == 0x80) text.remove_suffix(1);
  std::string repaired;
  if (!is_valid_utf8(text)) text = repaired = repair_utf8(text);
  UnigramRun run{.u = *this, .limit = limit, .out = {options_.first}, .word = {}, .best = {}};
  run.normalise(options_.prefix);
  run.normalise(text);
  if (!run.any) run.word = space_mark;
  run.end_word();
  if (run.out.size() > limit - 1) run.out.resize(limit - 1);
  run.out.push_back(options_.last);
  return std::move(run.out);
}

}  // namespace weir
