#include "ingest/charset.h"

#include <lexbor/encoding/encoding.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "base/text.h"
#include "ingest/xml.h"

namespace weir {
namespace {

using xml::windows1252;

unsigned byte(std::string_view s, std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; }

// ---- UTF-8 and what must not be in it

struct Scan {
  bool utf8 = true;   // valid
  bool ascii = true;  // nothing above 0x7F
  bool plain = true;  // no control characters (C1 among them), no carriage returns
};

Scan scan(std::string_view text) {
  Scan found;
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  const auto tail = [&](int i) { return (p[i] & 0xC0) == 0x80; };
  while (p < end) {
    // Eight bytes at a time as long as they are ASCII without control characters; line feeds and tabs are looked at singly.
    while (p + 8 <= end) {
      std::uint64_t word;
      std::memcpy(&word, p, 8);
      const std::uint64_t below_space = (word - 0x2020202020202020ull) & ~word;
      if ((word | below_space) & 0x8080808080808080ull) break;
      p += 8;
    }
    // Then one by one to the next quiet stretch.
    for (int budget = 8; budget > 0 && p < end; --budget) {
      const unsigned c = *p;
      if (c < 0x80) {
        if (c < 0x20 && c != '\n' && c != '\t') found.plain = false;
        ++p;
        continue;
      }
      found.ascii = false;
      const auto left = end - p;
      if (c >= 0xE1 && c <= 0xEF && c != 0xED && left >= 3 && tail(1) && tail(2)) p += 3, ++budget;  // most of Chinese; E0 and ED have gaps
      else if (c >= 0xC2 && c <= 0xDF && left >= 2 && tail(1)) found.plain = found.plain && (c != 0xC2 || p[1] >= 0xA0), p += 2;
      else if (c == 0xE0 && left >= 3 && p[1] >= 0xA0 && tail(1) && tail(2)) p += 3;
      else if (c == 0xED && left >= 3 && p[1] < 0xA0 && tail(1) && tail(2)) p += 3;
      else if (c >= 0xF0 && c <= 0xF4 && left >= 4 && tail(1) && tail(2) && tail(3) && (c != 0xF0 || p[1] >= 0x90) && (c != 0xF4 || p[1] < 0x90)) p += 4;
      else {
        found.utf8 = false;
        return found;
      }
    }
  }
  return found;
}

std::string make_plain(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 16);
  for (std::size_t in = 0; in < text.size(); ++in) {
    const auto c = static_cast<unsigned char>(text[in]);
    if (c == '\r') {
      if (in + 1 == text.size() || text[in + 1] != '\n') out += '\n';
    } else if (c == 0xC2 && byte(text, in + 1) < 0xA0) {
      append_utf8(out, windows1252(byte(text, ++in)));  // C1: somebody took windows-1252 for latin1
    } else if (c >= 0x20 || c == '\n' || c == '\t') out += text[in];
  }
  return out;
}

// ---- decoders

const lxb_encoding_data_t* find_encoding(std::string_view label) {
  label = trim(label);
  if (label.empty() || label.size() > 64) return nullptr;
  const auto* data = lxb_encoding_data_by_name(reinterpret_cast<const lxb_char_t*>(label.data()), label.size());
  return data && data->encoding > LXB_ENCODING_UNDEFINED ? data : nullptr;
}

std::string name_of(const lxb_encoding_data_t& data) { return to_lower_ascii(reinterpret_cast<const char*>(data.name)); }

// Appends UTF-8; what cannot be decoded becomes U+FFFD and counts as an error.
std::size_t decode(std::string_view bytes, const lxb_encoding_data_t& encoding, std::string& out) {
  static constexpr lxb_codepoint_t replacement = 0xFFFD;
  std::array<lxb_codepoint_t, 4096> buffer;
  lxb_encoding_decode_t context;
  lxb_encoding_decode_init(&context, &encoding, buffer.data(), buffer.size());
  lxb_encoding_decode_replace_set(&context, &replacement, 1);
  std::size_t errors = 0;
  const auto flush = [&] {
    for (std::size_t i = 0; i < lxb_encoding_decode_buf_used(&context); ++i) {
      errors += buffer[i] == replacement || buffer[i] > 0x10FFFF;
      append_utf8(out, buffer[i]);
    }
    lxb_encoding_decode_buf_used_set(&context, 0);
  };
  const auto* at = reinterpret_cast<const lxb_char_t*>(bytes.data());
  const auto* const end = at + bytes.size();
  out.reserve(out.size() + bytes.size() + bytes.size() / 2);
  for (;;) {
    const lxb_char_t* const before = at;
    const lxb_status_t status = encoding.decode(&context, &at, end);
    const bool stuck = status == LXB_STATUS_SMALL_BUFFER && at == before && lxb_encoding_decode_buf_used(&context) == 0;
    flush();
    if (status != LXB_STATUS_SMALL_BUFFER || stuck) break;
  }
  lxb_encoding_decode_finish(&context);
  flush();
  return errors;
}

std::size_t decode_utf32(std::string_view bytes, bool big, std::string& out) {
  std::size_t errors = bytes.size() % 4 != 0;
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    const std::uint32_t c = big ? byte(bytes, i) << 24 | byte(bytes, i + 1) << 16 | byte(bytes, i + 2) << 8 | byte(bytes, i + 3)
                                : byte(bytes, i + 3) << 24 | byte(bytes, i + 2) << 16 | byte(bytes, i + 1) << 8 | byte(bytes, i);
    errors += c > 0x10FFFF || (c >= 0xD800 && c < 0xE000);
    append_utf8(out, c);
  }
  return errors;
}

