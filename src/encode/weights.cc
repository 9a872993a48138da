#include "encode/weights.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/json.h"
#include "encode/shown.h"

namespace weir {
namespace {

float from_half(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000U) << 16U, exponent = (h >> 10U) & 0x1FU, mantissa = h & 0x3FFU;
  if (exponent == 0) return (sign != 0 ? -1.0F : 1.0F) * static_cast<float>(mantissa) * 0x1p-24F;
  return std::bit_cast<float>(sign | (exponent == 31 ? 255U : exponent + 112U) << 23U | mantissa << 13U);
}

std::uint16_t half_at(const std::byte* p) {
  std::uint16_t h = 0;
  std::memcpy(&h, p, 2);
  return h;
}

constexpr std::size_t config_limit = 1U << 20U, tokenizer_limit = 64U << 20U;

// The members of a JSON object, each of one kind: absent may be fine, another kind never is.
class Members {
 public:
  explicit Members(const json::object& object) : object_(object) {}

  Result<std::size_t> size(std::string_view key, std::string_view other, std::size_t limit) const {
    if (!object_.contains(key) && !other.empty()) key = other;
    const auto value = find_int(object_, key);
    if (!value || *value < 0 || static_cast<std::uint64_t>(*value) > limit) return wrong(key, fmt::format("an integer of 0 to {}", limit));
    return static_cast<std::size_t>(*value);
  }
  Result<std::string_view> word(std::string_view key, std::string_view absent) const {
    if (!there(key)) return absent;
    if (const auto value = find_string(object_, key)) return *value;
    return wrong(key, "a string");
  }
  Result<double> number(std::string_view key, double absent) const {
    if (!there(key)) return absent;
    if (const auto value = find_number(object_, key)) return *value;
    return wrong(key, "a number");
  }
  Result<bool> flag(std::string_view key, bool absent) const {
    if (!there(key)) return absent;
    if (const auto value = find_bool(object_, key)) return *value;
    return wrong(key, "true or false");
  }
  bool there(std::string_view key) const {
    const json::value* value = object_.if_contains(key);
    return value != nullptr && !value->is_null();
  }

