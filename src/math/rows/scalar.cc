// The scalar row: plain C++ for any CPU, and the judge of the other rows.
#include <cmath>
#include <cstring>
#include <type_traits>

#include "math/kernels.h"

namespace weir::math {
namespace {

struct Lanes {
  struct F {
    float v[16];
  };
  struct I {
    std::int32_t v[16];
  };
  static constexpr int rows = 4, halves = 2;
  static constexpr std::size_t int8_bytes = 1;

  template <class G>
  static F each(G g) {
    F r;
    for (int i = 0; i < 16; ++i) r.v[i] = g(i);
    return r;
  }
  static F load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  static F load(const float* p, std::size_t n, float other) {
    return each([&](int i) { return static_cast<std::size_t>(i) < n ? p[i] : other; });
  }
  static void store(float* p, F a) {
    for (int i = 0; i < 16; ++i) p[i] = a.v[i];
  }
  static void store(float* p, F a, std::size_t n) {
    for (std::size_t i = 0; i < n && i < 16; ++i) p[i] = a.v[i];
  }
  static F set(float x) {
    return each([&](int) { return x; });
  }
  static F zero() { return set(0); }
  static F add(F a, F b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  static F sub(F a, F b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  static F mul(F a, F b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  static F div(F a, F b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  static F fma(F a, F b, F c) {
    return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
  }
  static F min(F a, F b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F max(F a, F b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  static F abs(F a) {
    return each([&](int i) { return __builtin_fabsf(a.v[i]); });
  }
  static F round(F a) {
    return each([&](int i) { return __builtin_fabsf(a.v[i]) < 4194304.0F ? round_small(a.v[i]) : a.v[i]; });
  }
  static F pow2(F n) {
    return each([&](int i) { return __builtin_bit_cast(float, (static_cast<std::int32_t>(n.v[i]) + 127) << 23); });
  }
  static F below(F a, F b, F yes, F no) {
    return each([&](int i) { return a.v[i] < b.v[i] ? yes.v[i] : no.v[i]; });
  }
  static F unordered(F a, F yes, F no) {
    return each([&](int i) { return a.v[i] != a.v[i] ? yes.v[i] : no.v[i]; });
  }
  static F first(F a, std::size_t n, float other) {
    return each([&](int i) { return static_cast<std::size_t>(i) < n ? a.v[i] : other; });
  }
  template <class G>
  static float tree(F a, G g) {
    for (int half = 8; half > 0; half /= 2)
      for (int i = 0; i < half; ++i) a.v[i] = g(a.v[i], a.v[i + half]);
    return a.v[0];
  }
  static float sum(F a) {
    return tree(a, [](float x, float y) { return x + y; });
  }
  static float greatest(F a) {
    return tree(a, [](float x, float y) { return x > y ? x : y; });
  }
  static float least(F a) {
    return tree(a, [](float x, float y) { return x < y ? x : y; });
  }

  static I zero_sum() { return I{}; }
  static F to_float(I a) {
    return each([&](int i) { return static_cast<float>(a.v[i]); });
  }
  static void store_u8(std::uint8_t* p, const F (&a)[4]) {
    for (int i = 0; i < 64; ++i) {
      const float r = round_small(a[i / 16].v[i % 16]);
      p[i] = static_cast<std::uint8_t>(r < 0 ? 0 : r > 255 ? 255 : r);
    }
  }
  static void store_bf16(std::uint16_t* p, F a) {
    for (int i = 0; i < 16; ++i) {
      const auto bits = __builtin_bit_cast(std::uint32_t, a.v[i]);
      p[i] = static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
    }
  }

  struct Pairs {
    F even, odd;
  };
  struct Quads {
    std::int8_t v[16][4];
  };
  struct Four {
    std::int32_t v[4];
  };
  template <Format format>
  using Loaded = std::conditional_t<format == Format::f32, F, std::conditional_t<format == Format::bf16, Pairs, Quads>>;
  template <Format format>
  static Loaded<format> weights(const std::byte* p) {
    if constexpr (format == Format::f32) return load(reinterpret_cast<const float*>(p));
    else if constexpr (format == Format::bf16) return {each([&](int i) { return wide(p + i * 4); }), each([&](int i) { return wide(p + i * 4 + 2); })};
    else {
      Quads q;
      std::memcpy(&q, p, 64);
      return q;
    }
  }
  template <Format format>
  static auto broadcast(const std::byte* p) {
    if constexpr (format == Format::f32) {
      float x;
      std::memcpy(&x, p, 4);
      return set(x);
    } else if constexpr (format == Format::bf16) return Pairs{set(wide(p)), set(wide(p + 2))};
    else return Four{{static_cast<std::uint8_t>(p[0]), static_cast<std::uint8_t>(p[1]), static_cast<std::uint8_t>(p[2]), static_cast<std::uint8_t>(p[3])}};
  }
  template <Format format, class X, class S>
  static void multiply_add(const X& x, const Loaded<format>& w, S& s) {
    if constexpr (format == Format::f32) s = fma(x, w, s);
    else if constexpr (format == Format::bf16) s = fma(x.odd, w.odd, fma(x.even, w.even, s));
    else
      for (int i = 0; i < 16; ++i)
        for (int k = 0; k < 4; ++k) s.v[i] += x.v[k] * w.v[i][k];
  }

 private:
  static float round_small(float x) { return (x + 12582912.0F) - 12582912.0F; }
  static float wide(const std::byte* p) {
    std::uint16_t h;
    std::memcpy(&h, p, 2);
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(h) << 16U);
  }
};

#include "math/rows/kernels.inl"

}  // namespace

extern const Kernels scalar_kernels;
const Kernels scalar_kernels{Row::scalar,  false,   false,        product_all,  attention_all,    attention_all, layer_norm_all,
                             quantise_all, add_all, add_q4_all,   softmax_all,  softmax_step_all, exp_all,       gelu_all,
                             tanh_all,     dot_all, dot_rows_all, add_rows_all, finite_all,       peak_all};

}  // namespace weir::math
