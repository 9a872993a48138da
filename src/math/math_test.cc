// Every kernel of every CPU row that runs here: against the exact function in double within its stated bound, and bit for bit against the scalar row where
// that is promised; at every length up to two registers and a few beyond, at three misalignments.
#include "math/math.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

#include "math/kernels.h"
#include "math/probe.h"

namespace weir::math {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> random_floats(std::size_t n, float scale, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> out(n);
  for (float& v : out) v = normal(generator);
  return out;
}

bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * 4) == 0);
}

}  // namespace

#if defined(__x86_64__)
extern const Kernels amx_emulated_kernels, avx512_bf16_kernels;
#endif

namespace {

// A row by its name; "amx_emulated" is the amx row with tiles in memory.
class OfRow : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override {
    for (const Row r : all_rows)
      if (to_string(r) == GetParam()) row = kernels(r);
#if defined(__x86_64__)
    if (GetParam() == "amx_emulated" && runs_here(Row::avx512_bf16)) row = &amx_emulated_kernels;
#endif
    if (row == nullptr) GTEST_SKIP() << "the row " << GetParam() << " does not run here";
  }
  // f(kernels, x, n) in place at every length and misalignment; bound(x, result) is checked for each element.
  template <class F, class Bound>
  void everywhere(float scale, F f, Bound bound) {
    for (std::size_t n = 1; n <= 70; ++n)
      for (const std::size_t shift : {0, 1, 5}) {
        const std::vector<float> in = random_floats(n, scale, static_cast<unsigned>(n * 10 + shift));
        std::vector<float> mine(n + shift + 1, 77.0F), judge(n + shift + 1, 77.0F);
        std::ranges::copy(in, mine.begin() + static_cast<std::ptrdiff_t>(shift));
        std::ranges::copy(in, judge.begin() + static_cast<std::ptrdiff_t>(shift));
        f(*row, mine.data() + shift, n);
        f(*kernels(Row::scalar), judge.data() + shift, n);
        ASSERT_TRUE(same_bits(mine, judge)) << "n " << n << " shift " << shift;
        ASSERT_EQ(mine.back(), 77.0F);  // nothing is written beyond
        bound(in, std::span(mine).subspan(shift, n));
      }
  }
  const Kernels* row = nullptr;
};

TEST_P(OfRow, Exp) {
  everywhere(
      30, [](const Kernels& k, float* x, std::size_t n) { k.exp(x, n); },
      [](std::span<const float> in, std::span<const float> out) {
        for (std::size_t i = 0; i < in.size(); ++i) {
          const double exact = in[i] < -87.3 ? 0 : std::exp(static_cast<double>(in[i]));
          if (exact < 3e38) { EXPECT_NEAR(out[i], exact, 3e-7 * exact) << in[i]; }
        }
      });
  float edges[] = {0, -0.0F, 88.7F, 88.73F, 200, inf, -inf, -87.3F, -200, nan, 88.0F, 1, -1};
  row->exp(edges, std::size(edges));
  EXPECT_EQ(edges[0], 1.0F);
  EXPECT_NEAR(edges[2] / std::exp(static_cast<double>(88.7F)), 1, 3e-7);
  EXPECT_EQ(edges[3], inf);
  EXPECT_EQ(edges[5], inf);
  EXPECT_EQ(edges[6], 0.0F);
  EXPECT_EQ(edges[8], 0.0F);
  EXPECT_TRUE(std::isnan(edges[9]));
}

TEST_P(OfRow, Gelu) {
  for (const float scale : {0.1F, 3.0F, 20.0F})
    everywhere(
        scale, [](const Kernels& k, float* x, std::size_t n) { k.gelu(x, n); },
        [](std::span<const float> in, std::span<const float> out) {
          for (std::size_t i = 0; i < in.size(); ++i) {
            const double x = in[i];
            EXPECT_NEAR(out[i], x * 0.5 * std::erfc(-x / std::sqrt(2.0)), 5e-7 * std::max(1.0, std::fabs(x))) << x;
          }
        });
  float edges[] = {nan, 0, 1e30F, -1e30F};
  row->gelu(edges, 4);
  EXPECT_TRUE(std::isnan(edges[0]));
  EXPECT_EQ(edges[1], 0);
  EXPECT_EQ(edges[2], 1e30F);
}

TEST_P(OfRow, Tanh) {
  for (const float scale : {0.01F, 1.0F, 20.0F})
    everywhere(
        scale, [](const Kernels& k, float* x, std::size_t n) { k.tanh(x, n); },
        [](std::span<const float> in, std::span<const float> out) {
          for (std::size_t i = 0; i < in.size(); ++i) { EXPECT_NEAR(out[i], std::tanh(static_cast<double>(in[i])), 2e-7) << in[i]; }
        });
  float edges[] = {nan, 0, inf, -inf, 1e30F, -1e30F};
  row->tanh(edges, 6);
  EXPECT_TRUE(std::isnan(edges[0]));
  EXPECT_EQ(edges[1], 0);
  for (const int i : {2, 4}) EXPECT_NEAR(edges[i], 1, 2e-7);
  for (const int i : {3, 5}) EXPECT_NEAR(edges[i], -1, 2e-7);
}

