// How near a row's product comes to the peak of its own instructions, both measured in turns in the same run, on this thread's CPU time. For
// `weir bench kernels` and the test that sees a compiler spill.
#pragma once

#include "math/kernels.h"

namespace weir::math {

struct Probe {
  double product = 0, peak = 0;  // operations a second, two a multiply-add
  double share() const { return product / peak; }
};

// A product without epilogue of [rows × inputs] by [inputs × outputs], best of `bursts`, each of about a millisecond.
Probe probe(const Kernels& kernels, Format format, std::size_t rows, std::size_t inputs, std::size_t outputs, int bursts);

}  // namespace weir::math
