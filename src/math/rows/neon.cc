// The neon row: Armv8 without extensions.
#if defined(__aarch64__)
#include <arm_neon.h>

#include <type_traits>

#include "math/kernels.h"

namespace weir::math {
namespace {
#include "math/rows/neon_lanes.inl"
#include "math/rows/kernels.inl"
}  // namespace

extern const Kernels neon_kernels;
const Kernels neon_kernels{Row::neon,    false,   false,        product_all,  attention_all,    attention_all, layer_norm_all,
                           quantise_all, add_all, add_q4_all,   softmax_all,  softmax_step_all, exp_all,       gelu_all,
                           tanh_all,     dot_all, dot_rows_all, add_rows_all, finite_all,       peak_all};

}  // namespace weir::math
#endif
