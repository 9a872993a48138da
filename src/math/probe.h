// How near a row's product comes to the peak of its own instructions, both measured in turns in the same run, on this thread's CPU time. For
// `weir bench kernels`, the test that sees a compiler spill, and the choice of the avx512-bf16 row.
#pragma once

#include "math/kernels.h"

namespace weir::math {

struct Probe {
  double product = 0, peak = 0;  // operations a second, two a multiply-add
  double share() const { return product / peak; }
};

// A product without epilogue of [rows × inputs] by [inputs × outputs], best of `bursts`, each of about a millisecond.
Probe probe(const Kernels& kernels, Format format, std::size_t rows, std::size_t inputs, std::size_t outputs, int bursts);

// Multiply-adds of bf16 on registers are at least a quarter faster than those of f32: they are twice as fast where they are worth having and as fast at
// best where they are not. The median of 63 turns, in each of which one is measured just after the other, so that others on the machine, who slow both or a
// few turns, don't change the answer (of the best of eight each, 21 of 6,000 answers were wrong on a busy machine). About 1 ms.
bool faster_in_bf16(const Kernels& kernels);

}  // namespace weir::math
