// Which family of kernels runs: the CPU row. Chosen once by cpuid, or by name with WEIR_CPU=scalar|avx2|avx2-vnni|avx512|avx512-bf16|amx|neon.
#pragma once

#include <array>
#include <string_view>

#include "base/result.h"

namespace weir::math {

// avx2_vnni: with AVX-VNNI, as on CPUs of desktops. avx512_bf16: with vdpbf16ps, where a probe finds it faster than f32; its attention has other bits.
enum class Row { scalar, avx2, avx2_vnni, avx512, avx512_bf16, amx, neon };
inline constexpr std::array all_rows{Row::scalar, Row::avx2, Row::avx2_vnni, Row::avx512, Row::avx512_bf16, Row::amx, Row::neon};  // a later one is faster

std::string_view to_string(Row row);
bool runs_here(Row row);  // this CPU and this operating system have what the row needs; for amx this also asks the kernel for the tile state
Row best_row();           // the fastest row that runs here

// WEIR_CPU when it is set, else best_row(). Errors: invalid, when WEIR_CPU names no row or one that cannot run here. Programs call it at their start.
Result<Row> choose_row();

}  // namespace weir::math
