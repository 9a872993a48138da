// n × d rows of f32, row-major, contiguous. Embeddings carry the id of the model that made them: vectors of two models are never compared.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace weir {

struct Matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<float> values;  // rows · columns

  Matrix() = default;
  Matrix(std::size_t r, std::size_t c) : rows(r), columns(c), values(r * c) {}
  std::span<float> row(std::size_t i) { return {values.data() + i * columns, columns}; }
  std::span<const float> row(std::size_t i) const { return {values.data() + i * columns, columns}; }
};

// Which model: the first 16 hex digits of the sha256 of its weights, with precision where that changes bits. Stored beside every vector.
using ModelId = std::string;

}  // namespace weir
