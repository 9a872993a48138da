// A model as it lies on disk: named tensors in a mapped file, its shape, its tokenizer. Everything is checked before a byte of data is used; what is
// wrong is an Error that names the tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/result.h"
#include "encode/tokenizer.h"

namespace weir {

// A matrix (or a vector: one row) that stays where it is mapped; rows are read out in f32.
struct Tensor {
  enum class Kind : std::uint8_t { f32, f16, bf16, q4, other };  // q4: blocks of 32 in 18 bytes, fp16 d then nibbles, (q - 8) · d; other: not read
  Kind kind = Kind::f32;
  const std::byte* data = nullptr;
  std::size_t rows = 0, columns = 0;
  std::string_view found = {};  // what `other` is

  std::size_t row_bytes() const;
  void row(std::size_t i, float* out) const;
};
std::size_t tensor_bytes(Tensor::Kind kind, std::size_t elements);

using Tensors = std::map<std::string, Tensor, std::less<>>;

// Rows of a tensor read from its file when they are asked for: nothing of it stays resident, and a file that shrinks later gives NaN, not a signal.
class RowFile {
 public:
  RowFile() = default;
  RowFile(RowFile&& other) noexcept : tensor_(other.tensor_), offset_(other.offset_), file_(std::exchange(other.file_, -1)) {}
  RowFile& operator=(RowFile&& other) noexcept;
  ~RowFile();
  // `tensor` lies inside `mapped`, which is `path`.
  static Result<RowFile> open(const std::filesystem::path& path, std::span<const std::byte> mapped, const Tensor& tensor);
  const Tensor& tensor() const { return tensor_; }  // without data
  void raw(std::size_t row, std::byte* out) const;  // tensor().row_bytes() of them; about 0.3 µs
 private:
  Tensor tensor_;
  std::size_t offset_ = 0;
  int file_ = -1;
};

// The safetensors format. `bytes` must outlive the tensors. What holds no weights (int64 position ids) is of kind `other`, without data.
Result<Tensors> parse_safetensors(std::span<const std::byte> bytes);

struct Shape {
  std::size_t hidden = 0, layers = 0, heads = 0, inner = 0, vocabulary = 0, positions = 0, types = 0;
  std::size_t first_position = 0;  // RoBERTa counts from 2
  float epsilon = 0;
};
// What the kernels can run. Errors: refused, corrupt.
Status check_shape(const Shape& shape);

enum class Pooling : std::uint8_t { mean, first };

struct ModelSource {
  Shape shape;
  Tensors tensors;
  std::string_view architecture;  // a row of architectures.cc
  Tokenizer tokenizer;
  Pooling pooling = Pooling::mean;
  std::size_t max_tokens = 512;
  MappedFile file;
  std::filesystem::path weights;  // the path of `file`
};

// The one-file 4-bit form E5S1 (docs/models.md). `bytes` must outlive the answer.
struct E5 {
  Shape shape;
  Tensors tensors;
  Unigram tokenizer;
};
Result<E5> parse_e5(std::span<const std::byte> bytes);

// A folder with an E5S1 file (*.bin), or config.json + model.safetensors + tokenizer.json or vocab.txt.
Result<ModelSource> open_model(const std::filesystem::path& folder);

// ---- architectures.cc

// How a family names its tensors; {} is the layer. A new family is a new row.
struct Architecture {
  std::string_view name;
  std::string_view word, position, type;  // whole names; `type` may be empty
  std::string_view norm;                  // here and below: with `weight` and `bias` after it
  std::string_view query, key, value, out, out_norm, up, down, down_norm;
  std::string_view weight = ".weight", bias = ".bias";
  std::size_t first_position = 0;
};
const Architecture* find_architecture(std::string_view name);

}  // namespace weir
