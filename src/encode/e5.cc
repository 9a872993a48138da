// The E5S1 file: multilingual-e5-small in one piece, little-endian, matrices in 4 bits. docs/models.md has its layout.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/hash.h"
#include "encode/weights.h"

namespace weir {
namespace {

// Reads forward; a read past the end gives zeros and is remembered.
struct Reader {
  std::span<const std::byte> bytes;
  std::size_t at = 0;
  bool short_read = false;

  std::span<const std::byte> take(std::size_t n) {
    if (n > bytes.size() - at) {
      short_read = true;
      return {};
    }
    at += n;
    return bytes.subspan(at - n, n);
  }
  template <class T>
  T get() {
    T value{};
    if (const auto raw = take(sizeof(T)); !raw.empty()) std::memcpy(&value, raw.data(), sizeof(T));
    return value;
  }
};

constexpr std::size_t pieces_limit = 2'000'000, tensors_limit = 10'000;

Result<std::size_t> size_of(std::int32_t value, std::string_view name, std::int32_t limit) {
  if (value < 0 || value > limit) return fail(Code::corrupt, fmt::format("{}: expected 0 to {}, found {}", name, limit, value));
  return static_cast<std::size_t>(value);
}

Result<Unigram> read_tokenizer(Reader& in) {
  const std::size_t pieces = TRY(size_of(in.get<std::int32_t>(), "the number of pieces", pieces_limit));
  Unigram::Options options{.prefix = "query: "};
  for (TokenId* id : {&options.first, &options.last, &options.pad, &options.unknown})
    *id = static_cast<TokenId>(TRY(size_of(in.get<std::int32_t>(), "a control id", pieces_limit)));
  const auto blob_bytes = in.get<std::uint64_t>();
  const auto offsets = in.take((pieces + 1) * 4), scores = in.take(pieces * 4), blob = in.take(blob_bytes);
  if (in.short_read)
    return fail(Code::corrupt, fmt::format("expected {} pieces in {} bytes, found the end of the file after {} bytes", pieces, blob_bytes, in.bytes.size()));
  std::vector<std::string_view> texts(pieces);
  std::uint32_t begin = 0;
  std::memcpy(&begin, offsets.data(), 4);
  for (std::size_t i = 0; i < pieces; ++i) {
    std::uint32_t end = 0;
    std::memcpy(&end, offsets.data() + (i + 1) * 4, 4);
    if (end < begin || end > blob.size())
      return fail(Code::corrupt, fmt::format("piece {}: expected to lie within {} bytes, found {} to {}", i, blob.size(), begin, end));
    texts[i] = {reinterpret_cast<const char*>(blob.data()) + begin, end - begin};
    begin = end;
  }
  std::vector<float> log_probabilities(pieces);
  std::ranges::copy(scores, std::as_writable_bytes(std::span(log_probabilities)).begin());
  const std::size_t count = TRY(size_of(in.get<std::int32_t>(), "the number of normalisation rules", 0xFFFE));
  Reader table{in.take(in.get<std::uint32_t>())};
  std::vector<Unigram::Rule> rules(count);
  for (Unigram::Rule& rule : rules) {
    rule.from = table.get<std::uint32_t>();
    const auto raw = table.take(std::size_t{table.get<std::uint8_t>()} * 4);
    rule.to.resize(raw.size() / 4);
    std::ranges::copy(raw, std::as_writable_bytes(std::span(rule.to)).begin());  // may be empty: not for memcpy
  }
  if (in.short_read || table.short_read || table.at != table.bytes.size())
    return fail(Code::corrupt, fmt::format("the normalisation table: expected {} rules to fill its {} bytes, found the end at {}{}", count, table.bytes.size(),
                                           table.at, in.short_read || table.short_read ? ", too early" : ""));
  return Unigram::build(texts, std::move(log_probabilities), std::move(rules), std::move(options));
}

// The matrices' rows follow from the shape; the file gives counts only.
std::size_t columns_of(std::string_view name, std::size_t n, const Shape& s) {
  if (!name.ends_with(".w") && !name.starts_with("emb.")) return n;
  if (name.ends_with("fo.w")) return s.inner;
  if (name.ends_with("ln.w") || name.ends_with(".b")) return n;
  return s.hidden;
}

}  // namespace

Result<E5> parse_e5(std::span<const std::byte> bytes) {
  Reader in{bytes};
  const auto magic = in.take(4);
  if (magic.empty()) return fail(Code::corrupt, fmt::format("expected an E5S1 file, found one of {} bytes", bytes.size()));
  if (std::memcmp(magic.data(), "E5S1", 4) != 0)
    return fail(Code::corrupt, fmt::format("expected the first bytes to be E5S1, found {}", to_hex({reinterpret_cast<const char*>(magic.data()), 4})));
  if (const auto version = in.get<std::uint32_t>(); version != 1) return fail(Code::refused, fmt::format("expected E5S1 version 1, found {}", version));
  Shape s;
  s.hidden = TRY(size_of(in.get<std::int32_t>(), "hidden", 8192));
  s.layers = TRY(size_of(in.get<std::int32_t>(), "layers", 256));
  s.heads = TRY(size_of(in.get<std::int32_t>(), "heads", 1024));
  s.inner = TRY(size_of(in.get<std::int32_t>(), "inner", 65'536));
  s.vocabulary = TRY(size_of(in.get<std::int32_t>(), "vocabulary", pieces_limit));
  s.positions = TRY(size_of(in.get<std::int32_t>(), "positions", 65'536));
  s.types = TRY(size_of(in.get<std::int32_t>(), "types", 16));
  s.epsilon = in.get<float>();
  if (const auto block = in.get<std::int32_t>(); block != 32) return fail(Code::refused, fmt::format("expected blocks of 32 weights, found {}", block));
  Unigram tokenizer = TRY(read_tokenizer(in));
  const std::size_t count = TRY(size_of(in.get<std::int32_t>(), "the number of tensors", tensors_limit));
  Tensors tensors;
  for (std::size_t i = 0; i < count; ++i) {
    const auto raw = in.take(in.get<std::uint16_t>());
    const std::string name(reinterpret_cast<const char*>(raw.data()), raw.size());
    const auto dtype = in.get<std::uint8_t>();
    const std::size_t n = in.get<std::uint32_t>();
    const auto offset = in.get<std::uint64_t>(), size = in.get<std::uint64_t>();
    if (in.short_read) return fail(Code::corrupt, fmt::format("expected {} tensors, found the end of the file after {}", count, i));
    if (dtype > 1) return fail(Code::corrupt, fmt::format("dtype: expected 0 (f32) or 1 (q4), found {}", dtype), name);
    const Tensor::Kind kind = dtype == 0 ? Tensor::Kind::f32 : Tensor::Kind::q4;
    const std::size_t columns = columns_of(name, n, s);
    if (n == 0 || columns == 0 || n % columns != 0 || (kind == Tensor::Kind::q4 && columns % 32 != 0))
      return fail(Code::corrupt, fmt::format("expected rows of {}, found {} values", columns, n), name);
    if (size != tensor_bytes(kind, n)) return fail(Code::corrupt, fmt::format("expected {} bytes, found {}", tensor_bytes(kind, n), size), name);
    if (offset > bytes.size() || size > bytes.size() - offset)
      return fail(Code::corrupt, fmt::format("its data: expected to end at {} or before, found {} bytes from {} on", bytes.size(), size, offset), name);
    tensors[name] = {kind, bytes.data() + offset, n / columns, columns};
  }
  if (in.short_read) return fail(Code::corrupt, fmt::format("expected more than the file's {} bytes", bytes.size()));
  return E5{s, std::move(tensors), std::move(tokenizer)};
}

}  // namespace weir
