#include "math/probe.h"

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <vector>

namespace weir::math {
namespace {

double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

}  // namespace

Probe probe(const Kernels& kernels, Format format, std::size_t rows, std::size_t inputs, std::size_t outputs, int bursts) {
  std::vector<float> w(outputs * inputs), a(rows * inputs), scale(rows + 32), shift(rows + 32), out(rows * outputs);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i * 7919 % 201) * 1e-3F - 0.1F;
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 31 % 199) * 1e-2F - 1;
  const Packed packed = Packed::rows(View<const float>(w.data(), outputs, inputs), format);
  const std::unique_ptr<void, void (*)(void*)> data(std::aligned_alloc(64, Activations::bytes(rows, packed.steps())), std::free);
  scale.resize((rows + 32) * packed.groups());
  shift.resize((rows + 32) * packed.groups());
  const Activations to{.format = format,
                       .data = static_cast<std::byte*>(data.get()),
                       .steps = packed.steps(),
                       .groups = packed.groups(),
                       .scale = scale.data(),
                       .shift = shift.data()};
  kernels.quantise(View<const float>(a.data(), rows, inputs), nullptr, to, 0);
  const Product product{
      .a = to, .rows = rows, .w = &packed, .panels = packed.panels(), .groups = packed.groups(), .out = out.data(), .out_stride = outputs, .columns = outputs};
  const double operations = 2.0 * static_cast<double>(rows * inputs * outputs);

  // The clock is coarse beside a small product: as many as take about a millisecond.
  double began = cpu_seconds();
  kernels.product(product);
  const auto times = static_cast<std::size_t>(std::clamp(1e-3 / std::max(1e-7, cpu_seconds() - began), 1.0, 1e4));
  began = cpu_seconds();
  kernels.peak(format, 1'000);
  const auto iterations = static_cast<std::size_t>(1e3 * std::clamp(1e-3 / std::max(1e-7, cpu_seconds() - began), 1.0, 1e4));
  Probe best;
  for (int burst = 0; burst < bursts; ++burst) {
    began = cpu_seconds();
    const double done = kernels.peak(format, iterations);
    best.peak = std::max(best.peak, done / (cpu_seconds() - began));
    began = cpu_seconds();
    for (std::size_t i = 0; i < times; ++i) kernels.product(product);
    best.product = std::max(best.product, static_cast<double>(times) * operations / (cpu_seconds() - began));
  }
  return best;
}

bool faster_in_bf16(const Kernels& kernels) {
  const auto rate = [&](Format format) {
    const double began = cpu_seconds(), done = kernels.peak(format, 5'000);
    return done / std::max(1e-9, cpu_seconds() - began);
  };
  std::array<double, 63> ratios;
  for (double& ratio : ratios) {
    const double f32 = rate(Format::f32);
    ratio = rate(Format::bf16) / f32;
  }
  std::ranges::nth_element(ratios, ratios.begin() + ratios.size() / 2);
  return ratios[ratios.size() / 2] >= 1.25;
}

}  // namespace weir::math
