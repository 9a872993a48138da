#include "encode/unicode.h"

#include <algorithm>
#include <map>
#include <vector>

namespace weir {
namespace {

struct Span {
  char32_t first, last;
};
struct Run {
  char32_t first, last;
  int stride, delta;
};
struct Long {
  char32_t from;
  std::array<char32_t, 3> to;
};
struct Pair {
  char32_t a, b, composed;
};

#include "encode/unicode_tables.inc"

// Pages of 256 entries, equal pages once. An entry is what the code point maps to, less itself, with its kind above.
class FoldTable {
 public:
  FoldTable() : pages_(0x1100) {
    std::vector<std::uint32_t> all(0x110000);
    const auto mark = [&](std::span<const Span> spans, BertKind kind) {
      for (const Span& s : spans)
        for (char32_t c = s.first; c <= s.last; ++c) all[c] = (all[c] & delta_mask) | static_cast<std::uint32_t>(kind) << kind_shift;
    };
    for (char32_t c = 0; c < 0x80; ++c) {
      const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
      if (c < 0x20 || c == 0x7F || space) all[c] = static_cast<std::uint32_t>(space ? BertKind::space : BertKind::removed) << kind_shift;
      else if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
        all[c] = static_cast<std::uint32_t>(BertKind::punctuation) << kind_shift;
      if (c >= 'A' && c <= 'Z') all[c] = 32;
    }
    for (const Run& r : bert_runs)
      for (char32_t c = r.first; c <= r.last; c += static_cast<char32_t>(r.stride)) all[c] = static_cast<std::uint32_t>(r.delta) & delta_mask;
    for (const Long& l : bert_long) all[l.from] = long_bit;
    mark(bert_punctuation, BertKind::punctuation);
    mark(bert_removed, BertKind::removed);
    mark(bert_spaces, BertKind::space);
    mark(bert_chinese, BertKind::chinese);
    all[0xFFFD] = static_cast<std::uint32_t>(BertKind::removed) << kind_shift;
    std::map<std::vector<std::uint32_t>, std::uint16_t> seen;
    for (std::size_t page = 0; page < pages_.size(); ++page) {
      const std::vector<std::uint32_t> entries(all.begin() + static_cast<std::ptrdiff_t>(page * 256),
                                               all.begin() + static_cast<std::ptrdiff_t>(page * 256 + 256));
      const auto [at, fresh] = seen.try_emplace(entries, static_cast<std::uint16_t>(seen.size()));
      if (fresh) entries_.insert(entries_.end(), entries.begin(), entries.end());
      pages_[page] = at->second;
    }
  }

  BertKind kind(char32_t c) const { return static_cast<BertKind>(entry(c) >> kind_shift); }
  std::uint32_t entry(char32_t c) const { return c < 0x110000 ? entries_[std::size_t{pages_[c >> 8U]} * 256 + (c & 255U)] : 0; }

  static constexpr unsigned kind_shift = 28;
  static constexpr std::uint32_t long_bit = 1U << 27U, delta_mask = (1U << 22U) - 1;

 private:
  std::vector<std::uint16_t> pages_;
  std::vector<std::uint32_t> entries_;
};

const FoldTable& folds() {
  static const FoldTable table;
  return table;
}

bool inside(std::span<const Span> spans, char32_t c) {
  const auto at = std::ranges::upper_bound(spans, c, {}, &Span::first);
  return at != spans.begin() && c <= std::prev(at)->last;
}

}  // namespace

BertFold bert_fold(char32_t c, bool lower) {
  const FoldTable& table = folds();
  const std::uint32_t entry = table.entry(c);
  BertFold fold{static_cast<BertKind>(entry >> FoldTable::kind_shift), 1, {c, 0, 0}};
  if (!lower) {
    if (fold.kind == BertKind::removed && c >= 0x300 && c != 0x200C && c != 0x200D && inside(cluster_extend, c)) fold.kind = BertKind::letter;  // accents stay
    return fold;
  }
  if ((entry & FoldTable::long_bit) != 0) {
    const auto* at = std::ranges::lower_bound(bert_long, c, {}, &Long::from);
    fold.out = at->to;
    fold.length = at->to[2] != 0 ? 3 : 2;
    return fold;
  }
  if (c >= 0xAC00 && c < 0xD7A4) {  // Hangul syllables decompose by arithmetic
    const char32_t s = c - 0xAC00, trail = s % 28;
    fold.out = {0x1100 + s / 588, 0x1161 + s % 588 / 28, trail == 0 ? 0 : 0x11A7 + trail};
    fold.length = trail == 0 ? 2 : 3;
    return fold;
  }
  std::uint32_t delta = entry & FoldTable::delta_mask;
  if ((delta & 1U << 21U) != 0) delta |= ~FoldTable::delta_mask;
  if (delta != 0) {
    fold.out[0] = c + delta;
    if (fold.kind == BertKind::letter) fold.kind = table.kind(fold.out[0]);
  }
  return fold;
}

bool joins_cluster(char32_t a, char32_t b) {
  if (a == '\r' && b == '\n') return true;
  if (a < 0x20 || (a >= 0x7F && inside(cluster_control, a))) return false;
  if (b >= 0x300 && inside(cluster_extend, b)) return true;
  return a >= 0x600 && inside(cluster_prepend, a) && b >= 0x20 && !inside(cluster_control, b);
}

char32_t compose(char32_t a, char32_t b) {
  const auto* at = std::ranges::lower_bound(composed_pairs, std::pair(a, b), {}, [](const Pair& p) { return std::pair(p.a, p.b); });
  return at != std::end(composed_pairs) && at->a == a && at->b == b ? at->composed : 0;
}

}  // namespace weir
