#include "math/cpu.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <utility>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#include "math/kernels.h"

namespace weir::math {
namespace {

constexpr std::array<std::pair<Row, std::string_view>, all_rows.size()> names{{{Row::scalar, "scalar"},
                                                                               {Row::avx2, "avx2"},
                                                                               {Row::avx2_vnni, "avx2-vnni"},
                                                                               {Row::avx512, "avx512"},
                                                                               {Row::avx512_bf16, "avx512-bf16"},
                                                                               {Row::amx, "amx"},
                                                                               {Row::neon, "neon"}}};

}  // namespace

std::string_view to_string(Row row) {
  for (const auto& [r, name] : names)
    if (r == row) return name;
  return "scalar";
}

#if defined(__x86_64__)
namespace {

bool has_avx_vnni() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & (1U << 4U)) != 0;
}

bool has_amx() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  constexpr unsigned bf16 = 1U << 22U, tile = 1U << 24U, int8 = 1U << 25U;
  if ((d & (bf16 | tile | int8)) != (bf16 | tile | int8)) return false;
#if defined(__linux__)
  constexpr long request_permission = 0x1023, tile_data = 18;  // arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): for the whole process
  static const bool allowed = ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return allowed;
#else
  return false;
#endif
}

}  // namespace
#endif

bool runs_here(Row row) {
  switch (row) {
    case Row::scalar: return true;
#if defined(__x86_64__)
    case Row::avx2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case Row::avx2_vnni: return runs_here(Row::avx2) && has_avx_vnni();
    case Row::avx512:
      return runs_here(Row::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
    case Row::avx512_bf16: return runs_here(Row::avx512) && __builtin_cpu_supports("avx512bf16");
    case Row::amx: return runs_here(Row::avx512_bf16) && __builtin_cpu_supports("avx512vbmi") && has_amx();
#elif defined(__aarch64__)
    case Row::neon: return true;
#endif
    default: return false;
  }
}

Row best_row() {
  static const Row best = [] {
    Row found = Row::scalar;
    for (const Row row : all_rows)
      if (kernels(row) != nullptr) found = row;
    return found;
  }();
  return best;
}

Result<Row> choose_row() {
  const char* wanted = std::getenv("WEIR_CPU");  // NOLINT(concurrency-mt-unsafe): nobody sets the environment after main() has begun
  if (wanted == nullptr || *wanted == '\0') return best_row();
  for (const auto& [row, name] : names) {
    if (name != wanted) continue;
    if (kernels(row) != nullptr) return row;
    return fail(Code::invalid, say("cpu_row_not_here", "WEIR_CPU={wanted} cannot run on this machine", {{"wanted", wanted}}), "WEIR_CPU",
                fmt::format("unset it, or set it to {} or less", to_string(best_row())));
  }
  return fail(Code::invalid, say("cpu_row_wrong", "WEIR_CPU={wanted} is no CPU row", {{"wanted", wanted}}), "WEIR_CPU",
              "set it to scalar, avx2, avx2-vnni, avx512, avx512-bf16 or amx, or unset it");
}

}  // namespace weir::math