// ---- what a document says of itself: <?xml … encoding="…"?> or <meta charset>, in the first kilobyte, read as ASCII

std::string_view declared(std::string_view bytes) {
  std::string_view head = bytes.substr(0, 1024);
  const auto find_word = [&](std::string_view word, char first) {
    for (std::size_t at = 0; (at = head.find(first, at)) != std::string_view::npos; ++at)
      if (equal_ignoring_case(head.substr(at, word.size()), word)) return at;
    return std::string_view::npos;
  };
  std::string_view word = "encoding";
  if (const std::size_t declaration = head.find("<?xml"); declaration != std::string_view::npos) {
    head = head.substr(declaration);
    head = head.substr(0, head.find("?>"));
  } else {
    const std::size_t meta = find_word("<meta", '<');
    if (meta == std::string_view::npos) return {};
    head = head.substr(meta);
    word = "charset";
  }
  std::size_t at = std::min(find_word(word, word[0]), find_word(word, static_cast<char>(word[0] - 'a' + 'A')));
  if (at == std::string_view::npos) return {};
  at = head.find_first_not_of(" \t\r\n", at + word.size());
  if (at == std::string_view::npos || head[at] != '=') return {};
  at = head.find_first_not_of(" \t\r\n\"'", at + 1);
  if (at == std::string_view::npos) return {};
  return head.substr(at, head.find_first_of(" \t\r\n\"'>;?/", at) - at);
}

// ---- what the bytes look like when nobody says, or what was said is wrong

// UTF-16 and UTF-32 without a mark begin with "<" and zeros.
std::string_view wide(std::string_view b) {
  if (b.size() < 4) return {};
  const unsigned a = byte(b, 0), c = byte(b, 1), d = byte(b, 2), e = byte(b, 3);
  const auto opens = [](unsigned x) { return x == '<' || x == '{' || x == ' ' || x == '\n' || x == '\r'; };
  if (!a && !c && !d && opens(e)) return "utf-32be";
  if (opens(a) && !c && !d && !e) return "utf-32le";
  if (!a && opens(c) && !d && e) return "utf-16be";
  if (opens(a) && !c && d && !e) return "utf-16le";
  return {};
}

