#include "store/codec.h"

#include <fmt/format.h>
#include <zdict.h>
#include <zstd.h>

#include <algorithm>

#include "store/sqlite.h"

namespace weir::store {
namespace {

constexpr int level = 3;                      // 6 to 9 cost 2 to 4 times as much for 4 to 9 % (docs/decisions/2026-11-24-store.md)
constexpr std::size_t max_plain = 64u << 20;  // what a frame may claim; ingest's limits are far below

void put(std::string& out, std::string_view field) {
  std::size_t n = field.size();
  for (; n >= 0x80; n >>= 7) out += static_cast<char>(0x80 | (n & 0x7f));
  out += static_cast<char>(n);
  out += field;
}

bool take(std::string_view& in, std::string_view& field) {
  std::size_t n = 0;
  for (int shift = 0;; shift += 7) {
    if (in.empty() || shift > 35) return false;
    const auto byte = static_cast<unsigned char>(in.front());
    in.remove_prefix(1);
    n |= static_cast<std::size_t>(byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  if (n > in.size()) return false;
  field = in.substr(0, n);
  in.remove_prefix(n);
  return true;
}

}  // namespace

Script script_of(std::string_view text) {
  std::size_t cjk = 0, seen = 0;
  const std::size_t step = std::max<std::size_t>(1, text.size() / 512);
  for (std::size_t i = 0; i < text.size(); i += step, ++seen) {
    const auto byte = static_cast<unsigned char>(text[i]);
    cjk += byte >= 0xe3 && byte <= 0xed ? 1 : 0;  // lead bytes of Han, kana, hangul: one byte in three of such a text
  }
  return cjk * 10 > seen ? Script::cjk : Script::other;
}

struct Dictionaries::Entry {
  ZSTD_CDict_s* compress = nullptr;
  ZSTD_DDict_s* expand = nullptr;
  ~Entry() {
    ZSTD_freeCDict(compress);
    ZSTD_freeDDict(expand);
  }
};

Dictionaries::Dictionaries() = default;
Dictionaries::~Dictionaries() = default;

int Dictionaries::current(Script script) const {
  const std::scoped_lock lock(mutex_);
  return current_[static_cast<int>(script)];
}

void Dictionaries::set_current(Script script, int id) {
  const std::scoped_lock lock(mutex_);
  current_[static_cast<int>(script)] = id;
}

Status Dictionaries::load_current(Connection& connection) {
  Query query(connection, "SELECT script, max(id) FROM dicts GROUP BY script");
  while (TRY(query.next()))
    if (query.integer(0) >= 0 && query.integer(0) < scripts) set_current(static_cast<Script>(query.integer(0)), static_cast<int>(query.integer(1)));
  return {};
}

Result<const Dictionaries::Entry*> Dictionaries::find(int id, Connection& connection) {
  if (id < scripts) return nullptr;
  {
    const std::scoped_lock lock(mutex_);
    if (const auto found = entries_.find(id); found != entries_.end()) return found->second.get();
  }
  const auto bytes = TRY(connection.text("SELECT z FROM dicts WHERE id=?", id));
  if (!bytes) return fail(Code::corrupt, fmt::format("compression dictionary {} is missing", id), connection.file(), "restore a backup: weir restore FILE");
  auto entry = std::make_unique<Entry>();
  entry->compress = ZSTD_createCDict(bytes->data(), bytes->size(), level);
  entry->expand = ZSTD_createDDict(bytes->data(), bytes->size());
  if (entry->compress == nullptr || entry->expand == nullptr) return fail(Code::unavailable, "no memory for a compression dictionary");
  const std::scoped_lock lock(mutex_);
  return entries_.try_emplace(id, std::move(entry)).first->second.get();
}

void Codec::FreeC::operator()(ZSTD_CCtx_s* c) const { ZSTD_freeCCtx(c); }
void Codec::FreeD::operator()(ZSTD_DCtx_s* d) const { ZSTD_freeDCtx(d); }

Codec::Codec() = default;
Codec::~Codec() = default;

std::string framed(const Item& item) {
  std::string out;
  out.reserve(item.content_html.size() + item.content_text.size() + item.summary.size() + 12);
  put(out, item.content_html);
  put(out, item.content_text);
  put(out, item.summary);
  return out;
}

Result<Codec::Packed> Codec::pack(const Item& item, Dictionaries& dictionaries, Connection& connection) {
  if (compress_ == nullptr) {
    compress_.reset(ZSTD_createCCtx());
    if (compress_ == nullptr) return fail(Code::unavailable, "no memory to compress with");
    ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(compress_.get(), ZSTD_c_dictIDFlag, 0);
  }
  const std::string plain = framed(item);
  Packed packed{.dict = dictionaries.current(script_of(plain)), .bytes = {}};
  const auto* dictionary = TRY(dictionaries.find(packed.dict, connection));
  ZSTD_CCtx_refCDict(compress_.get(), dictionary == nullptr ? nullptr : dictionary->compress);
  packed.bytes.resize(ZSTD_compressBound(plain.size()));
  const std::size_t n = ZSTD_compress2(compress_.get(), packed.bytes.data(), packed.bytes.size(), plain.data(), plain.size());
  if (ZSTD_isError(n) != 0) return fail(Code::unavailable, fmt::format("compression failed: {}", ZSTD_getErrorName(n)));
  packed.bytes.resize(n);
  return packed;
}

Status Codec::unpack(int dict, std::string_view bytes, Item& into, Dictionaries& dictionaries, Connection& connection) {
  const Texts texts = TRY(look(dict, bytes, dictionaries, connection));
  into.content_html = texts.html;
  into.content_text = texts.text;
  into.summary = texts.summary;
  return {};
}

Result<Codec::Texts> Codec::look(int dict, std::string_view bytes, Dictionaries& dictionaries, Connection& connection) {
  const auto broken = [&](std::string_view what) {
    return fail(Code::corrupt, fmt::format("the text of an item does not unpack: {}", what), connection.file(),
                "check it with weir doctor; restore a backup: weir restore FILE");
  };
  if (expand_ == nullptr) expand_.reset(ZSTD_createDCtx());
  if (expand_ == nullptr) return fail(Code::unavailable, "no memory to expand with");
  const auto* dictionary = TRY(dictionaries.find(dict, connection));
  ZSTD_DCtx_refDDict(expand_.get(), dictionary == nullptr ? nullptr : dictionary->expand);
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size > max_plain) return broken("its size is impossible");
  plain_.resize(size);
  const std::size_t n = ZSTD_decompressDCtx(expand_.get(), plain_.data(), plain_.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(n) != 0) return broken(ZSTD_getErrorName(n));
  std::string_view rest(plain_.data(), n);
  Texts texts;
  if (!take(rest, texts.html) || !take(rest, texts.text) || !take(rest, texts.summary)) return broken("its fields are cut off");
  return texts;
}

Result<std::string> train(const std::vector<std::string>& samples, std::size_t size) {
  std::string all;
  std::vector<std::size_t> sizes;
  for (const std::string& sample : samples) {
    all += sample;
    sizes.push_back(sample.size());
  }
  std::string dictionary(size, '\0');
  const std::size_t n = ZDICT_trainFromBuffer(dictionary.data(), dictionary.size(), all.data(), sizes.data(), static_cast<unsigned>(sizes.size()));
  if (ZDICT_isError(n) != 0) return fail(Code::invalid, fmt::format("no dictionary came of {} samples: {}", samples.size(), ZDICT_getErrorName(n)));
  dictionary.resize(n);
  return dictionary;
}

}  // namespace weir::store
