#include "store/tokenizer.h"

#include <array>
#include <cstring>
#include <memory>

#include "base/hash.h"
#include "base/text.h"
#include "store/sqlite.h"

namespace weir::store {
namespace {

constexpr std::size_t max_word = 64;

// What one character is in a word.
enum class Kind : std::uint8_t { separator, letter, ideograph, ignored };
struct Folded {
  Kind kind = Kind::separator;
  char32_t as = 0;
};

// Base letters of U+00C0…U+017F and U+1E00…U+1EFF (' ': separator, '?': the character itself).
constexpr std::string_view latin_1 =
    "aaaaaaaceeeeiiiidnooooo ouuuuytsaaaaaaaceeeeiiiidnooooo ouuuuyty"
    "aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";
constexpr std::string_view latin_additional =
    "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyy"
    "zzzzzzhtwyas??s?aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy??????";
static_assert(latin_1.size() == 0x180 - 0xc0 && latin_additional.size() == 0x100);

// What an ASCII character is in a word; 0: a separator.
constexpr auto ascii_fold = [] {
  std::array<char, 128> table{};
  for (int c = 0; c < 128; ++c)
    table[static_cast<std::size_t>(c)] = static_cast<char>((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ? c : c >= 'A' && c <= 'Z' ? c + 32 : 0);
  return table;
}();

Folded fold_ascii(unsigned char c) {
  if (c < 128 && ascii_fold[c] != 0) return {Kind::letter, static_cast<char32_t>(ascii_fold[c])};
  return {};
}

bool between(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

Folded fold(char32_t c) {
  if (c < 0x80) return fold_ascii(static_cast<unsigned char>(c));
  if (is_cjk(c)) return {Kind::ideograph, c};
  if (c < 0xc0) {
    if (c == 0xad) return {Kind::ignored, 0};  // soft hyphen
    if (c == 0xaa || c == 0xb5 || c == 0xba) return {Kind::letter, c};
    return {};
  }
  if (c < 0x180 || between(c, 0x1e00, 0x1eff)) {
    const char base = c < 0x180 ? latin_1[c - 0xc0] : latin_additional[c - 0x1e00];
    if (base == ' ') return {};
    return {Kind::letter, base == '?' ? c : static_cast<char32_t>(base)};
  }
  if (between(c, 0x300, 0x36f) || between(c, 0x200b, 0x200f) || between(c, 0xfe00, 0xfe0f) || c == 0xfeff) return {Kind::ignored, 0};  // accents, joiners
  if (between(c, 0x391, 0x3a9)) return {Kind::letter, c + 32};                                                                         // Greek
  if (between(c, 0x400, 0x40f)) return {Kind::letter, c + 80};                                                                         // Cyrillic
  if (between(c, 0x410, 0x42f)) return {Kind::letter, c + 32};
  if (between(c, 0x460, 0x52f) && !between(c, 0x482, 0x489)) return {Kind::letter, between(c, 0x4c0, 0x4cf) ? c : (c | 1)};
  if (between(c, 0x531, 0x556)) return {Kind::letter, c + 48};                                // Armenian
  if (between(c, 0xff10, 0xff5a)) return fold_ascii(static_cast<unsigned char>(c - 0xfee0));  // full width
  // Blocks of punctuation, symbols and pictures; private use; what stands for a broken character.
  if (between(c, 0x2000, 0x2bff) || between(c, 0x2e00, 0x2e7f) || between(c, 0x3000, 0x3004) || between(c, 0x3008, 0x3020) || between(c, 0x3030, 0x303f) ||
      between(c, 0xe000, 0xf8ff) || between(c, 0xfe10, 0xfe6f) || between(c, 0xff00, 0xff65) || between(c, 0xffe0, 0xffff) || between(c, 0x1f000, 0x1faff) ||
      between(c, 0xe0000, 0x10ffff) || c == 0x60c || c == 0x61b || c == 0x61f || c == 0x964 || c == 0x965)
    return {};
  return {Kind::letter, c};
}

// The character at `at`; bytes that are not UTF-8 are one separator each.
char32_t decode(std::string_view text, std::size_t at, std::size_t& size) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  size = 1;
  if (first < 0x80) return first;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 0;
  if (length == 0 || first > 0xf4 || at + length > text.size()) return 0xfffd;
  char32_t c = first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xc0) != 0x80) return 0xfffd;
    c = c << 6 | (byte(at + i) & 0x3f);
  }
  size = length;
  return c;
}

// A word in the making. What does not fit into max_word bytes is left out, in documents and queries alike.
struct Buffer {
  std::array<char, max_word> bytes;
  std::size_t size = 0;
  bool full = false;
  void add(char32_t c) {
    const std::size_t length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    full = full || size + length > max_word;
    if (full) return;
    if (length == 1) {
      bytes[size++] = static_cast<char>(c);
      return;
    }
    for (std::size_t i = length; i-- > 1; c >>= 6) bytes[size + i] = static_cast<char>(0x80 | (c & 0x3f));
    bytes[size] = static_cast<char>((0xf00u >> length) | c);
    size += length;
  }
};

}  // namespace