// A legacy charset from the distribution of its bytes, in the first 64 kB. The ranges are those where the common characters of a language lie
// (GB 2312 level 1, Big5 level 1, kana, hangul syllables, lower-case Cyrillic, …).
std::string_view legacy(std::string_view bytes) {
  bytes = bytes.substr(0, 64 * 1024);
  std::size_t high = 0, paired = 0, euc = 0, euc_bad = 0, pairs = 0, kana = 0, hangul = 0, big5 = 0, big5_bad = 0, sjis = 0, sjis_kana = 0, sjis_bad = 0,
              gbk_bad = 0;
  std::array<std::size_t, 256> count{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const unsigned a = byte(bytes, i);
    if (a < 0x80) continue;
    ++high;
    ++count[a];
    if (byte(bytes, i + 1) >= 0x80 || (i && byte(bytes, i - 1) >= 0x80)) ++paired;
  }
  if (high == 0) return "utf-8";
  for (std::size_t i = 0; i < bytes.size(); ++i) {  // as EUC: both bytes A1 to FE
    const unsigned a = byte(bytes, i), b = byte(bytes, i + 1);
    if (a < 0x80) continue;
    ++euc;
    if (a < 0xA1 || b < 0xA1) {
      ++euc_bad;
      continue;
    }
    kana += a == 0xA4 || a == 0xA5;
    hangul += a >= 0xB0 && a <= 0xC8;
    ++i;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {  // as Big5 and GBK: the second byte may be ASCII
    const unsigned a = byte(bytes, i), b = byte(bytes, i + 1);
    if (a < 0x80) continue;
    ++pairs;
    big5 += a >= 0xA4 && a <= 0xC6;
    big5_bad += a < 0xA1 || a > 0xF9 || b < 0x40 || (b > 0x7E && b < 0xA1);
    gbk_bad += a == 0x80 || b < 0x40 || b == 0x7F;
    ++i;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {  // as Shift_JIS: half-width kana are one byte
    const unsigned a = byte(bytes, i), b = byte(bytes, i + 1);
    if (a < 0x80 || (a >= 0xA1 && a <= 0xDF)) continue;
    ++sjis;
    sjis_kana += (a == 0x82 && b >= 0x9F) || (a == 0x83 && b >= 0x40 && b <= 0x96);
    sjis_bad += a == 0x80 || a == 0xA0 || a > 0xFC || b < 0x40 || b == 0x7F;
    ++i;
  }
  const auto share = [](std::size_t part, std::size_t of) { return of ? static_cast<double>(part) / static_cast<double>(of) : 0.0; };
  const bool dense = share(paired, high) > 0.6 && high >= 4;
  if (!dense) return "windows-1252";
  if (share(sjis_bad, sjis) < 0.01 && share(sjis_kana, sjis) > 0.15) return "shift_jis";
  if (share(euc_bad, euc) < 0.01) {
    if (share(kana, euc) > 0.15) return "euc-jp";
    // Cyrillic, Greek, Hebrew and Thai are dense too, but their words are of any length: an odd one breaks the pairs.
    if (share(hangul, euc) > 0.85) return "euc-kr";
    return "gb18030";
  }
  if (share(big5_bad, pairs) < 0.01 && share(big5, pairs) > 0.75) return "big5";
  const auto range = [&](unsigned from, unsigned to) {
    std::size_t sum = 0;
    for (unsigned i = from; i <= to; ++i) sum += count[i];
    return share(sum, high);
  };
  if (high > 40 && range(0xE0, 0xFA) > 0.9 && range(0xFB, 0xFF) < 0.005 && range(0xC0, 0xDF) < 0.005) return "windows-1255";
  if (range(0xA1, 0xDA) > 0.5 && range(0xE0, 0xFB) > 0.1 && range(0xFC, 0xFF) < 0.005 && range(0xA1, 0xBF) > 0.2) return "windows-874";
  if (range(0xE0, 0xFF) > 0.6) return "windows-1251";
  if (range(0xC0, 0xDF) > 0.6) return "koi8-r";
  if (share(gbk_bad, pairs) < 0.005) return "gb18030";
  return "windows-1252";
}

// How many bytes of broken and how many characters of sound UTF-8 there are above ASCII.
bool mostly_utf8(std::string_view bytes) {
  std::size_t sound = 0, broken = 0;
  for (std::size_t i = 0; i < bytes.size();) {
    const unsigned c = byte(bytes, i);
    const std::size_t n = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xF0 && c < 0xF5 ? 4 : 0;
    bool good = n > 0;
    for (std::size_t k = 1; k < n; ++k) good = good && (byte(bytes, i + k) & 0xC0) == 0x80;
    if (c >= 0x80) ++(good ? sound : broken);
    i += good ? n : 1;
  }
  return sound > 2 * broken;
}

}  // namespace

std::string_view charset_parameter(std::string_view content_type) {
  for (std::size_t at = content_type.find(';'); at != std::string_view::npos; at = content_type.find(';', at + 1)) {
    std::string_view part = content_type.substr(at + 1);
    part = trim(part.substr(0, part.find(';')));
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || !equal_ignoring_case(trim(part.substr(0, equals)), "charset")) continue;
    std::string_view value = trim(part.substr(equals + 1));
    while (!value.empty() && (value.front() == '"' || value.front() == '\'')) value.remove_prefix(1);
    while (!value.empty() && (value.back() == '"' || value.back() == '\'')) value.remove_suffix(1);
    return value;
  }
  return {};
}

std::string charset_name(std::string_view label) {
  if (const auto* encoding = find_encoding(label)) return name_of(*encoding);
  // What the WHATWG left out, or never listed, and feeds use.
  const std::string lower = to_lower_ascii(trim(label));
  if (lower == "utf-32" || lower == "utf32" || lower == "u32" || lower == "utf_32" || lower == "utf-32be") return "utf-32be";
  if (lower == "utf-32le") return "utf-32le";
  if (lower == "u16" || lower == "utf16" || lower == "utf_16") return "utf-16le";
  if (lower == "u8" || lower == "utf_8" || lower == "utf-8n") return "utf-8";
  if (lower == "cp936" || lower == "ms936") return "gbk";
  if (lower == "cp950") return "big5";
  if (lower == "cp932") return "shift_jis";
  if (lower == "cp949" || lower == "ms949") return "euc-kr";
  return {};
}

