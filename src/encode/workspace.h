// Scratch of Transformer::run(). One call at a time.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "math/kernels.h"

namespace weir {

// 64-byte aligned, zeroed.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) : data_(static_cast<T*>(std::aligned_alloc(64, (n * sizeof(T) + 63) / 64 * 64 + 64))) {
    if (data_ == nullptr) throw std::bad_alloc();
    std::fill_n(reinterpret_cast<std::byte*>(data_.get()), (n * sizeof(T) + 63) / 64 * 64 + 64, std::byte{0});
  }
  T* get() const { return data_.get(); }

 private:
  struct Free {
    void operator()(T* p) const { std::free(p); }
  };
  std::unique_ptr<T[], Free> data_;
};

// Rows in the order of products, with their scales.
class ActivationBuffer {
 public:
  ActivationBuffer() = default;
  ActivationBuffer(math::Format format, std::size_t rows, std::size_t inputs, std::size_t groups, std::byte* borrowed = nullptr)
      : bytes_(borrowed == nullptr ? bytes_of(format, rows, inputs) : 0),
        scale_(format == math::Format::int8 ? (rows + 31) / 32 * 32 * groups : 0),
        shift_(scale_.size()),
        view_{format, borrowed == nullptr ? bytes_.get() : borrowed, inputs * math::bytes_of(format) / 64, groups, scale_.data(), shift_.data()} {}
  ActivationBuffer(ActivationBuffer&&) = default;
  ActivationBuffer& operator=(ActivationBuffer&&) = default;
  const math::Activations& view() const { return view_; }
  static std::size_t bytes_of(math::Format format, std::size_t rows, std::size_t inputs) {
    return math::Activations::bytes(rows, inputs * math::bytes_of(format) / 64);
  }

 private:
  Buffer<std::byte> bytes_;
  std::vector<float> scale_, shift_;
  math::Activations view_;
};

class Workspace {
 public:
  // The stage of heads and the stage of rows come after one another: what the second needs lies in the first's memory.
  struct Worker {
    Buffer<float> head;           // [window × 3 · head]: q, k, v; or [block × group]: a part of the feed-forward's hidden rows
    Buffer<float> scratch;        // of attention; or `inner_rows`
    ActivationBuffer inner_rows;  // [block × group]
    ActivationBuffer block;       // [block × hidden], long texts only: the rows that are worked on
  };
  std::size_t tokens = 0, window = 0;
  bool is_long = false;   // its window is beyond a usual one
  Buffer<float> x;        // [tokens × hidden]: the residual stream
  Buffer<float> y;        // [window × hidden]: attention's output
  Buffer<float> parts;    // [groups × few rows × hidden], several workers only: what each group of the feed-forward adds
  ActivationBuffer rows;  // [window × hidden], not for long texts
  std::vector<Worker> workers;
  // Where given: the greatest magnitude of each channel that went into a layer's qkv and up, layer after layer.
  struct Seen {
    std::vector<float> qkv, up;
  };
  std::vector<Seen>* seen = nullptr;
};

}  // namespace weir