TEST_P(OfRow, Finite) {
  for (const std::size_t by : {0, 1, 5})
    for (std::size_t n = 0; n <= 150; ++n) {
      std::vector<float> all(by + n + 1, nan);  // what is beside does not count
      const std::span<float> x = std::span(all).subspan(by, n);
      std::ranges::fill(x, 3.4e38F);  // what a sum of them would not hold
      ASSERT_TRUE(row->finite(x.data(), n));
      for (std::size_t i = 0; i < n; i += 1 + n / 20)
        for (const float bad : {nan, inf, -inf}) {
          x[i] = bad;
          ASSERT_FALSE(row->finite(x.data(), n)) << n << " " << i << " " << bad;
          x[i] = -3.4e38F;
        }
    }
}

TEST_P(OfRow, DotAndAddRows) {
  std::vector<std::size_t> lengths{127, 128, 129, 130, 200};  // beside every one up to two registers: what takes four of them at a time
  for (std::size_t n = 1; n <= 70; ++n) lengths.push_back(n);
  for (const std::size_t columns : lengths)
    for (const std::size_t by : {0, 1, 5})
      for (const std::size_t count : {0, 1, 2, 7, 33}) {
        const std::size_t stride = columns + by;
        const std::vector<float> rows = random_floats(count * stride + by, 1, static_cast<unsigned>(columns)), w = random_floats(count, 1, 7),
                                 before = random_floats(by + columns + 1, 1, 8);
        std::vector<float> mine = before, judge = before;
        const View<const float> view(rows.data() + by, count, columns, stride);
        row->add_rows(w.data(), view, mine.data() + by);
        kernels(Row::scalar)->add_rows(w.data(), view, judge.data() + by);
        ASSERT_TRUE(same_bits(mine, judge)) << columns << " " << count;
        ASSERT_EQ(mine.back(), before.back());  // nothing is written beyond
        std::vector<float> dots(count + 1, 77.0F);
        row->dot_rows(view, before.data() + by, dots.data());
        for (std::size_t r = 0; r < count; ++r) ASSERT_EQ(dots[r], row->dot(view.row(r).data(), before.data() + by, columns));
        ASSERT_EQ(dots[count], 77.0F);
        for (std::size_t c = 0; c < columns; ++c) {
          float exact = before[by + c];
          for (std::size_t r = 0; r < count; ++r) exact = std::fma(w[r], view(r, c), exact);
          ASSERT_EQ(mine[by + c], exact) << columns << " " << count;
        }
      }
}

