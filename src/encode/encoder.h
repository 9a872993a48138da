// Turns text into vectors. One Encoder is one loaded model; immutable after load(), so any number of threads may call encode() at once. Owns its
// weights (packed for this CPU; word embeddings stay in their file); borrows nothing from callers; makes no thread: batches run on the caller's Executor.
//
// Bidirectional transformer, mean or CLS pooling, unit length: Vaswani 2017 (arXiv:1706.03762), Devlin 2018 (arXiv:1810.04805),
// Reimers & Gurevych 2019 (arXiv:1908.10084), Wang 2024 (arXiv:2402.05672).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "types/matrix.h"

namespace weir {

// int8_portable gives the same bits on every CPU row; the others the same bits on one row. A precision always works: without hardware for it, values
// are rounded to it and computed in f32.
enum class Precision { f32, bf16, int8, int8_portable };

std::string_view to_string(Precision precision);  // "f32", "bf16", "int8", "int8-portable"
std::optional<Precision> parse_precision(std::string_view name);

class Encoder {
 public:
  struct Options {
    std::optional<Precision> precision;  // default: the best that the CPU row does fast: bf16 on amx, int8 on avx512 and avx2, f32 on scalar
    std::size_t cache = 2048;            // texts whose vectors are kept (about 2 KB each), by their token ids; 0: none
  };

  // `model` is a folder, or the name of a model (encode/models.h). Reads config.json, the tokenizer and model.safetensors, or the one-file E5S1 form.
  // Errors: not_found (which file; remedy `weir model fetch NAME`), corrupt (which tensor, expected and actual shape), refused (which architecture),
  // invalid (WEIR_CPU).
  static Result<Encoder> load(const std::filesystem::path& model, const Options& options);
  static Result<Encoder> load(const std::filesystem::path& model) { return load(model, Options()); }

  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;
  ~Encoder();

  // texts: n strings of any bytes (what is not UTF-8 reads as U+FFFD); the model's own prefix is added; what lies beyond max_tokens() is ignored.
  // Returns [n × dim()], each row of length 1 ± 1e-5. A text without a token of its own (empty, white space) has no vector: its row is all zeros;
  // ask has_vector(). A vector depends on its text, model, precision and CPU row alone: not on batch, order or threads.
  // Cost: about 2 · tokens · parameters operations a text (bench/encode). Scratch: at most 2 MB a thread.
  Matrix encode(std::span<const std::string_view> texts, const Executor& executor = {}) const;
  // One text (or one short batch) on several threads: each stage is spread over them, the same bits. What is not finite has no vector, and is logged.
  static bool has_vector(std::span<const float> row);

  // The ids that the transformer reads: specials and prefix included, after truncation to max_tokens(). Control words such as "[SEP]" or "</s>" in a
  // text are plain text. Time is linear in the text and bounded: bytes that cannot reach the last token are not read.
  std::vector<std::uint32_t> tokenize(std::string_view text) const;

  // The last layer's state of every token, before pooling: [tokens × dim()]; all zeros, and logged, when one is not finite.
  Matrix token_states(std::string_view text) const;

  std::size_t dim() const;
  std::size_t max_tokens() const;
  Precision precision() const;
  const std::string& name() const;  // "minilm", "e5-small", or the folder's
  const ModelId& model_id() const;  // 16 hex digits of the weights' sha256, "-", precision
  std::size_t bytes() const;        // resident
  struct CacheStats {
    std::uint64_t hits = 0, misses = 0;
    std::size_t entries = 0;
  };
  CacheStats cache_stats() const;

 private:
  struct Model;
  explicit Encoder(std::unique_ptr<const Model> model);
  std::unique_ptr<const Model> model_;
};

}  // namespace weir
