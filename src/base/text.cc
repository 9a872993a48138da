#include "base/text.h"

#include <algorithm>

namespace weir {
namespace {

// Length of the valid sequence at `at`, or 0. Table 3-7 of the Unicode standard.
std::size_t sequence(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) { return byte(i) >= low && byte(i) <= high; };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return tail(1) ? 2 : 0;
  if (b == 0xE0) return tail(1, 0xA0) && tail(2) ? 3 : 0;
  if (b == 0xED) return tail(1, 0x80, 0x9F) && tail(2) ? 3 : 0;
  if (b >= 0xE1 && b <= 0xEF) return tail(1) && tail(2) ? 3 : 0;
  if (b == 0xF0) return tail(1, 0x90) && tail(2) && tail(3) ? 4 : 0;
  if (b >= 0xF1 && b <= 0xF3) return tail(1) && tail(2) && tail(3) ? 4 : 0;
  if (b == 0xF4) return tail(1, 0x80, 0x8F) && tail(2) && tail(3) ? 4 : 0;
  return 0;
}

std::size_t ascii_run(std::string_view text, std::size_t at) {
  const std::size_t begin = at;
  while (at + 8 <= text.size()) {
    std::uint64_t word;
    __builtin_memcpy(&word, text.data() + at, 8);
    if (word & 0x8080808080808080ull) break;
    at += 8;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) < 0x80) ++at;
  return at - begin;
}

constexpr std::string_view spaces = " \t\r\n\f\v";

}  // namespace

bool is_valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (const std::size_t run = ascii_run(text, at)) {
      at += run;
      continue;
    }
    const std::size_t n = sequence(text, at);
    if (n == 0) return false;
    at += n;
  }
  return true;
}

std::string repair_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    std::size_t n = sequence(text, at);
    if (n == 1 && text[at] == '\0') {
      out += "\xEF\xBF\xBD";
      ++at;
      continue;
    }
    if (n > 0) {
      out.append(text, at, n);
      at += n;
      continue;
    }
    // The longest prefix of a valid sequence becomes one replacement.
    const auto b = static_cast<unsigned char>(text[at]);
    const std::size_t want = b >= 0xF0 && b <= 0xF4 ? 4 : b >= 0xE0 ? 3 : b >= 0xC2 ? 2 : 1;
    n = 1;
    if (b >= 0xC2 && b <= 0xF4)
      while (n < want && at + n < text.size()) {
        const auto c = static_cast<unsigned char>(text[at + n]);
        const unsigned low = n == 1 ? (b == 0xE0 ? 0xA0 : b == 0xF0 ? 0x90 : 0x80) : 0x80, high = n == 1 ? (b == 0xED ? 0x9F : b == 0xF4 ? 0x8F : 0xBF) : 0xBF;
        if (c < low || c > high) break;
        ++n;
      }
    out += "\xEF\xBF\xBD";
    at += n;
  }
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
  if (c < 0x80) out += static_cast<char>(c);
  else if (c < 0x800) {
    out += static_cast<char>(0xC0 | (c >> 6));
    out += static_cast<char>(0x80 | (c & 63));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | (c >> 12));
    out += static_cast<char>(0x80 | ((c >> 6) & 63));
    out += static_cast<char>(0x80 | (c & 63));
  } else {
    out += static_cast<char>(0xF0 | (c >> 18));
    out += static_cast<char>(0x80 | ((c >> 12) & 63));
    out += static_cast<char>(0x80 | ((c >> 6) & 63));
    out += static_cast<char>(0x80 | (c & 63));
  }
}

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) & 63u : 0u; };
  const auto b = static_cast<unsigned char>(text[at]);
  char32_t c = b;
  std::size_t n = 1;
  if (b >= 0xF0) {
    c = ((b & 7u) << 18) | (byte(1) << 12) | (byte(2) << 6) | byte(3);
    n = 4;
  } else if (b >= 0xE0) {
    c = ((b & 15u) << 12) | (byte(1) << 6) | byte(2);
    n = 3;
  } else if (b >= 0xC0) {
    c = ((b & 31u) << 6) | byte(1);
    n = 2;
  }
  at = std::min(at + n, text.size());
  return c;
}

bool is_cjk(char32_t c) {
  return (c >= 0x2E80 && c <= 0x2FDF) || (c >= 0x3005 && c <= 0x3007) || (c >= 0x3021 && c <= 0x3029) || (c >= 0x3040 && c <= 0x30FF) ||
         (c >= 0x3100 && c <= 0x312F) || (c >= 0x3130 && c <= 0x318F) || (c >= 0x31A0 && c <= 0x31BF) || (c >= 0x31F0 && c <= 0x31FF) ||
         (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0xFF66 && c <= 0xFF9F) || (c >= 0x20000 && c <= 0x323AF);
}

std::string_view trim(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };  // `spaces`; a call of memchr for each character costs more
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::string to_lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [&](char x, char y) { return lower(x) == lower(y); });
}

std::vector<std::string_view> split(std::string_view text, char by) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0;;) {
    const std::size_t end = text.find(by, begin);
    out.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return out;
    begin = end + 1;
  }
}

std::string collapse_spaces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool space = false;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t n = 0;
    if (spaces.find(text[at]) != std::string_view::npos) n = 1;
    else if (text.substr(at).starts_with("\xC2\xA0")) n = 2;
    else if (text.substr(at).starts_with("\xE3\x80\x80")) n = 3;
    if (n) {
      space = true;
      at += n;
      continue;
    }
    if (space && !out.empty()) out += ' ';
    space = false;
    out += text[at++];
  }
  return out;
}

}  // namespace weir