TEST_P(OfRow, Softmax) {
  for (const float scale : {1.0F, 50.0F})
    everywhere(
        scale, [](const Kernels& k, float* x, std::size_t n) { k.softmax(x, n); },
        [](std::span<const float> in, std::span<const float> out) {
          const double max = *std::ranges::max_element(in);
          double sum = 0, total = 0;
          for (const float v : in) sum += std::exp(v - max);
          for (std::size_t i = 0; i < in.size(); ++i) {
            EXPECT_NEAR(out[i], std::exp(in[i] - max) / sum, 4e-7);
            total += static_cast<double>(out[i]);
          }
          EXPECT_NEAR(total, 1, 1e-6);
        });
  // Long rows, and the worst of them: so small beside the greatest that its partial sum loses every one.
  for (const std::size_t n : {1'024, 4'096, 100'000})
    for (const float scale : {0.0F, 3.0F, -1.0F}) {
      std::vector<float> in = random_floats(n, std::max(scale, 1e-6F), 5);
      if (scale < 0) {
        std::ranges::fill(in, -17.35F);
        in[0] = 0;
      }
      std::vector<float> out = in;
      row->softmax(out.data(), n);
      const double max = *std::ranges::max_element(in);
      double sum = 0;
      for (const float v : in) sum += std::exp(v - max);
      for (std::size_t i = 0; i < n; ++i) {
        const double exact = std::exp(in[i] - max) / sum;
        ASSERT_NEAR(out[i], exact, 4e-7 + static_cast<double>(n) * 0x1p-28 * exact) << n << " " << scale;
      }
    }
  float masked[] = {-inf, -inf, -inf};
  row->softmax(masked, 3);
  for (const float v : masked) EXPECT_EQ(v, 0.0F);
  float partly[] = {-inf, 2, -inf};
  row->softmax(partly, 3);
  EXPECT_EQ(partly[0], 0.0F);
  EXPECT_EQ(partly[1], 1.0F);
  float bad[] = {1, nan, 2};
  row->softmax(bad, 3);
  EXPECT_TRUE(std::isnan(bad[1]));
  row->softmax(bad, 0);
}

TEST_P(OfRow, SoftmaxInSteps) {
  for (std::size_t n = 1; n <= 70; ++n)
    for (const auto& [stride, shift] : {std::pair(16, 0), std::pair(40, 0), std::pair(16, 1), std::pair(40, 5)}) {
      const std::vector<float> padded = random_floats(n + static_cast<std::size_t>(shift), 20, static_cast<unsigned>(n));
      const std::span<const float> x = std::span(padded).subspan(static_cast<std::size_t>(shift));
      const std::size_t first = n / 3, steps[] = {first, n - first};
      float top = -inf, sum = 0;
      std::vector<float> all;
      for (std::size_t s = 0, at = 0; s < 2; at += steps[s++]) {
        std::vector<float> out((steps[s] + 15) / 16 * static_cast<std::size_t>(stride), 7), judged = out;
        float part = 0, judged_part = 0;
        const float before = top;
        top = row->softmax_step(x.data() + at, steps[s], top, out.data(), static_cast<std::size_t>(stride), &part);
        kernels(Row::scalar)->softmax_step(x.data() + at, steps[s], before, judged.data(), static_cast<std::size_t>(stride), &judged_part);
        ASSERT_TRUE(same_bits(out, judged) && same_bits({&part, 1}, {&judged_part, 1})) << n;
        const float shrink = before == -inf ? 0 : std::exp(before - top);
        for (float& v : all) v *= shrink;
        sum = sum * shrink + part;
        for (std::size_t i = 0; i < (steps[s] + 15) / 16 * 16; ++i) {
          const float v = out[i / 16 * static_cast<std::size_t>(stride) + i % 16];
          if (i < steps[s]) all.push_back(v);
          else EXPECT_EQ(v, 0.0F);
        }
        const bool written_between = stride > 16 && !out.empty() && out[16] != 7;
        EXPECT_FALSE(written_between);
      }
      EXPECT_EQ(top, *std::ranges::max_element(x));
      std::vector<float> judge(x.begin(), x.end());
      row->softmax(judge.data(), n);
      for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(all[i] / sum, judge[i], 4e-7);
    }
  float hidden[16] = {-inf, -inf}, sum = 3;
  EXPECT_EQ(row->softmax_step(hidden, 2, -inf, hidden, 16, &sum), -inf);
  EXPECT_EQ(sum, 0.0F);
  EXPECT_EQ(hidden[0], 0.0F);
  float bad[16] = {1, nan, 2};
  row->softmax_step(bad, 3, -inf, bad, 16, &sum);
  EXPECT_TRUE(std::isnan(bad[1]) && std::isnan(sum));
}

TEST_P(OfRow, DotAndAdd) {
  for (std::size_t n = 0; n <= 70; ++n)
    for (const std::size_t shift : {0, 1, 5}) {
      std::vector<float> a = random_floats(n + shift, 1, static_cast<unsigned>(n)), b = random_floats(n + shift, 1, static_cast<unsigned>(n + 1000));
      const float mine = row->dot(a.data() + shift, b.data() + shift, n), judge = kernels(Row::scalar)->dot(a.data() + shift, b.data() + shift, n);
      EXPECT_EQ(std::bit_cast<std::uint32_t>(mine), std::bit_cast<std::uint32_t>(judge));
      double exact = 0, size = 0;
      for (std::size_t i = shift; i < n + shift; ++i) {
        exact += static_cast<double>(a[i]) * b[i];
        size += std::fabs(static_cast<double>(a[i]) * b[i]);
      }
      EXPECT_NEAR(mine, exact, (static_cast<double>(n) / 16 + 5) * 0x1p-24 * size + 1e-30);
      std::vector<float> sum = a;
      row->add(sum.data() + shift, b.data() + shift, n);
      for (std::size_t i = shift; i < n + shift; ++i) EXPECT_EQ(sum[i], a[i] + b[i]);
    }
}

TEST_P(OfRow, LayerNorm) {
  std::vector<std::size_t> lengths{384, 768, 1024};
  for (std::size_t n = 1; n <= 70; ++n) lengths.push_back(n);
  for (const std::size_t n : lengths)
    for (const std::size_t by : {0, 1, 5})
      for (const float offset : {0.0F, 50.0F}) {
        const std::vector<float> scale = random_floats(n + by, 1, 1), shift = random_floats(n + by, 1, 2);
        std::vector<float> in = random_floats(n + by, 4, static_cast<unsigned>(n));
        for (float& v : in) v += offset;
        std::vector<float> mine = in, judge = in;
        row->layer_norm(View<float>(mine.data() + by, 1, n), scale.data() + by, shift.data() + by, 1e-5F, nullptr, nullptr, 0);
        kernels(Row::scalar)->layer_norm(View<float>(judge.data() + by, 1, n), scale.data() + by, shift.data() + by, 1e-5F, nullptr, nullptr, 0);
        ASSERT_TRUE(same_bits(mine, judge)) << n;
        double mean = 0, variance = 0, most = 0;
        for (std::size_t i = by; i < n + by; ++i) {
          mean += in[i];
          most = std::max(most, std::fabs(static_cast<double>(in[i])));
        }
        mean /= static_cast<double>(n);
        for (std::size_t i = by; i < n + by; ++i) variance += (in[i] - mean) * (in[i] - mean);
        const double deviation = std::sqrt(variance / static_cast<double>(n) + 1e-5F);
        for (std::size_t i = by; i < n + by; ++i) {
          const double normal = (in[i] - mean) / deviation;
          ASSERT_NEAR(mine[i], normal * scale[i] + shift[i],
                      2e-6 * (std::fabs(static_cast<double>(scale[i])) * (std::fabs(normal) + most / deviation) + std::fabs(static_cast<double>(shift[i]))))
              << n << " " << i;
        }
      }
  float bad[] = {1, nan, 2};
  const float ones[] = {1, 1, 1};
  row->layer_norm(View<float>(bad, 1, 3), ones, ones, 1e-5F, nullptr, nullptr, 0);
  for (const float v : bad) EXPECT_TRUE(std::isnan(v));
}

// Into the order of products: the judge's bytes, with and without smoothing, straight and behind a layer norm.
TEST_P(OfRow, Activations) {
  for (const Format format : {Format::f32, Format::bf16, Format::int8})
    for (const std::size_t n : {64, 128, 192, 384, 768})
      for (const std::size_t by : {0, 1, 5})
        for (const bool smoothed : {false, true}) {
          const std::size_t rows = 35, stride = n + by, groups = format == Format::int8 && n > 384 ? 2 : 1, steps = n * bytes_of(format) / 64;
          const std::vector<float> in = random_floats(rows * stride + by, 3, static_cast<unsigned>(n)), smooth = random_floats(n + by, 1, 8),
                                   scale = random_floats(n + by, 1, 1), shift = random_floats(n + by, 1, 2);
          struct Written {
            std::vector<float> scale, shift, x;
            std::vector<std::byte> bytes;
          };
          const auto run = [&](const Kernels& k, bool norm) {
            const std::size_t size = math::Activations::bytes(rows, steps);
            Written out{std::vector<float>(64 * groups), std::vector<float>(64 * groups), in, std::vector<std::byte>(size)};
            auto* data = static_cast<std::byte*>(std::aligned_alloc(64, size));
            std::memset(data, 0, size);
            const math::Activations to{.format = format, .data = data, .steps = steps, .groups = groups, .scale = out.scale.data(), .shift = out.shift.data()};
            const float* factors = smoothed && format == Format::int8 ? smooth.data() + by : nullptr;
            const View<float> x(out.x.data() + by, rows, n, stride);
            if (norm) k.layer_norm(x, scale.data() + by, shift.data() + by, 1e-12F, factors, &to, 0);
            else k.quantise(x, factors, to, 0);
            std::memcpy(out.bytes.data(), data, size);
            std::free(data);
            return out;
          };
          for (const bool norm : {false, true}) {
            const Written mine = run(*row, norm), judge = run(*kernels(Row::scalar), norm);
            ASSERT_TRUE(mine.bytes == judge.bytes && same_bits(mine.scale, judge.scale) && same_bits(mine.shift, judge.shift) && same_bits(mine.x, judge.x))
                << static_cast<int>(format) << " " << n << " " << by << " " << norm;
          }
        }
}

TEST_P(OfRow, Q4) {
  for (std::size_t n = 32; n <= 384; n += 32)
    for (const std::size_t by : {0, 1, 5}) {
      std::vector<std::byte> blocks(n / 32 * 18);
      for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<std::byte>(i * 37);
      const std::uint16_t half = 0x3800, small = 0x0001;  // 0.5, and the least subnormal
      for (std::size_t b = 0; b < n / 32; ++b) std::memcpy(blocks.data() + b * 18, b % 2 == 0 ? &half : &small, 2);
      std::vector<float> x(n + by, 1.0F);
      row->add_q4(x.data() + by, blocks.data(), n);
      for (std::size_t i = 0; i < n; ++i) {
        const auto byte = static_cast<unsigned>(blocks[i / 32 * 18 + 2 + i % 16]);
        const int q = static_cast<int>(i % 32 < 16 ? byte & 15U : byte >> 4U) - 8;
        ASSERT_EQ(x[by + i], 1.0F + static_cast<float>(q) * (i / 32 % 2 == 0 ? 0.5F : 0x1p-24F)) << n << " " << i;
      }
    }
  std::vector<std::byte> bad(18, static_cast<std::byte>(0xFF));
  std::vector<float> x(32);
  row->add_q4(x.data(), bad.data(), 32);
  for (const float v : x) EXPECT_TRUE(std::isnan(v));
}

// A product with activations that the row itself wrote, against double over the values it wrote them from.
// Inputs beyond `inputs`, up to a whole step, are zeros; `by` is how far from 64 bytes the output begins.
void check_product(const Kernels& k, Format format, std::size_t rows, std::size_t outputs, std::size_t inputs, Epilogue epilogue, std::size_t by = 0) {
  const std::size_t step = 64 / bytes_of(format), wide = (inputs + step - 1) / step * step;
  std::vector<float> a = random_floats(rows * wide, 1, 3);
  for (std::size_t i = 0; i < a.size(); ++i)
    if (i % wide >= inputs) a[i] = 0;
  const std::vector<float> w = random_floats(outputs * inputs, 0.05F, 4), bias = random_floats((outputs + 31) / 32 * 32, 1, 5);
  const Packed packed = Packed::rows(View<const float>(w.data(), outputs, inputs), format);
  const std::size_t padded = (rows + 31) / 32 * 32, groups = packed.groups();
  std::vector<float> scale(padded * groups), shift(padded * groups);
  const std::size_t bytes = Activations::bytes(rows, packed.steps());
  const auto run = [&](const Kernels& kernel, std::vector<float>& out) {
    std::byte* data = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
    std::memset(data, 0, bytes);
    const Activations to{.format = format, .data = data, .steps = packed.steps(), .groups = groups, .scale = scale.data(), .shift = shift.data()};
    kernel.quantise(View<const float>(a.data(), rows, wide), nullptr, to, 0);
    kernel.product({.a = to,
                    .rows = rows,
                    .w = &packed,
                    .panels = packed.panels(),
                    .groups = groups,
                    .bias = bias.data(),
                    .out = out.data() + by,
                    .out_stride = outputs,
                    .columns = outputs,
                    .epilogue = epilogue});
    std::free(data);
  };
  std::vector<float> mine(rows * outputs + by + 1, 0.5F), judge = mine;
  run(k, mine);
  run(*kernels(Row::scalar), judge);
  if (format == Format::bf16) {
    for (std::size_t i = 0; i < mine.size(); ++i) ASSERT_NEAR(mine[i], judge[i], 1e-3) << i;
  } else {
    ASSERT_TRUE(same_bits(mine, judge)) << rows << " × " << inputs << " → " << outputs;
  }
  for (std::size_t i = 0; i < by; ++i) ASSERT_EQ(mine[i], 0.5F);
  ASSERT_EQ(mine.back(), 0.5F);  // nothing is written beside
  const double tolerance = (format == Format::f32 ? 2e-6 : format == Format::bf16 ? 2e-3 : 6e-3) * std::sqrt(static_cast<double>(inputs));
  for (std::size_t r = 0; r < rows; r += 3)
    for (std::size_t o = 0; o < outputs; o += 5) {
      double exact = bias[o];
      for (std::size_t i = 0; i < inputs; ++i) exact += static_cast<double>(a[r * wide + i]) * w[o * inputs + i];
      if (epilogue == Epilogue::add) exact += 0.5;
      if (epilogue == Epilogue::gelu) exact *= 0.5 * std::erfc(-exact / std::sqrt(2.0));
      ASSERT_NEAR(mine[by + r * outputs + o], exact, tolerance) << r << " " << o;
    }
}

TEST_P(OfRow, Products) {
  for (const Format format : {Format::f32, Format::bf16, Format::int8})
    for (const Epilogue epilogue : {Epilogue::store, Epilogue::add, Epilogue::gelu}) {
      for (std::size_t rows = 1; rows <= 66; ++rows) check_product(*row, format, rows, 64, 64, epilogue, rows % 3);
      for (const auto& [rows, outputs, inputs] : {std::tuple(33, 96, 384), std::tuple(7, 32, 768), std::tuple(65, 160, 128), std::tuple(3, 384, 1536),
                                                  std::tuple(131, 40, 832), std::tuple(130, 36, 768), std::tuple(2, 32, 4100)})
        check_product(*row, format, static_cast<std::size_t>(rows), static_cast<std::size_t>(outputs), static_cast<std::size_t>(inputs), epilogue);
    }
}

// Every number of outputs up to two panels and a few, every number of inputs up to two steps and a few; three misalignments of the output.
TEST_P(OfRow, ProductsOfAnyShape) {
  for (const Format format : {Format::f32, Format::bf16, Format::int8})
    for (const Epilogue epilogue : {Epilogue::store, Epilogue::add, Epilogue::gelu})
      for (const std::size_t by : {0, 1, 5}) {
        for (std::size_t outputs = 1; outputs <= 70; ++outputs) check_product(*row, format, outputs % 5 + 1, outputs, 64, epilogue, by);
        for (std::size_t inputs = 1; inputs <= 130; ++inputs) check_product(*row, format, inputs % 5 + 1, 32, inputs, epilogue, by);
      }
}

// Some rows, some panels, some groups of a product: the judge's bits, and nothing beside them.
TEST_P(OfRow, PartsOfAProduct) {
  const std::size_t rows = 70, inputs = 3 * 384, outputs = 160;
  const std::vector<float> a = random_floats(rows * inputs, 1, 3), w = random_floats(outputs * inputs, 0.05F, 4), bias = random_floats(outputs, 1, 5);
  for (const Format format : {Format::f32, Format::int8}) {
    const Packed packed = Packed::rows(View<const float>(w.data(), outputs, inputs), format);
    for (const std::size_t groups : {1, 2, 3}) {
      if (groups > packed.groups()) continue;
      const std::size_t part = inputs / packed.groups() * groups, steps = packed.steps() / packed.groups() * groups;
      const auto run = [&](const Kernels& k, Epilogue epilogue) {
        std::vector<float> scale(96 * groups), shift(scale.size()), out(40 * 100, 0.5F);
        const std::unique_ptr<void, void (*)(void*)> data(std::aligned_alloc(64, math::Activations::bytes(rows, steps)), std::free);
        std::memset(data.get(), 0, math::Activations::bytes(rows, steps));
        const math::Activations to{
            .format = format, .data = static_cast<std::byte*>(data.get()), .steps = steps, .groups = groups, .scale = scale.data(), .shift = shift.data()};
        k.quantise(View<const float>(a.data(), rows, part, inputs), nullptr, to, 0);
        k.product({.a = to,
                   .row = 32,
                   .rows = 37,
                   .w = &packed,
                   .panel = 1,
                   .panels = 3,
                   .group = packed.groups() - groups,
                   .groups = groups,
                   .bias = bias.data(),
                   .out = out.data(),
                   .out_stride = 100,
                   .columns = 90,
                   .epilogue = epilogue});
        return out;
      };
      for (const Epilogue epilogue : {Epilogue::store, Epilogue::add, Epilogue::gelu}) {
        const std::vector<float> mine = run(*row, epilogue);
        ASSERT_TRUE(same_bits(mine, run(*kernels(Row::scalar), epilogue))) << groups;
        for (std::size_t i = 0; i < mine.size(); ++i)
          if (i / 100 >= 37 || i % 100 >= 90) { ASSERT_EQ(mine[i], 0.5F); }
      }
    }
  }
}

// The greatest that 8 bits can be, side by side: sums of 16 bits would saturate.
TEST_P(OfRow, IntegerSumsAreExact) {
  for (const std::size_t inputs : {64, 384, 1536})
    for (const float sign : {1.0F, -1.0F}) {
      const std::size_t rows = 5, outputs = 64;
      const std::vector<float> a(rows * inputs, 255.0F), w(outputs * inputs, sign * 127.0F);
      const Packed packed = Packed::rows(View<const float>(w.data(), outputs, inputs), Format::int8);
      std::vector<float> scale(32 * packed.groups()), shift(scale.size()), out(rows * outputs);
      const std::size_t bytes = math::Activations::bytes(rows, packed.steps());
      auto* data = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
      const math::Activations to{
          .format = Format::int8, .data = data, .steps = packed.steps(), .groups = packed.groups(), .scale = scale.data(), .shift = shift.data()};
      row->quantise(View<const float>(a.data(), rows, inputs), nullptr, to, 0);
      row->product({.a = to,
                    .rows = rows,
                    .w = &packed,
                    .panels = packed.panels(),
                    .groups = packed.groups(),
                    .out = out.data(),
                    .out_stride = outputs,
                    .columns = outputs});
      std::free(data);
      for (const float v : out) ASSERT_EQ(v, sign * 255.0F * 127.0F * static_cast<float>(inputs));
    }
}

// gelu behind bf16 and 8-bit products: within 2e-4 of the exact function of the same sums.
TEST_P(OfRow, GeluBehindProducts) {
  for (const Format format : {Format::bf16, Format::int8}) {
    const std::size_t rows = 32, inputs = 64, outputs = 64;
    const std::vector<float> a = random_floats(rows * inputs, 1, 3), w = random_floats(outputs * inputs, 0.4F, 4);
    const Packed packed = Packed::rows(View<const float>(w.data(), outputs, inputs), format);
    std::vector<float> scale(rows), shift(rows), plain(rows * outputs), gelu = plain;
    const std::size_t bytes = math::Activations::bytes(rows, packed.steps());
    auto* data = static_cast<std::byte*>(std::aligned_alloc(64, bytes));
    const math::Activations to{.format = format, .data = data, .steps = packed.steps(), .scale = scale.data(), .shift = shift.data()};
    row->quantise(View<const float>(a.data(), rows, inputs), nullptr, to, 0);
    for (const auto& [epilogue, out] : {std::pair(Epilogue::store, &plain), std::pair(Epilogue::gelu, &gelu)})
      row->product({.a = to,
                    .rows = rows,
                    .w = &packed,
                    .panels = packed.panels(),
                    .out = out->data(),
                    .out_stride = outputs,
                    .columns = outputs,
                    .epilogue = epilogue});
    std::free(data);
    for (std::size_t i = 0; i < plain.size(); ++i) {
      const double x = plain[i];
      if (std::fabs(x) <= 12) { ASSERT_NEAR(gelu[i], x * 0.5 * std::erfc(-x / std::sqrt(2.0)), 2e-4) << x; }
    }
  }
}

TEST_P(OfRow, Attention) {
  for (const std::size_t head : {32, 64})
    for (std::size_t at = 3; at <= 300; at += at < 210 ? 1 : 90) {
      const std::size_t n = at / 3, by = std::array{0, 1, 5}[at % 3], stride = 3 * head + by;
      const std::vector<float> padded = random_floats(n * stride + by, 1, static_cast<unsigned>(n));
      const float* qkv = padded.data() + by;
      float* scratch = static_cast<float*>(std::aligned_alloc(64, (attention_scratch(n, head) * 4 + 63) / 64 * 64));
      std::vector<float> mine(n * head), judge(n * head), fast(n * head);
      const Attention t{
          .q = qkv, .k = qkv + head, .v = qkv + 2 * head, .n = n, .head = head, .stride = stride, .out = mine.data(), .out_stride = head, .scratch = scratch};
      row->attention(t);
      Attention other = t;
      other.out = judge.data();
      kernels(Row::scalar)->attention(other);
      other.out = fast.data();
      row->attention_fast(other);
      std::free(scratch);
      ASSERT_TRUE(same_bits(mine, judge)) << n;
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> p(n);
        double max = -1e300, sum = 0;
        for (std::size_t j = 0; j < n; ++j) {
          for (std::size_t d = 0; d < head; ++d) p[j] += static_cast<double>(qkv[i * stride + d]) * qkv[j * stride + head + d];
          max = std::max(max, p[j]);
        }
        for (double& v : p) sum += v = std::exp2(v - max);
        for (std::size_t d = 0; d < head; ++d) {
          double exact = 0;
          for (std::size_t j = 0; j < n; ++j) exact += p[j] / sum * qkv[j * stride + 2 * head + d];
          ASSERT_NEAR(mine[i * head + d], exact, 1e-5) << n;
          ASSERT_NEAR(fast[i * head + d], exact, 0.12) << n;  // bf16 scores of magnitude 20
        }
      }
    }
}

// A compiler that spills is seen here. Others on the machine only slow a product down, so the best of a few tries counts.
TEST_P(OfRow, ProductsReachThePeak) {
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "not an optimised build";
#endif
  if (GetParam() == "scalar" || GetParam() == "amx_emulated") GTEST_SKIP() << "the judge need not be fast";
  for (const Format format : {Format::f32, Format::bf16, Format::int8}) {
    if (format == Format::bf16 && !row->fast_bf16) continue;
    const double wanted = GetParam() == "amx" ? 0.4 : 0.6;
    Probe best;
    for (int attempt = 0; attempt < 5 && !(best.peak > 0 && best.share() >= wanted); ++attempt) { best = probe(*row, format, 64, 384, 384, 50); }
    std::printf("%s %s: %.0f of %.0f GOPS (%.0f %%)\n", std::string(GetParam()).c_str(),
                format == Format::f32    ? "f32"
                : format == Format::bf16 ? "bf16"
                                         : "int8",
                best.product * 1e-9, best.peak * 1e-9, 100 * best.share());
    EXPECT_GE(best.share(), wanted);
  }
}

INSTANTIATE_TEST_SUITE_P(Rows, OfRow, testing::Values("scalar", "avx2", "avx2-vnni", "avx512", "avx512-bf16", "amx", "amx_emulated", "neon"),
                         [](const auto& test) {
                           std::string name(test.param);
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(Math, GemmOfAnyShape) {
  for (const std::size_t m : {1, 2, 5, 33, 70})
    for (const std::size_t n : {1, 3, 31, 32, 33, 100})
      for (const std::size_t k : {1, 2, 15, 16, 17, 50, 400}) {
        const std::vector<float> a = random_floats(m * (k + 3), 1, 1), b = random_floats(n * k, 1, 2);
        std::vector<float> bt(n * k), c(m * (n + 2), 1.0F), c2 = c;
        for (std::size_t i = 0; i < n; ++i)
          for (std::size_t j = 0; j < k; ++j) bt[j * n + i] = b[i * k + j];
        gemm(View<const float>(a.data(), m, k, k + 3), Packed::rows(View<const float>(b.data(), n, k)), View<float>(c.data(), m, n, n + 2));
        gemm(View<const float>(a.data(), m, k, k + 3), Packed::columns(View<const float>(bt.data(), k, n)), View<float>(c2.data(), m, n, n + 2), Into::add);
        for (std::size_t i = 0; i < m; ++i) {
          for (std::size_t j = 0; j < n; ++j) {
            double exact = 0, size = 0;
            for (std::size_t l = 0; l < k; ++l) {
              exact += static_cast<double>(a[i * (k + 3) + l]) * b[j * k + l];
              size += std::fabs(static_cast<double>(a[i * (k + 3) + l]) * b[j * k + l]);
            }
            ASSERT_NEAR(c[i * (n + 2) + j], exact, static_cast<double>(k) * 0x1p-24 * size + 1e-12);
            ASSERT_NEAR(c2[i * (n + 2) + j], exact + 1, static_cast<double>(k) * 0x1p-23 * size + 1e-6);
          }
          EXPECT_EQ(c[i * (n + 2) + n], 1.0F);  // between the rows nothing is written
        }
      }
}

TEST(Math, Transpose) {
  for (std::size_t rows = 1; rows <= 37; ++rows)
    for (const std::size_t columns : {1, 2, 3, 4, 5, 8, 15, 16, 19, 33}) {
      const std::size_t stride = columns + 2, turned = rows + 1;
      const std::vector<float> from = random_floats(rows * stride, 1, static_cast<unsigned>(rows));
      std::vector<float> to(columns * turned, 7);
      transpose(View<const float>(from.data(), rows, columns, stride), View<float>(to.data(), columns, rows, turned));
      for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t i = 0; i < turned; ++i) ASSERT_EQ(to[j * turned + i], i < rows ? from[i * stride + j] : 7) << rows << " × " << columns;
    }
}

TEST(Math, GemmKeepsWhatIsNotFinite) {
  const float a[] = {nan, 1, 1, 1}, b[] = {1, 1};
  float c[2];
  gemm(View<const float>(a, 2, 2), Packed::rows(View<const float>(b, 1, 2)), View<float>(c, 2, 1));
  EXPECT_TRUE(std::isnan(c[0]));
  EXPECT_EQ(c[1], 2.0F);
  gemm(View<const float>(a, 0, 2), Packed::rows(View<const float>(b, 1, 2)), View<float>(c, 0, 1));
}

TEST(Math, TopK) {
  std::vector<float> v = random_floats(500, 1, 9);
  v[3] = v[77] = 9;
  v[5] = nan;
  for (const std::size_t k : {0, 1, 2, 10, 499, 500, 1000}) {
    std::vector<Ranked> all;
    for (std::size_t i = 0; i < v.size(); ++i)
      if (!std::isnan(v[i])) all.push_back({v[i], static_cast<std::uint32_t>(i)});
    std::ranges::stable_sort(all, std::greater<>(), &Ranked::value);
    const std::vector<Ranked> best = top_k(v, k);
    ASSERT_EQ(best.size(), std::min(k, all.size()));
    for (std::size_t i = 0; i < best.size(); ++i) EXPECT_EQ(best[i].index, all[i].index);
  }
}

// The avx512-bf16 row is there exactly where products by vdpbf16ps are faster, whatever the vendor.
TEST(Math, Bf16IsTakenWhereItIsFaster) {
  if (!runs_here(Row::avx512_bf16)) GTEST_SKIP() << "this CPU has no avx512-bf16";
#if defined(__x86_64__)
  const Kernels& k = avx512_bf16_kernels;  // also where it is not taken
  const bool taken = kernels(Row::avx512_bf16) != nullptr;
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (taken) {
    double least = 0;
    for (int attempt = 0; attempt < 5 && least <= 1; ++attempt)
      least = probe(k, Format::bf16, 64, 384, 384, 20).product / probe(k, Format::f32, 64, 384, 384, 20).product;
    EXPECT_GT(least, 1);
  }
#endif
  // Where bf16 takes as long as twice as many f32 multiply-adds, as on CPUs that split it, it is not taken.
  Kernels slow = k;
  static double (*const peak)(Format, std::size_t) = k.peak;
  slow.peak = [](Format format, std::size_t n) {
    if (format != Format::bf16) return peak(format, n);
    const double done = peak(Format::f32, n);
    peak(Format::f32, n);
    return done * 2;
  };
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(faster_in_bf16(slow));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(faster_in_bf16(k), taken);
#endif
}

TEST(MathDeathTest, ShapesThatDoNotFitAreOurMistake) {
  std::vector<float> x(64);
  const View<float> a(x.data(), 2, 4);
  EXPECT_DEATH(gemm(a, Packed::rows(View<const float>(x.data(), 2, 3)), View<float>(x.data(), 2, 2)), "a.columns == b.inputs");
  EXPECT_DEATH(dot(x, std::span(x).first(3)), "a.size\\(\\) == b.size");
  EXPECT_DEATH(layer_norm(a, x, x, 1e-5F, a), "scale.size");
  EXPECT_DEATH(dot_rows(a, x, x), "rows.columns == x.size");
}

TEST(Math, RowsByName) {
  ::setenv("WEIR_CPU", "scalar", 1);
  EXPECT_EQ(choose_row(), Row::scalar);
  ::setenv("WEIR_CPU", "sse9", 1);
  ASSERT_FALSE(choose_row());
  EXPECT_EQ(choose_row().error().code, Code::invalid);
#if defined(__x86_64__)
  ::setenv("WEIR_CPU", "neon", 1);
  ASSERT_FALSE(choose_row());
  EXPECT_NE(choose_row().error().message.find("cannot run"), std::string::npos);
#endif
  ::unsetenv("WEIR_CPU");
  EXPECT_EQ(choose_row(), best_row());
}

}  // namespace
}  // namespace weir::math