 private:
  std::unexpected<Error> wrong(std::string_view key, std::string_view expected) const {
    return fail(Code::corrupt, fmt::format("{}: expected {}, found {}", key, expected, shown(object_.if_contains(key))));
  }
  const json::object& object_;
};

Result<Shape> read_config(const json::object& config, const Architecture& architecture) {
  const Members c(config);
  const std::string_view other = TRY(c.word("activation", "gelu")), act = TRY(c.word("hidden_act", other));
  if (act != "gelu") return fail(Code::refused, fmt::format("the activation: expected gelu, found {}", shown(act)));
  const std::string_view kind = TRY(c.word("position_embedding_type", "absolute"));
  if (kind != "absolute") return fail(Code::refused, fmt::format("position_embedding_type: expected absolute, found {}", shown(kind)));
  Shape s;
  s.hidden = TRY(c.size("hidden_size", "dim", 8192));
  s.layers = TRY(c.size("num_hidden_layers", "n_layers", 256));
  s.heads = TRY(c.size("num_attention_heads", "n_heads", 1024));
  s.inner = TRY(c.size("intermediate_size", "hidden_dim", 65'536));
  s.vocabulary = TRY(c.size("vocab_size", "", 2'000'000));
  s.positions = TRY(c.size("max_position_embeddings", "", 65'536));
  s.types = architecture.type.empty() ? 0 : TRY(c.size("type_vocab_size", "", 16));
  s.epsilon = static_cast<float>(TRY(c.number("layer_norm_eps", 1e-12)));
  s.first_position = architecture.first_position;
  TRY(check_shape(s));
  return s;
}

bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

// An error inside a file names the file first.
template <class T>
Result<T> inside(const std::filesystem::path& path, Result<T> result) {
  if (result) return result;
  Error error = result.error();
  error.where = path.string() + (error.where.empty() ? "" : ": " + error.where);
  return std::unexpected(std::move(error));
}

Result<json::object> read_object(const std::filesystem::path& path) {
  const std::string text = TRY(read_file(path, config_limit));
  json::value v = TRY(inside(path, parse_json(text, 16)));
  if (!v.is_object()) return fail(Code::corrupt, fmt::format("expected a JSON object, found {}", shown(&v)), path.string());
  return std::move(v.get_object());
}

Result<Tokenizer> read_wordpiece(const std::filesystem::path& folder) {
  const auto wordpiece = [](Result<WordPiece> w) -> Result<Tokenizer> { return Tokenizer(TRY(std::move(w))); };
  const std::filesystem::path whole = folder / "tokenizer.json", pieces = folder / "vocab.txt", settings = folder / "tokenizer_config.json";
  if (is_file(whole)) return inside(whole, wordpiece(WordPiece::parse_json(TRY(read_file(whole, tokenizer_limit)))));
  bool lower = true;
  if (is_file(settings)) lower = TRY(inside(settings, Members(TRY(read_object(settings))).flag("do_lower_case", true)));
  return inside(pieces, wordpiece(WordPiece::parse_vocabulary(TRY(read_file(pieces, tokenizer_limit)), lower)));
}

Result<Pooling> read_pooling(const json::object& object) {
  const Members p(object);
  if (TRY(p.flag("pooling_mode_cls_token", false))) return Pooling::first;
  if (TRY(p.flag("pooling_mode_mean_tokens", true))) return Pooling::mean;
  return fail(Code::refused, "expected pooling_mode_mean_tokens or pooling_mode_cls_token, found neither");
}

// Fewer tokens than there are positions.
Result<std::size_t> read_limit(const json::object& object, std::size_t most) {
  const Members limits(object);
  if (!limits.there("max_seq_length")) return most;
  const std::size_t n = TRY(limits.size("max_seq_length", "", 1U << 20U));
  if (n < 3) return fail(Code::corrupt, fmt::format("max_seq_length: expected 3 or more, found {}", n));
  return std::min(most, n);
}

Result<ModelSource> open_folder(const std::filesystem::path& folder) {
  const std::filesystem::path about = folder / "config.json", pool = folder / "1_Pooling/config.json", limits = folder / "sentence_bert_config.json";
  const json::object config = TRY(read_object(about));
  const std::string_view type = TRY(inside(about, Members(config).word("model_type", "nothing")));
  const Architecture* architecture = find_architecture(type);
  if (architecture == nullptr || architecture->name == "e5s1")
    return fail(Code::refused, fmt::format("the architecture (model_type): expected bert or distilbert, found {}", shown(type)), about.string());
  const Shape shape = TRY(inside(about, read_config(config, *architecture)));
  Tokenizer tokenizer = TRY(read_wordpiece(folder));
  Pooling pooling = Pooling::mean;
  if (is_file(pool)) pooling = TRY(inside(pool, read_pooling(TRY(read_object(pool)))));
  std::size_t max_tokens = std::min<std::size_t>(512, shape.positions - shape.first_position);
  if (is_file(limits)) max_tokens = TRY(inside(limits, read_limit(TRY(read_object(limits)), max_tokens)));
  const std::filesystem::path weights = folder / "model.safetensors";
  if (!is_file(weights))
    for (const char* other : {"pytorch_model.bin", "model.onnx", "onnx/model.onnx", "tf_model.h5"})
      if (is_file(folder / other))
        return fail(Code::refused, fmt::format("expected model.safetensors, found {}", other), folder.string(), "store its weights as safetensors");
  MappedFile file = TRY(MappedFile::open(weights));
  Tensors tensors = TRY(inside(weights, parse_safetensors(file.bytes())));
  return ModelSource{shape, std::move(tensors), architecture->name, std::move(tokenizer), pooling, max_tokens, std::move(file), weights};
}

}  // namespace

std::size_t tensor_bytes(Tensor::Kind kind, std::size_t elements) {
  switch (kind) {
    case Tensor::Kind::f32: return elements * 4;
    case Tensor::Kind::q4: return elements / 32 * 18;
    case Tensor::Kind::other: return 0;
    default: return elements * 2;
  }
}

std::size_t Tensor::row_bytes() const { return tensor_bytes(kind, columns); }

void Tensor::row(std::size_t i, float* out) const {
  const std::byte* p = data + i * row_bytes();
  switch (kind) {
    case Kind::other: return;
    case Kind::f32: std::memcpy(out, p, columns * 4); return;
    case Kind::f16:
      for (std::size_t k = 0; k < columns; ++k) out[k] = from_half(half_at(p + k * 2));
      return;
    case Kind::bf16:
      for (std::size_t k = 0; k < columns; ++k) out[k] = std::bit_cast<float>(static_cast<std::uint32_t>(half_at(p + k * 2)) << 16U);
      return;
    case Kind::q4:
      for (std::size_t k = 0; k < columns; k += 32, p += 18) {
        const float d = from_half(half_at(p));
        for (std::size_t j = 0; j < 16; ++j) {
          const auto q = static_cast<unsigned>(p[2 + j]);
          out[k + j] = static_cast<float>(static_cast<int>(q & 15U) - 8) * d;
          out[k + 16 + j] = static_cast<float>(static_cast<int>(q >> 4U) - 8) * d;
        }
      }
  }
}

RowFile& RowFile::operator=(RowFile&& other) noexcept {
  std::swap(tensor_, other.tensor_);
  std::swap(offset_, other.offset_);
  std::swap(file_, other.file_);
  return *this;
}

RowFile::~RowFile() {
  if (file_ >= 0) ::close(file_);
}

Result<RowFile> RowFile::open(const std::filesystem::path& path, std::span<const std::byte> mapped, const Tensor& tensor) {
  RowFile f;
  f.file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (f.file_ < 0) return fail(Code::io, "cannot be opened a second time", path.string());
  ::posix_fadvise(f.file_, 0, 0, POSIX_FADV_RANDOM);
  f.tensor_ = tensor;
  f.tensor_.data = nullptr;
  f.offset_ = static_cast<std::size_t>(tensor.data - mapped.data());
  return f;
}

void RowFile::raw(std::size_t row, std::byte* out) const {
  const std::size_t n = tensor_.row_bytes();
  if (::pread(file_, out, n, static_cast<off_t>(offset_ + row * n)) != static_cast<ssize_t>(n)) std::memset(out, 0xFF, n);  // NaN in every kind
}

Status check_shape(const Shape& s) {
  const auto bad = [](std::string what) { return fail(Code::refused, std::move(what)); };
  if (s.hidden == 0 || s.hidden % 64 != 0) return bad(fmt::format("the hidden size: expected a multiple of 64, found {}", s.hidden));
  if (s.inner == 0 || s.inner % 64 != 0) return bad(fmt::format("the inner size: expected a multiple of 64, found {}", s.inner));
  if (s.heads == 0 || s.hidden % s.heads != 0 || s.hidden / s.heads % 32 != 0)
    return bad(fmt::format("expected heads of a multiple of 32, found {} heads in {}", s.heads, s.hidden));
  if (s.layers == 0) return bad("expected at least one layer, found 0");
  if (s.vocabulary == 0) return bad("expected a vocabulary, found one of 0 pieces");
  if (s.positions < s.first_position + 3) return bad(fmt::format("expected at least {} positions, found {}", s.first_position + 3, s.positions));
  if (!(s.epsilon >= 0 && s.epsilon <= 1)) return bad(fmt::format("the layer norm's epsilon: expected 0 to 1, found {}", s.epsilon));
  return {};
}

Result<ModelSource> open_model(const std::filesystem::path& folder) {
  if (is_file(folder / "config.json")) return open_folder(folder);
  std::error_code error;
  std::filesystem::path weights;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".bin" && (weights.empty() || entry.path() < weights)) weights = entry.path();
  if (weights.empty()) return fail(Code::not_found, "neither config.json nor an E5S1 file (*.bin) is here", folder.string(), "weir model list");
  MappedFile file = TRY(MappedFile::open(weights));
  E5 e5 = TRY(inside(weights, parse_e5(file.bytes())));
  TRY(inside(weights, check_shape(e5.shape)));
  const std::size_t max_tokens = std::min<std::size_t>(512, e5.shape.positions);
  return ModelSource{e5.shape, std::move(e5.tensors), "e5s1", std::move(e5.tokenizer), Pooling::mean, max_tokens, std::move(file), weights};
}

}  // namespace weir
