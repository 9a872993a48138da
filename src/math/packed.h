// Weights in the order that kernels read them: packed once, then shared by any number of threads. Move only.
//
// One layout for every precision and CPU row. A panel is 32 outputs; inside it, for each 64-byte step along the inputs:
//   [2 halves][16 groups][16 outputs][4 bytes]      a group is 1 input in f32, 2 in bf16, 4 in int8
// Inputs beyond K and outputs beyond N are zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "math/view.h"

namespace weir::math {

enum class Format : std::uint8_t { f32, bf16, int8 };

constexpr std::size_t bytes_of(Format format) { return format == Format::f32 ? 4 : format == Format::bf16 ? 2 : 1; }

class Packed {
 public:
  static constexpr std::size_t panel_outputs = 32, step_bytes = 64;

  Packed() = default;
  // From [outputs × inputs], as layers store their weights: C = A · wᵀ.
  static Packed rows(View<const float> w, Format format = Format::f32);
  // From one output's weights after the other: row(o) gives `inputs` of them, valid until the next call.
  template <class Row>
  static Packed from(std::size_t outputs, std::size_t inputs, Format format, Row&& row) {
    Packed p;
    p.allocate(outputs, inputs, format);
    for (std::size_t o = 0; o < outputs; ++o) p.set(o, row(o));
    return p;
  }
  // From [inputs × outputs], as a matrix product is written: C = A · w.
  static Packed columns(View<const float> w, Format format = Format::f32);

  Format format() const { return format_; }
  std::size_t outputs() const { return outputs_; }
  std::size_t inputs() const { return inputs_; }
  std::size_t steps() const { return steps_; }
  std::size_t panels() const { return (outputs_ + panel_outputs - 1) / panel_outputs; }
  const std::byte* panel(std::size_t i) const { return bytes_.get() + i * steps_ * panel_outputs * step_bytes; }
  std::size_t size_bytes() const { return panels() * steps_ * panel_outputs * step_bytes; }

  // Inputs fall into groups of 384 where 384 divides them (else one group): int8 activations have a scale a group, and a product may read some groups only.
  std::size_t groups() const { return groups_; }
  std::size_t group() const { return inputs_ / groups_; }

  // int8 only: weight = scale · q, |q| ≤ 127, and scale · Σ q of a group of inputs, for the zero point of the activations.
  const float* scales() const { return scales_.get(); }
  const float* sums(std::size_t group) const { return sums_.get() + group * panels() * panel_outputs; }
  std::vector<float> greatest_by_input() const;  // of |weight| over all outputs

 private:
  struct Free {
    void operator()(void* p) const;
  };
  void allocate(std::size_t outputs, std::size_t inputs, Format format);
  void set(std::size_t output, const float* weights);
  Format format_ = Format::f32;
  std::size_t outputs_ = 0, inputs_ = 0, steps_ = 0, groups_ = 1;
  std::unique_ptr<std::byte[], Free> bytes_;  // 64-byte aligned
  std::unique_ptr<float[], Free> scales_, sums_;
};

// to = fromᵀ: [columns × rows] of `from`.
void transpose(View<const float> from, View<float> to);

}  // namespace weir::math
