#include "math/kernels.h"

#include "math/probe.h"

namespace weir::math {

extern const Kernels scalar_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx2_vnni_kernels, avx512_kernels, avx512_bf16_kernels, amx_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif

#if defined(__x86_64__)
namespace {

// Some CPUs do vdpbf16ps no faster than two f32 multiply-adds, or slower: there is no such row. Looked at once.
const Kernels* avx512_bf16() {
  static const Kernels* const chosen = faster_in_bf16(avx512_bf16_kernels) ? &avx512_bf16_kernels : nullptr;
  return chosen;
}

}  // namespace
#endif

const Kernels* kernels(Row row) {
  if (!runs_here(row)) return nullptr;
  switch (row) {
    case Row::scalar: return &scalar_kernels;
#if defined(__x86_64__)
    case Row::avx2: return &avx2_kernels;
    case Row::avx2_vnni: return &avx2_vnni_kernels;
    case Row::amx: return &amx_kernels;
    case Row::avx512: return &avx512_kernels;
    case Row::avx512_bf16: return avx512_bf16();
#elif defined(__aarch64__)
    case Row::neon: return &neon_kernels;
#endif
    default: return nullptr;
  }
}

const Kernels& kernels() {
  static const Kernels* const chosen = [] {
    const Result<Row> row = choose_row();
    return kernels(row ? *row : best_row());
  }();
  return *chosen;
}

}  // namespace weir::math