void for_each_word(std::string_view text, Purpose purpose, bool (*take)(void*, const Word&), void* self) {
  std::size_t at = 0, size = 0;
  while (at < text.size()) {
    if (const auto byte = static_cast<unsigned char>(text[at]); byte < 0x80 && ascii_fold[byte] == 0) {
      ++at;
      continue;
    }
    const Folded first = fold(decode(text, at, size));
    if (first.kind == Kind::separator || first.kind == Kind::ignored) {
      at += size;
      continue;
    }
    if (first.kind == Kind::ideograph) {
      std::size_t left = at, right = at + size, last = 0;
      bool alone = true;
      while (right < text.size() && fold(decode(text, right, last)).kind == Kind::ideograph) {
        alone = false;
        if (!take(self, {text.substr(left, right + last - left), left, right + last, false})) return;
        left = right;
        right += last;
      }
      if (alone || purpose == Purpose::document)
        if (!take(self, {text.substr(left, right - left), left, right, !alone})) return;
      at = right;
      continue;
    }
    Buffer word;
    const std::size_t start = at;
    while (at < text.size()) {
      const auto byte = static_cast<unsigned char>(text[at]);
      if (byte < 0x80) {
        if (ascii_fold[byte] == 0) break;
        if (word.size < max_word && !word.full) word.bytes[word.size++] = ascii_fold[byte];
        ++at;
        continue;
      }
      const Folded next = fold(decode(text, at, size));
      if (next.kind == Kind::separator || next.kind == Kind::ideograph) break;
      if (next.kind == Kind::letter) word.add(next.as);
      at += size;
    }
    if (!take(self, {{word.bytes.data(), word.size}, start, at, false})) return;
  }
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for_each_word(text, Purpose::query, [&](const Word& word) {
    words.emplace_back(word.text);
    return true;
  });
  return words;
}

namespace {

using TokenFunction = int (*)(void*, int, const char*, int, int, int);
struct Tokenizer {
  bool set = false;
};

// Words that a document had already: a small open table of hashes; when it is crowded a word may come twice, which costs time and nothing else.
class Seen {
 public:
  bool add(std::string_view word) {
    const std::uint64_t hash = xxh3(word) | 1;
    for (std::size_t i = hash >> 52, tries = 0; tries < 8; ++tries, i = (i + 1) % table_.size()) {
      if (table_[i] == hash) return false;
      if (table_[i] == 0) {
        table_[i] = hash;
        return true;
      }
    }
    return true;
  }

 private:
  std::array<std::uint64_t, 4096> table_{};
};

int create(void*, const char** arguments, int n, Fts5Tokenizer** out) {
  auto* made = new Tokenizer{.set = n > 0 && std::strcmp(arguments[0], "set") == 0};
  *out = reinterpret_cast<Fts5Tokenizer*>(made);
  return SQLITE_OK;
}

void destroy(Fts5Tokenizer* tokenizer) { delete reinterpret_cast<Tokenizer*>(tokenizer); }

int tokenize(Fts5Tokenizer* tokenizer, void* context, int flags, const char* bytes, int n, TokenFunction token) {
  if (bytes == nullptr || n <= 0) return SQLITE_OK;
  const bool document = (flags & FTS5_TOKENIZE_DOCUMENT) != 0;
  const std::unique_ptr<Seen> seen = document && reinterpret_cast<Tokenizer*>(tokenizer)->set ? std::make_unique<Seen>() : nullptr;
  int code = SQLITE_OK;
  for_each_word({bytes, static_cast<std::size_t>(n)}, document ? Purpose::document : Purpose::query, [&](const Word& word) {
    if (seen != nullptr && !seen->add(word.text)) return true;
    code = token(context, word.colocated && seen == nullptr ? FTS5_TOKEN_COLOCATED : 0, word.text.data(), static_cast<int>(word.text.size()),
                 static_cast<int>(word.start), static_cast<int>(word.end));
    return code == SQLITE_OK;
  });
  return code;
}

}  // namespace

Status register_tokenizer(Connection& connection) {
  sqlite3_stmt* statement = nullptr;
  fts5_api* api = nullptr;
  if (const int code = sqlite3_prepare_v2(connection.handle(), "SELECT fts5(?1)", -1, &statement, nullptr); code != SQLITE_OK) return connection.error(code);
  sqlite3_bind_pointer(statement, 1, static_cast<void*>(&api), "fts5_api_ptr", nullptr);
  sqlite3_step(statement);
  sqlite3_finalize(statement);
  CHECK(api != nullptr);
  fts5_tokenizer functions{create, destroy, tokenize};
  if (const int code = api->xCreateTokenizer(api, "weir", nullptr, &functions, nullptr); code != SQLITE_OK) return connection.error(code);
  return {};
}

}  // namespace weir::store
