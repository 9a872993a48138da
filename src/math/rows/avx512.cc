// The avx512 row.
#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "math/kernels.h"

namespace weir::math {
namespace {
#include "math/rows/avx512_lanes.inl"
#include "math/rows/kernels.inl"
}  // namespace

extern const Kernels avx512_kernels;
const Kernels avx512_kernels{Row::avx512,  false,   true,         product_all,  attention_all,    attention_all, layer_norm_all,
                             quantise_all, add_all, add_q4_all,   softmax_all,  softmax_step_all, exp_all,       gelu_all,
                             tanh_all,     dot_all, dot_rows_all, add_rows_all, finite_all,       peak_all};

}  // namespace weir::math
#endif
