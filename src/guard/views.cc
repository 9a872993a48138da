#include "guard/views.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

namespace weir::guard {
namespace {

bool of_a_token(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || c == '-' || c == '.' || c == ':' || c == '/' || c == '@' ||
         c == '=' || c == '+';
}

struct Piece {
  std::size_t length = 0;  // bytes of the text
  std::optional<char> is;  // what it reads as; nothing at all when empty
};

constexpr std::size_t near = 512;  // bytes on either side of what reads differently: more than any token but a key file

// The neighbourhoods of what `piece` recognises, read as it says. next_mark(from) is the next place to ask it about. False when there is none.
template <class M, class F>
bool replace(std::string_view text, Reading& out, M&& next_mark, F&& piece) {
  out.text.clear();
  out.origin.clear();
  const auto copy = [&](std::size_t from, std::size_t to) {
    out.text.append(text, from, to - from);
    for (; from < to; ++from) out.origin.push_back(static_cast<std::uint32_t>(from));
  };
  std::size_t done = 0;  // text up to here is read or passed over
  for (std::size_t at = next_mark(0); at < text.size(); at = next_mark(std::max(at + 1, done))) {
    const Piece found = piece(at);
    if (found.length == 0) continue;
    if (out.text.empty()) done = at - std::min(at, near);
    if (at - done > 2 * near) {  // far from the last one
      copy(done, done + near);
      out.text += '\n';
      out.origin.push_back(static_cast<std::uint32_t>(done + near));
      done = at - near;
    }
    copy(done, at);
    if (found.is) {
      out.text += *found.is;
      out.origin.push_back(static_cast<std::uint32_t>(at));
    }
    done = at + found.length;
  }
  if (out.text.empty()) return false;
  copy(done, std::min(done + near, text.size()));
  out.origin.push_back(static_cast<std::uint32_t>(std::min(done + near, text.size())));
  return true;
}

auto marks(std::string_view text, char mark) {
  return [=](std::size_t from) { return std::min(text.find(mark, from), text.size()); };
}

// Characters that nobody sees: soft hyphen, zero width, bidi, variation selectors, tags. Only where they stand beside a token's character.
std::size_t unseen(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  switch (byte(0)) {
    case 0xC2: return byte(1) == 0xAD ? 2 : 0;                     // U+00AD
    case 0xD8: return byte(1) == 0x9C ? 2 : 0;                     // U+061C
    case 0xCD: return byte(1) == 0x8F ? 2 : 0;                     // U+034F
    case 0xE1: return byte(1) == 0xA0 && byte(2) == 0x8E ? 3 : 0;  // U+180E
    case 0xE2:
      if (byte(1) == 0x80) return (byte(2) >= 0x8B && byte(2) <= 0x8F) || (byte(2) >= 0xAA && byte(2) <= 0xAE) ? 3 : 0;  // U+200B–F, 202A–E
      return byte(1) == 0x81 && byte(2) >= 0xA0 && byte(2) <= 0xAF ? 3 : 0;                                              // U+2060–206F
    case 0xEF:
      if (byte(1) == 0xB8) return byte(2) >= 0x80 && byte(2) <= 0x8F ? 3 : 0;         // U+FE00–FE0F
      return byte(1) == 0xBB && byte(2) == 0xBF ? 3 : 0;                              // U+FEFF
    case 0xF3: return byte(1) == 0xA0 && byte(2) >= 0x80 && byte(2) <= 0x87 ? 4 : 0;  // U+E0000–E01FF
    default: return 0;
  }
}

bool read_invisible(std::string_view text, Reading& out) {
  std::size_t run_end = 0;  // of a run already known to be beside a token
  const auto next_mark = [&](std::size_t from) {
    for (;;) {
      std::uint64_t word;
      for (; from + 8 <= text.size(); from += 8) {  // plain ASCII, eight at a time
        std::memcpy(&word, text.data() + from, 8);
        if (word & 0x8080808080808080u) break;
      }
      for (std::size_t i = 0; i < 8 && from < text.size(); ++i, ++from) {
        const auto c = static_cast<unsigned char>(text[from]);
        if (c >= 0xC2 && (c == 0xC2 || c == 0xCD || c == 0xD8 || c == 0xE1 || c == 0xE2 || c == 0xEF || c == 0xF3)) return from;
      }
      if (from >= text.size()) return text.size();
    }
  };
  return replace(text, out, next_mark, [&](std::size_t at) -> Piece {
    const std::string_view t = text;
    const std::size_t n = unseen(t, at);
    if (n == 0) return {};
    if (at < run_end) return {n, {}};
    if (at == 0 || !of_a_token(t[at - 1])) return {};
    std::size_t end = at + n;
    while (const std::size_t more = end < t.size() ? unseen(t, end) : 0) end += more;
    if (end >= t.size() || !of_a_token(t[end])) return {};
    run_end = end;
    return {n, {}};
  });
}

int hex(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

}  // namespace

bool read_percent(std::string_view text, Reading& out) {
  return replace(text, out, marks(text, '%'), [t = text](std::size_t at) -> Piece {
    if (at + 2 >= t.size() || hex(t[at + 1]) < 0 || hex(t[at + 2]) < 0) return {};
    const char c = static_cast<char>(hex(t[at + 1]) * 16 + hex(t[at + 2]));
    return of_a_token(c) || c == '?' || c == '&' || c == '#' ? Piece{3, c} : Piece{};
  });
}

namespace {

bool read_entities(std::string_view text, Reading& out) {
  return replace(text, out, marks(text, '&'), [t = text](std::size_t at) -> Piece {
    constexpr std::pair<std::string_view, char> names[] = {{"&colon;", ':'},  {"&sol;", '/'},    {"&commat;", '@'}, {"&lowbar;", '_'}, {"&hyphen;", '-'},
                                                           {"&period;", '.'}, {"&equals;", '='}, {"&plus;", '+'},   {"&quest;", '?'}};
    if (at + 1 < t.size() && t[at + 1] != '#') {
      for (const auto& [name, c] : names)
        if (t.substr(at).starts_with(name)) return {name.size(), c};
      return {};
    }
    std::size_t i = at + 2;
    const bool is_hex = i < t.size() && (t[i] == 'x' || t[i] == 'X');
    if (is_hex) ++i;
    const std::size_t digits = i;
    unsigned value = 0;
    for (; i < t.size() && i - digits < 8; ++i) {
      const int d = hex(t[i]);
      if (d < 0 || (!is_hex && d > 9)) break;
      value = value * (is_hex ? 16 : 10) + static_cast<unsigned>(d);
    }
    if (i == digits || value > 127 || !of_a_token(static_cast<char>(value))) return {};
    if (i < t.size() && t[i] == ';') ++i;
    return {i - at, static_cast<char>(value)};
  });
}

constexpr View table[] = {{"invisible", read_invisible}, {"entities", read_entities}, {"percent", read_percent}};

}  // namespace

std::span<const View> views() { return table; }

}  // namespace weir::guard
