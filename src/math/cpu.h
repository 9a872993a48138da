// Which family of kernels runs: the CPU row. Chosen once by cpuid, or by name with WEIR_CPU=scalar|avx2|avx2-vnni|avx512|amx|neon.
#pragma once

#include <string_view>

#include "base/result.h"

namespace weir::math {

enum class Row { scalar, avx2, avx2_vnni, avx512, amx, neon };  // avx2_vnni: with AVX-VNNI, as on CPUs of desktops

std::string_view to_string(Row row);
bool runs_here(Row row);  // this CPU and this operating system have what the row needs; for amx this also asks the kernel for the tile state
Row best_row();           // the fastest row that runs here

// WEIR_CPU when it is set, else best_row(). Errors: invalid, when WEIR_CPU names no row or one that cannot run here. Programs call it at their start.
Result<Row> choose_row();

}  // namespace weir::math
