// The amx row: products and attention by tiles, the rest as in avx512. Bits of f32 and int8 are those of every row.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "math/kernels.h"

namespace weir::math {
namespace {
#include "math/rows/avx512_lanes.inl"
#include "math/rows/kernels.inl"
#include "math/rows/avx512_attention.inl"
#include "math/rows/amx_tiles.inl"
#include "math/rows/amx_product.inl"
}  // namespace

extern const Kernels amx_kernels;
const Kernels amx_kernels{Row::amx,     true,    true,         product_amx,  attention_all,    attention_amx, layer_norm_all,
                          quantise_all, add_all, add_q4_all,   softmax_all,  softmax_step_all, exp_all,       gelu_all,
                          tanh_all,     dot_all, dot_rows_all, add_rows_all, finite_all,       peak_amx};

}  // namespace weir::math
#endif