Result<Decoded> to_utf8(std::string_view bytes, std::string_view content_type) {
  Decoded out;
  const auto finish = [&](std::string_view encoding) -> Result<Decoded> {
    out.encoding = encoding;
    if (!scan(out.text).plain) out.text = make_plain(out.text);
    return std::move(out);
  };

  // A mark at the front is never wrong.
  static constexpr std::pair<std::string_view, std::string_view> marks[] = {{"\xEF\xBB\xBF", "utf-8"},
                                                                            {std::string_view("\xFF\xFE\0\0", 4), "utf-32le"},
                                                                            {std::string_view("\0\0\xFE\xFF", 4), "utf-32be"},
                                                                            {"\xFE\xFF", "utf-16be"},
                                                                            {"\xFF\xFE", "utf-16le"}};
  std::string_view said_by_mark;
  for (const auto& [mark, name] : marks)
    if (bytes.starts_with(mark)) {
      said_by_mark = name;
      bytes.remove_prefix(mark.size());
      break;
    }

  const Scan found = scan(bytes);
  // UTF-8 that a header or a declaration calls ASCII is UTF-8; a windows-1252 label stands, it is the common one for true latin1.
  const auto ascii_label = [](std::string_view label) { return equal_ignoring_case(label, "us-ascii") || equal_ignoring_case(label, "ascii"); };
  const std::string_view nothing;
  const std::string_view wide_name = said_by_mark.empty() ? wide(bytes) : nothing;
  for (const auto& [label, by] : {std::pair{said_by_mark, "byte order mark"},
                                  {charset_parameter(content_type), "HTTP header"},
                                  {wide_name, "first bytes"},
                                  {declared(bytes), "declaration"}}) {
    if (label.empty()) continue;
    const std::string name = charset_name(label);
    if (name.empty()) {
      out.warnings.push_back("the " + std::string(by) + " names a charset that nobody knows: " + repair_utf8(label.substr(0, 40)));
      continue;
    }
    if (name == "utf-8") {
      if (found.utf8) {
        out.text = found.plain ? std::string(bytes) : make_plain(bytes);
        out.encoding = name;
        return out;
      }
      out.warnings.push_back("the " + std::string(by) + " says utf-8, but the bytes are not");
      if (mostly_utf8(bytes) || !said_by_mark.empty()) {
        out.text = repair_utf8(bytes);
        return finish(name);
      }
      continue;
    }
    const bool is_wide = name.starts_with("utf-16") || name.starts_with("utf-32");
    if (is_wide && said_by_mark.empty() && wide_name.empty()) {
      out.warnings.push_back("the " + std::string(by) + " says " + name + ", but the bytes are not");
      continue;
    }
    const std::string_view real = is_wide && !wide_name.empty() ? wide_name : std::string_view(name);  // a label says the width, the bytes their order
    if (ascii_label(label) && found.utf8 && !found.ascii) continue;
    if (real.starts_with("utf-32")) {
      if (decode_utf32(bytes, real == "utf-32be", out.text)) out.warnings.push_back("bytes that are not " + std::string(real) + " were replaced");
      return finish(real);
    }
    const lxb_encoding_data_t* encoding = find_encoding(real);
    if (encoding == nullptr || encoding->encoding == LXB_ENCODING_REPLACEMENT) continue;
    if (found.ascii && found.plain && !is_wide && encoding->encoding != LXB_ENCODING_ISO_2022_JP) {
      out.text = bytes;
      return finish(real);
    }
    const std::size_t errors = decode(bytes, *encoding, out.text);
    if (errors > 0) {
      out.warnings.push_back("bytes that are not " + std::string(real) + " were replaced");
      if (found.utf8 && !is_wide) {
        out.text.clear();
        continue;
      }  // they are something else, and sound
    }
    return finish(real);
  }

  if (found.utf8) {
    out.text = found.plain ? std::string(bytes) : make_plain(bytes);
    out.encoding = "utf-8";
    return out;
  }
  // A stray control character is damage; one in twenty is a picture or an archive.
  const auto controls = std::ranges::count_if(bytes, [](char c) { return static_cast<unsigned char>(c) < '\t'; });
  if (static_cast<std::size_t>(controls) * 20 > bytes.size())
    return fail(Code::encoding, say("no_charset", "the bytes are no text in any charset that was tried"), {}, "give a feed, or name its charset");
  if (mostly_utf8(bytes)) {
    out.warnings.emplace_back("bytes that are not utf-8 were replaced");
    out.text = repair_utf8(bytes);
    return finish("utf-8");
  }
  const std::string_view guess = legacy(bytes);
  out.warnings.push_back("no charset is said that fits; the bytes look like " + std::string(guess));
  decode(bytes, *find_encoding(guess), out.text);
  return finish(guess);
}

}  // namespace weir
