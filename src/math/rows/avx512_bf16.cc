// The avx512-bf16 row: avx512 on CPUs whose bf16 products are fast.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "math/kernels.h"

#define WEIR_LANES_BF16 1
namespace weir::math {
namespace {
#include "math/rows/avx512_lanes.inl"
#include "math/rows/kernels.inl"
#include "math/rows/avx512_attention.inl"
}  // namespace

extern const Kernels avx512_bf16_kernels;
const Kernels avx512_bf16_kernels{Row::avx512_bf16, true,    true,         product_all,  attention_all,    attention_bf16, layer_norm_all,
                                  quantise_all,     add_all, add_q4_all,   softmax_all,  softmax_step_all, exp_all,        gelu_all,
                                  tanh_all,         dot_all, dot_rows_all, add_rows_all, finite_all,       peak_all};

}  // namespace weir::math
#endif
