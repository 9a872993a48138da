// The transformer itself: token ids → states of the last layer. Immutable after build(); weights packed for the kernels, word embeddings left in their
// file. The rows of a batch are the tokens of its texts one after the other: there is no padding anywhere.
//
// A layer goes over the batch a window of whole texts at a time: what it needs beside the residual stream is a window's, so a batch may be long, and the
// layer's weights, fetched for the first window, are near for the others. In a window a layer is two stages. Heads: each head's q, k, v and its attention,
// text by text. Rows: everything after attention, 32 rows or more at a time. Within a stage the pieces are independent, so a stage can be spread over
// threads, and no piece's arithmetic depends on what else is in the batch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "encode/weights.h"
#include "math/kernels.h"
#include "math/packed.h"

namespace weir {

class Workspace;

class Transformer {
 public:
  struct Options {
    math::Format format = math::Format::f32;
    bool portable = false;  // attention in f32: the same bits on every row
    const math::Kernels* kernels = nullptr;
    std::span<const std::vector<TokenId>> samples;  // int8: texts that show how large each channel gets (smoothing, see smooth())
  };
  // Errors: corrupt (which tensor: missing, another shape, not finite).
  static Result<Transformer> build(const ModelSource& source, const Options& options);

  struct Batch {
    std::span<const TokenId> ids;          // of all texts
    std::span<const std::size_t> offsets;  // texts + 1
  };
  // states: [ids.size() × hidden] in `workspace`, valid until its next use.
  math::View<const float> run(const Batch& batch, Workspace& workspace, const Executor& executor) const;

  const Shape& shape() const { return shape_; }
  std::size_t bytes() const;
  // Scratch for batches of up to `tokens` tokens, texts of up to `longest`, on `workers` threads: of a token 4 bytes a column, of a window's token some 7
  // more; a worker more 0.3 MB. Of texts beyond a usual window the rows are put in the order of products a block at a time: slower by a few per cent, and
  // smaller: at most 2 MB a thread for 512 tokens of a model 384 wide.
  std::unique_ptr<Workspace> make_workspace(std::size_t tokens, std::size_t longest, std::size_t workers) const;
  static constexpr std::size_t window = 256;
  std::size_t batch_tokens() const;  // so many of usual texts have 2 MB of scratch; at least a window

 private:
  struct Smooth {
    std::vector<float> qkv, up;
  };  // what the inputs of a layer's products are multiplied by, and their weights divided
  struct Layer {
    math::Packed qkv, out, up, down;
    Smooth smooth;  // int8 only
    std::vector<float> qkv_bias, out_bias, up_bias, down_bias, out_scale, out_shift, down_scale, down_shift;
  };
  Status pack_layer(const ModelSource& source, std::size_t index);
  void smooth(std::span<const std::vector<TokenId>> samples);
  void embed(const Batch& batch, Workspace& workspace) const;
  void heads(const Layer& layer, std::span<const std::size_t> offsets, Workspace& workspace, const Executor& executor) const;
  void feed_forward(const Layer& layer, std::size_t group, std::size_t first, std::size_t n, Workspace& workspace, std::size_t worker, float* out,
                    math::Epilogue epilogue) const;
  void rows(std::size_t index, math::View<float> x, Workspace& workspace, const Executor& executor) const;
  void few_rows(std::size_t index, math::View<float> x, Workspace& workspace, const Executor& executor) const;

  Shape shape_;
  Options options_;
  RowFile word_;
  std::vector<float> position_;  // with the type's row added
  std::vector<float> norm_scale_, norm_shift_;
  std::vector<Layer> layers_;
};

}  // namespace weir
