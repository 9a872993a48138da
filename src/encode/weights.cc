#include "encode/weights.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/json.h"

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

Result<std::size_t> read_size(const json::object& config, std::string_view key, std::string_view other, std::size_t limit) {
  auto value = find_int(config, key);
  if (!value && !other.empty()) value = find_int(config, other);
  if (!value || *value < 0 || static_cast<std::uint64_t>(*value) > limit)
    return fail(Code::corrupt, fmt::format("{} must be 0 to {}", key, limit), "config.json");
  return static_cast<std::size_t>(*value);
}

Result<Shape> read_config(const json::object& c, const Architecture& architecture) {
  if (const auto act = find_string(c, "hidden_act").value_or(find_string(c, "activation").value_or("gelu")); act != "gelu")
    return fail(Code::refused, fmt::format("the activation is {}; gelu is read", act), "config.json");
  if (const auto kind = find_string(c, "position_embedding_type").value_or("absolute"); kind != "absolute")
    return fail(Code::refused, fmt::format("positions are {}; absolute is read", kind), "config.json");
  Shape s;
  s.hidden = TRY(read_size(c, "hidden_size", "dim", 8192));
  s.layers = TRY(read_size(c, "num_hidden_layers", "n_layers", 256));
  s.heads = TRY(read_size(c, "num_attention_heads", "n_heads", 1024));
  s.inner = TRY(read_size(c, "intermediate_size", "hidden_dim", 65'536));
  s.vocabulary = TRY(read_size(c, "vocab_size", "", 2'000'000));
  s.positions = TRY(read_size(c, "max_position_embeddings", "", 65'536));
  s.types = architecture.type.empty() ? 0 : TRY(read_size(c, "type_vocab_size", "", 16));
  s.epsilon = static_cast<float>(find_number(c, "layer_norm_eps").value_or(1e-12));
  s.first_position = architecture.first_position;
  return s;
}

bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

// What is wrong inside a file is wrong in that file.
template <class T>
Result<T> in_file(const std::filesystem::path& path, Result<T> result) {
  if (result || result.error().where.starts_with(path.string())) return result;
  Error wrong = std::move(result.error());
  wrong.where = wrong.where.empty() || wrong.where == path.filename() ? path.string() : path.string() + ": " + wrong.where;
  return std::unexpected(std::move(wrong));
}

Result<json::object> read_object(const std::filesystem::path& path) {
  const std::string text = TRY(read_file(path, config_limit));
  json::value v = TRY(in_file(path, parse_json(text, 16)));
  if (!v.is_object()) return fail(Code::corrupt, "expected a JSON object", path.string());
  return std::move(v.get_object());
}

Result<Tokenizer> read_wordpiece(const std::filesystem::path& folder) {
  const std::filesystem::path whole = folder / "tokenizer.json", words = folder / "vocab.txt";
  if (is_file(whole)) return TRY(in_file(whole, WordPiece::parse_json(TRY(read_file(whole, tokenizer_limit)))));
  bool lower = true;
  if (is_file(folder / "tokenizer_config.json")) lower = find_bool(TRY(read_object(folder / "tokenizer_config.json")), "do_lower_case").value_or(true);
  return TRY(in_file(words, WordPiece::parse_vocabulary(TRY(read_file(words, tokenizer_limit)), lower)));
}

Result<ModelSource> open_folder(const std::filesystem::path& folder) {
  const json::object config = TRY(read_object(folder / "config.json"));
  const std::string_view type = find_string(config, "model_type").value_or("");
  const Architecture* architecture = find_architecture(type);
  if (architecture == nullptr || architecture->name == "e5s1")
    return fail(Code::refused, fmt::format("the architecture is \"{}\"; bert and distilbert are read", type), (folder / "config.json").string());
  const Shape shape = TRY(in_file(folder / "config.json", read_config(config, *architecture)));
  TRY(in_file(folder / "config.json", check_shape(shape)));
  Tokenizer tokenizer = TRY(read_wordpiece(folder));
  Pooling pooling = Pooling::mean;
  if (is_file(folder / "1_Pooling/config.json")) {
    const json::object p = TRY(read_object(folder / "1_Pooling/config.json"));
    if (find_bool(p, "pooling_mode_cls_token").value_or(false)) pooling = Pooling::first;
    else if (!find_bool(p, "pooling_mode_mean_tokens").value_or(true))
      return fail(Code::refused, "pooling that is neither the mean nor the first token", (folder / "1_Pooling/config.json").string());
  }
  std::size_t max_tokens = std::min<std::size_t>(512, shape.positions - shape.first_position);
  if (is_file(folder / "sentence_bert_config.json")) {
    const json::object limits = TRY(read_object(folder / "sentence_bert_config.json"));
    if (const auto n = find_int(limits, "max_seq_length"); n && *n >= 3) max_tokens = std::min(max_tokens, static_cast<std::size_t>(*n));
  }
  const std::filesystem::path weights = folder / "model.safetensors";
  MappedFile file = TRY(MappedFile::open(weights));
  Result<Tensors> tensors = parse_safetensors(file.bytes());
  if (!tensors) {
    Error error = tensors.error();
    error.where = weights.string() + (error.where.empty() ? "" : ": " + error.where);
    return std::unexpected(error);
  }
  return ModelSource{shape, std::move(*tensors), architecture->name, std::move(tokenizer), pooling, max_tokens, std::move(file), weights};
}

}  // namespace

std::size_t tensor_bytes(Tensor::Kind kind, std::size_t elements) {
  switch (kind) {
    case Tensor::Kind::f32: return elements * 4;
    case Tensor::Kind::q4: return elements / 32 * 18;
    default: return elements * 2;
  }
}

std::size_t Tensor::row_bytes() const { return tensor_bytes(kind, columns); }

void Tensor::row(std::size_t i, float* out) const {
  const std::byte* p = data + i * row_bytes();
  switch (kind) {
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
  if (::pread(file_, out, n, static_cast<off_t>(offset_ + row * n)) != static_cast<ssize_t>(n)) std::memset(out, 0, n);
}

Status check_shape(const Shape& s) {
  const auto bad = [](std::string what) { return fail(Code::refused, std::move(what)); };
  if (s.hidden == 0 || s.hidden % 64 != 0) return bad(fmt::format("the hidden size is {}; a multiple of 64 is read", s.hidden));
  if (s.inner == 0 || s.inner % 64 != 0) return bad(fmt::format("the inner size is {}; a multiple of 64 is read", s.inner));
  if (s.heads == 0 || s.hidden % s.heads != 0 || s.hidden / s.heads % 32 != 0)
    return bad(fmt::format("{} heads of {}; heads of a multiple of 32 are read", s.heads, s.heads == 0 ? 0 : s.hidden / s.heads));
  if (s.layers == 0 || s.vocabulary == 0 || s.positions < s.first_position + 3) return bad("no layers, vocabulary or positions");
  if (!std::isfinite(s.epsilon) || s.epsilon < 0 || s.epsilon > 1) return bad(fmt::format("the layer norm's epsilon is {}", s.epsilon));
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
  Result<E5> e5 = parse_e5(file.bytes());
  if (!e5) {
    Error wrong = e5.error();
    wrong.where = weights.string() + (wrong.where.empty() ? "" : ": " + wrong.where);
    return std::unexpected(wrong);
  }
  TRY(in_file(weights, check_shape(e5->shape)));
  const std::size_t max_tokens = std::min<std::size_t>(512, e5->shape.positions);
  return ModelSource{e5->shape, std::move(e5->tensors), "e5s1", std::move(e5->tokenizer), Pooling::mean, max_tokens, std::move(file), weights};
}

}  // namespace weir
