// The kernels of math/kernels.h, written over a row's `Lanes` (16 lanes of f32). Included once by each rows/*.cc, inside an unnamed namespace, after Lanes:
// nothing here may end up in a function that another row's file also makes, since each is compiled for its own instructions.
//
// Kept at -O2, with tiles that fit the registers: g++ 12 spills larger ones, and all of them at -O3 (docs/performance.md).

using F = Lanes::F;
using I = Lanes::I;
using u8 = std::uint8_t;
using u32 = std::uint32_t;
using std::size_t;

#define WEIR_UNROLL _Pragma("GCC unroll 16")

inline u32 word(const std::byte* p) {
  u32 w;
  __builtin_memcpy(&w, p, 4);
  return w;
}
inline float square_root(float x) { return __builtin_sqrtf(x); }
inline size_t least(size_t a, size_t b) { return a < b ? a : b; }
inline size_t left(size_t n, size_t i) { return n <= i ? 0 : least(16, n - i); }

// ---------------------------------------------------------------------------------------------------------------- functions of one variable

// 2^x for x in [-125, 127]; below, 2^-125. |relative error| ≤ 2e-7: 2^x = 2^n · 2^f, f in [-½, ½], a minimax polynomial of degree 5.
inline F exp2_lanes(F x) {
  x = Lanes::max(x, Lanes::set(-125.0F));
  const F n = Lanes::round(x), f = Lanes::sub(x, n);
  F p = Lanes::set(0.0013276469287017319F);
  p = Lanes::fma(p, f, Lanes::set(0.009675541535918541F));
  p = Lanes::fma(p, f, Lanes::set(0.05550713283802909F));
  p = Lanes::fma(p, f, Lanes::set(0.24022119720278468F));
  p = Lanes::fma(p, f, Lanes::set(0.6931469670572398F));
  p = Lanes::fma(p, f, Lanes::set(1.0000000716553383F));
  return Lanes::mul(p, Lanes::pow2(n));
}

// e^x for x ≤ 88.7 and ≥ -87.3: x = n ln 2 + r, with ln 2 in two parts (Cody & Waite 1980), a minimax polynomial of degree 6.
inline F exp_lanes(F x) {
  const F n = Lanes::round(Lanes::mul(x, Lanes::set(1.44269504088896341F)));
  F r = Lanes::fma(n, Lanes::set(-0.693359375F), x);
  r = Lanes::fma(n, Lanes::set(2.12194440054690583e-4F), r);
  F p = Lanes::set(0.0013835799567525208F);
  p = Lanes::fma(p, r, Lanes::set(0.008375645156865874F));
  p = Lanes::fma(p, r, Lanes::set(0.04166828877915084F));
  p = Lanes::fma(p, r, Lanes::set(0.16666410242431323F));
  p = Lanes::fma(p, r, Lanes::set(0.49999991593820275F));
  p = Lanes::fma(p, r, Lanes::set(1.0000000385309409F));
  p = Lanes::fma(p, r, Lanes::set(1.0000000005998764F));
  return Lanes::mul(p, Lanes::pow2(n));
}

// x · Φ(x), |error| ≤ 5e-7 · max(1, |x|). Φ(-|x|) = e^(-x²/2) · t · P(t), t = 1 / (1 + 0.28 |x|): the form of Abramowitz & Stegun 7.1.26, refitted.
inline F gelu_lanes(F x) {
  const F a = Lanes::min(Lanes::abs(x), Lanes::set(13.0F));
  const F t = Lanes::div(Lanes::set(1.0F), Lanes::fma(a, Lanes::set(0.28F), Lanes::set(1.0F)));
  F p = Lanes::set(-0.1070315334911574F);
  p = Lanes::fma(p, t, Lanes::set(0.3949223226640399F));
  p = Lanes::fma(p, t, Lanes::set(-0.24527306772346844F));
  p = Lanes::fma(p, t, Lanes::set(0.2756541196599631F));
  p = Lanes::fma(p, t, Lanes::set(0.06476933527677986F));
  p = Lanes::fma(p, t, Lanes::set(0.11695880576561983F));
  const F tail = Lanes::mul(Lanes::mul(p, t), exp_lanes(Lanes::mul(Lanes::mul(a, a), Lanes::set(-0.5F))));
  return Lanes::fma(Lanes::mul(Lanes::abs(x), Lanes::set(-1.0F)), tail, Lanes::max(x, Lanes::zero()));  // max(x, 0) - |x| Φ(-|x|)
}

// The same where what follows is rounded to bf16 or 8 bits: |error| ≤ 2e-4 for |x| ≤ 12. Φ(x) - ½ is odd: x · P(x²) of degree 13, clamped at ±4.
inline F gelu_fast_lanes(F x) {
  const F c = Lanes::min(Lanes::max(x, Lanes::set(-4.0F)), Lanes::set(4.0F)), z = Lanes::mul(c, c);
  F p = Lanes::set(2.288186557730747e-08F);
  p = Lanes::fma(p, z, Lanes::set(-1.6043709463303754e-06F));
  p = Lanes::fma(p, z, Lanes::set(4.808635056648359e-05F));
  p = Lanes::fma(p, z, Lanes::set(-0.0008154958363969778F));
  p = Lanes::fma(p, z, Lanes::set(0.008781042034356958F));
  p = Lanes::fma(p, z, Lanes::set(-0.06459721869979841F));
  p = Lanes::fma(p, z, Lanes::set(0.39790726969102674F));
  return Lanes::mul(x, Lanes::fma(p, c, Lanes::set(0.5F)));
}

void exp_all(float* x, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t m = least(16, n - i);
    const F v = Lanes::load(x + i, m, 0.0F);
    const F bounded = Lanes::min(Lanes::max(v, Lanes::set(-87.3F)), Lanes::set(88.0F));
    F e = exp_lanes(bounded);
    e = Lanes::below(v, Lanes::set(-87.3F), Lanes::zero(), e);
    e = Lanes::below(Lanes::set(88.0F), v, Lanes::mul(exp_lanes(Lanes::sub(Lanes::min(v, Lanes::set(89.0F)), Lanes::set(1.0F))), Lanes::set(2.718281828459045F)), e);
    e = Lanes::below(Lanes::set(88.72284F), v, Lanes::set(__builtin_inff()), e);
    Lanes::store(x + i, Lanes::unordered(v, v, e), m);
  }
}

void gelu_all(float* x, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    const size_t m = least(16, n - i);
    const F v = Lanes::load(x + i, m, 0.0F);
    Lanes::store(x + i, Lanes::unordered(v, v, gelu_lanes(v)), m);
  }
}

// 1 - 2 / (e^2x + 1), |error| ≤ 2e-7; beyond ±10 it is ±1.
void tanh_all(float* x, size_t n) {
  const F one = Lanes::set(1.0F);
  for (size_t i = 0; i < n; i += 16) {
    const size_t m = least(16, n - i);
    const F v = Lanes::load(x + i, m, 0.0F);
    const F bounded = Lanes::min(Lanes::max(v, Lanes::set(-10.0F)), Lanes::set(10.0F));
    const F e = exp_lanes(Lanes::add(bounded, bounded));
    const F t = Lanes::sub(one, Lanes::div(Lanes::set(2.0F), Lanes::add(e, one)));
    Lanes::store(x + i, Lanes::unordered(v, v, t), m);
  }
}

float dot_all(const float* a, const float* b, size_t n) {
  F s = Lanes::zero();
  size_t i = 0;
  for (; i + 16 <= n; i += 16) s = Lanes::fma(Lanes::load(a + i), Lanes::load(b + i), s);
  if (i < n) s = Lanes::fma(Lanes::load(a + i, n - i, 0.0F), Lanes::load(b + i, n - i, 0.0F), s);
  return Lanes::sum(s);
}

// Four rows at a time: each sum is a chain, and four chains run side by side.
void dot_rows_all(View<const float> rows, const float* x, float* y) {
  const size_t n = rows.columns, whole = n / 16 * 16;
  size_t r = 0;
  for (; r + 4 <= rows.rows; r += 4) {
    const float* row = rows.data + r * rows.stride;
    F s[4];
    WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::zero();
    for (size_t i = 0; i < whole; i += 16) {
      const F v = Lanes::load(x + i);
      WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::fma(Lanes::load(row + h * rows.stride + i), v, s[h]);
    }
    if (whole < n) {
      const F v = Lanes::load(x + whole, n - whole, 0.0F);
      WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::fma(Lanes::load(row + h * rows.stride + whole, n - whole, 0.0F), v, s[h]);
    }
    WEIR_UNROLL for (int h = 0; h < 4; ++h) y[r + h] = Lanes::sum(s[h]);
  }
  for (; r < rows.rows; ++r) y[r] = dot_all(rows.data + r * rows.stride, x, n);
}

// 0 · x is 0 or NaN: the sum of all tells.
bool finite_all(const float* x, size_t n) {
  F s[4];
  WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::zero();
  size_t i = 0;
  for (; i + 64 <= n; i += 64) WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::fma(Lanes::load(x + i + h * 16), Lanes::zero(), s[h]);
  for (; i < n; i += 16) s[0] = Lanes::fma(Lanes::load(x + i, least(16, n - i), 0.0F), Lanes::zero(), s[0]);
  return Lanes::sum(Lanes::add(Lanes::add(s[0], s[1]), Lanes::add(s[2], s[3]))) == 0;
}

void add_all(float* x, const float* y, size_t n) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) Lanes::store(x + i, Lanes::add(Lanes::load(x + i), Lanes::load(y + i)));
  if (i < n) Lanes::store(x + i, Lanes::add(Lanes::load(x + i, n - i, 0.0F), Lanes::load(y + i, n - i, 0.0F)), n - i);
}

// 64 columns at a time stay in registers.
void add_rows_all(const float* w, View<const float> rows, float* y) {
  size_t c = 0;
  for (; c + 64 <= rows.columns; c += 64) {
    F s[4];
    WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::load(y + c + h * 16);
    for (size_t r = 0; r < rows.rows; ++r) {
      const F f = Lanes::set(w[r]);
      const float* row = rows.data + r * rows.stride + c;
      WEIR_UNROLL for (int h = 0; h < 4; ++h) s[h] = Lanes::fma(f, Lanes::load(row + h * 16), s[h]);
    }
    WEIR_UNROLL for (int h = 0; h < 4; ++h) Lanes::store(y + c + h * 16, s[h]);
  }
  for (; c < rows.columns; c += 16) {
    const size_t m = least(16, rows.columns - c);
    F s = Lanes::load(y + c, m, 0.0F);
    for (size_t r = 0; r < rows.rows; ++r) s = Lanes::fma(Lanes::set(w[r]), Lanes::load(rows.data + r * rows.stride + c, m, 0.0F), s);
    Lanes::store(y + c, s, m);
  }
}

inline float half_to_float(std::uint16_t h) {  // IEEE binary16, subnormals too
  const u32 sign = static_cast<u32>(h & 0x8000U) << 16, exponent = (h >> 10) & 0x1FU, mantissa = h & 0x3FFU;
  if (exponent == 0) {
    const float v = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -v : v;
  }
  const u32 bits = sign | ((exponent == 31 ? 255U : exponent + 112U) << 23) | (mantissa << 13);
  return __builtin_bit_cast(float, bits);
}

void add_q4_all(float* x, const std::byte* blocks, size_t n) {
  for (size_t i = 0; i < n; i += 32, blocks += 18) {
    std::uint16_t half;
    __builtin_memcpy(&half, blocks, 2);
    const float d = half_to_float(half);
    for (size_t j = 0; j < 16; ++j) {
      const unsigned q = static_cast<unsigned>(blocks[2 + j]);
      x[i + j] += static_cast<float>(static_cast<int>(q & 15U) - 8) * d;
      x[i + 16 + j] += static_cast<float>(static_cast<int>(q >> 4U) - 8) * d;
    }
  }
}

// e^(x - max) / Σ; a row of -inf only becomes zeros.
void softmax_all(float* x, size_t n) {
  if (n == 0) return;
  constexpr float lowest = -__builtin_inff();
  F top = Lanes::set(lowest);
  for (size_t i = 0; i < n; i += 16) top = Lanes::max(top, Lanes::load(x + i, least(16, n - i), lowest));
  const float max = Lanes::greatest(top);
  if (max == lowest) {
    for (size_t i = 0; i < n; ++i) x[i] = x[i] != x[i] ? x[i] : 0.0F;
    return;
  }
  F sum = Lanes::zero();
  for (size_t i = 0; i < n; i += 16) {
    const size_t m = least(16, n - i);
    const F v = Lanes::sub(Lanes::load(x + i, m, lowest), Lanes::set(max));
    const F e = Lanes::below(v, Lanes::set(-87.0F), Lanes::zero(), exp_lanes(Lanes::max(v, Lanes::set(-87.0F))));
    const F kept = Lanes::unordered(v, v, e);
    sum = Lanes::add(sum, kept);
    Lanes::store(x + i, kept, m);
  }
  const F inverse = Lanes::set(1.0F / Lanes::sum(sum));
  for (size_t i = 0; i < n; i += 16) {
    const size_t m = least(16, n - i);
    Lanes::store(x + i, Lanes::mul(Lanes::load(x + i, m, 0.0F), inverse), m);
  }
}

// One row's part of an online softmax: out = e^(x − m) in whole 16s (zeros beyond n), each 16 `stride` floats after the last. Returns m.
float softmax_step_all(const float* x, size_t n, float top, float* out, size_t stride, float* sum) {
  constexpr float lowest = -__builtin_inff();
  const size_t whole = n / 16 * 16;
  F most = Lanes::set(top);
  for (size_t i = 0; i < whole; i += 16) most = Lanes::max(most, Lanes::load(x + i));
  if (whole < n) most = Lanes::max(most, Lanes::load(x + whole, n - whole, lowest));
  const float max = Lanes::greatest(most);
  const F base = Lanes::set(max == lowest ? 0.0F : max);
  F total = Lanes::zero();
  for (size_t i = 0; i < n; i += 16, out += stride) {
    const F v = Lanes::sub(i < whole ? Lanes::load(x + i) : Lanes::load(x + i, n - i, lowest), base);
    const F e = Lanes::below(v, Lanes::set(-87.0F), Lanes::zero(), exp_lanes(Lanes::max(v, Lanes::set(-87.0F))));
    const F kept = Lanes::unordered(v, v, e);
    total = Lanes::add(total, kept);
    Lanes::store(out, kept);
  }
  *sum = Lanes::sum(total);
  return max;
}

// ---------------------------------------------------------------------------------------------------------------- activations

// Writes 16 values of row `row` from input `k` on.
inline void put(const Activations& to, size_t row, size_t k, F v) {
  std::byte* base = to.at(row);
  if (to.format == Format::f32) Lanes::store(reinterpret_cast<float*>(base + k / 16 * Activations::step_stride), v);
  else Lanes::store_bf16(reinterpret_cast<std::uint16_t*>(base + k / 32 * Activations::step_stride + k % 32 * 2), v);
}

// R rows of n values (a multiple of 64) from row `row` on. int8 is asymmetric: scale = (max - min) / 255 with 0 inside, so that padding and a zero weight
// stay exact. value(r, k) gives 16 values; int8 reads them twice, the second time by again(r, k).
template <int R, class Value, class Again>
inline __attribute__((always_inline)) void write_rows(const Activations& to, size_t row, size_t n, Value value, Again again) {
  if (to.format != Format::int8) {
    for (size_t k = 0; k < n; k += 16) WEIR_UNROLL for (int r = 0; r < R; ++r) put(to, row + r, k, value(r, k));
    return;
  }
  u8* base[R];
  WEIR_UNROLL for (int r = 0; r < R; ++r) base[r] = reinterpret_cast<u8*>(to.at(row + r));
  const size_t groups = to.groups, group = n / groups;
  for (size_t g = 0; g < groups; ++g) {
    F low[R], high[R], factor[R], offset[R];
    WEIR_UNROLL for (int r = 0; r < R; ++r) low[r] = high[r] = Lanes::zero();
    for (size_t k = g * group; k < (g + 1) * group; k += 16) WEIR_UNROLL for (int r = 0; r < R; ++r) {
      const F v = value(r, k);
      low[r] = Lanes::min(low[r], v);
      high[r] = Lanes::max(high[r], v);
    }
    WEIR_UNROLL for (int r = 0; r < R; ++r) {
      const float lowest = Lanes::least(low[r]);
      float scale = (Lanes::greatest(high[r]) - lowest) * (1.0F / 255.0F);
      if (!(scale > 1e-20F)) scale = 1e-20F;
      const float inverse = 1.0F / scale;
      const float zero = __builtin_floorf(0.5F - lowest * inverse);
      to.scale[(row + r) * groups + g] = scale;
      to.shift[(row + r) * groups + g] = -scale * zero;
      factor[r] = Lanes::set(inverse);
      offset[r] = Lanes::set(zero);
    }
    for (size_t k = g * group; k < (g + 1) * group; k += 64) WEIR_UNROLL for (int r = 0; r < R; ++r) {
      F v[4];
      WEIR_UNROLL for (int i = 0; i < 4; ++i) v[i] = Lanes::fma(again(r, k + static_cast<size_t>(i) * 16), factor[r], offset[r]);
      Lanes::store_u8(base[r] + k / 64 * Activations::step_stride, v);
    }
  }
}

// f<R>(row) for all rows, some at once: what is summed or compared over a row is a chain, and chains hide each other's latency.
template <class F>
inline __attribute__((always_inline)) void some_rows_at_once(size_t rows, F f) {
  constexpr int R = Lanes::rows / 2;
  size_t r = 0;
  for (; r + R <= rows; r += R) f.template operator()<R>(r);
  for (; r < rows; ++r) f.template operator()<1>(r);
}

void quantise_all(View<const float> x, const float* smooth, const Activations& to, size_t row) {
  some_rows_at_once(x.rows, [&]<int R>(size_t first) {
    const auto value = [at = x.data + first * x.stride, stride = x.stride, smooth](int r, size_t k) {
      const F v = Lanes::load(at + r * stride + k);
      return smooth == nullptr ? v : Lanes::mul(v, Lanes::load(smooth + k));
    };
    write_rows<R>(to, row + first, x.columns, value, value);
  });
}

void layer_norm_all(View<float> x, const float* scale, const float* shift, float epsilon, const float* smooth, const Activations* to, size_t row) {
  const size_t n = x.columns, whole = n / 16 * 16;
  some_rows_at_once(x.rows, [&]<int R>(size_t first) __attribute__((always_inline)) {
    float* const at = x.data + first * x.stride;
    const size_t stride = x.stride;
    float middle[R];
    F sum[R], mean[R], factor[R];
    WEIR_UNROLL for (int r = 0; r < R; ++r) sum[r] = Lanes::zero();
    for (size_t k = 0; k < whole; k += 16) WEIR_UNROLL for (int r = 0; r < R; ++r) sum[r] = Lanes::add(sum[r], Lanes::load(at + r * stride + k));
    WEIR_UNROLL for (int r = 0; r < R; ++r) {
      if (whole < n) sum[r] = Lanes::add(sum[r], Lanes::load(at + r * stride + whole, n - whole, 0.0F));
      middle[r] = Lanes::sum(sum[r]) / static_cast<float>(n);
      mean[r] = Lanes::set(middle[r]);
      sum[r] = Lanes::zero();
    }
    const auto add_square = [&](int r, F v) {
      const F d = Lanes::sub(v, mean[r]);
      sum[r] = Lanes::fma(d, d, sum[r]);
    };
    for (size_t k = 0; k < whole; k += 16) WEIR_UNROLL for (int r = 0; r < R; ++r) add_square(r, Lanes::load(at + r * stride + k));
    WEIR_UNROLL for (int r = 0; r < R; ++r) {
      if (whole < n) add_square(r, Lanes::load(at + r * stride + whole, n - whole, middle[r]));
      factor[r] = Lanes::set(1.0F / square_root(Lanes::sum(sum[r]) / static_cast<float>(n) + epsilon));
    }
    const auto normal = [&](int r, size_t k, size_t m) {
      float* const v = at + r * stride + k;
      const F d = Lanes::mul(Lanes::sub(Lanes::load(v, m, 0.0F), mean[r]), factor[r]);
      const F y = Lanes::fma(d, Lanes::load(scale + k, m, 0.0F), Lanes::load(shift + k, m, 0.0F));
      Lanes::store(v, y, m);
      return y;
    };
    const auto smoothed = [&](F v, size_t k) { return smooth == nullptr ? v : Lanes::mul(v, Lanes::load(smooth + k)); };
    if (to == nullptr) {
      for (size_t k = 0; k < n; k += 16) WEIR_UNROLL for (int r = 0; r < R; ++r) normal(r, k, least(16, n - k));
    } else {
      write_rows<R>(
          *to, row + first, n, [&](int r, size_t k) { return smoothed(normal(r, k, 16), k); },
          [&](int r, size_t k) { return smoothed(Lanes::load(at + r * stride + k), k); });
    }
  });
}

// ---------------------------------------------------------------------------------------------------------------- products

template <Format format>
using Sum = std::conditional_t<format == Format::int8, I, F>;
template <Format format>
constexpr size_t wide = format == Format::int8 ? Lanes::int8_bytes : 1;  // 2: both operands were widened to words of 16 bits

// A tile: R rows, of the given stride from step to step, by H halves of a panel (16 outputs each), over `steps` steps; the sums stay in registers.
template <Format format, int R, int H>
inline __attribute__((always_inline)) void tile(const std::byte* x, size_t stride, const std::byte* y, size_t steps, Sum<format> (&sum)[R][H]) {
  constexpr size_t W = wide<format>;
  for (size_t s = 0; s < steps; ++s, x += stride, y += Packed::panel_outputs * Packed::step_bytes)
    for (size_t g = 0; g < 16; ++g) {
      typename Lanes::template Loaded<format> w[H];
      WEIR_UNROLL for (int h = 0; h < H; ++h) w[h] = Lanes::template weights<format>(y + h * 1024 + g * 64 * W);
      WEIR_UNROLL for (int r = 0; r < R; ++r) {
        const auto v = Lanes::template broadcast<format>(x + r * 64 * W + g * 4);
        WEIR_UNROLL for (int h = 0; h < H; ++h) Lanes::template multiply_add<format>(v, w[h], sum[r][h]);
      }
    }
}

// What the sums of group g stand for, added to what was before: scale · (w_scale · Σ) + shift · w_sum + before(r, h).
template <int R, int H, class Before>
inline __attribute__((always_inline)) void add_group(const Product& p, size_t g, size_t row, size_t column, const I (&sum)[R][H], Before before,
                                                     F (&total)[R][H]) {
  const float *scales = p.w->scales() + column, *sums = p.w->sums(p.group + g) + column;
  WEIR_UNROLL for (int r = 0; r < R; ++r) {
    const size_t at = (row + r) * p.a.groups + g;
    const F scale = Lanes::set(p.a.scale[at]), shift = Lanes::set(p.a.shift[at]);
    WEIR_UNROLL for (int h = 0; h < H; ++h) {
      const F product = Lanes::mul(Lanes::to_float(sum[r][h]), Lanes::load(scales + h * 16));
      total[r][h] = Lanes::fma(product, scale, Lanes::fma(shift, Lanes::load(sums + h * 16), before(r, h)));
    }
  }
}

template <Format format, Epilogue epilogue>
inline __attribute__((always_inline)) void finish(F v, float* out, size_t columns) {
  if (epilogue == Epilogue::gelu) v = format == Format::f32 ? gelu_lanes(v) : gelu_fast_lanes(v);
  if (columns >= 16) {
    if (epilogue == Epilogue::add) v = Lanes::add(Lanes::load(out), v);
    Lanes::store(out, v);
  } else {
    if (epilogue == Epilogue::add) v = Lanes::add(Lanes::load(out, columns, 0.0F), v);
    Lanes::store(out, v, columns);
  }
}

// R rows from `row` by H halves of a panel from `column`, every group; all of it goes to `out`.
template <Format format, Epilogue epilogue, int R, int H>
inline __attribute__((always_inline)) void block(const Product& p, size_t row, size_t column, const F (&bias)[H], float* out, size_t stride) {
  constexpr size_t step = Activations::step_stride;
  const size_t per_group = p.w->steps() / p.w->groups();
  const std::byte* a = p.a.at(row);
  const std::byte* b = p.w->panel(column / 32) + p.group * per_group * 2048 + column % 32 * 64;
  F total[R][H];
  if constexpr (format != Format::int8) {
    WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h) total[r][h] = Lanes::zero();
    tile<format, R, H>(a, step, b, p.groups * per_group, total);
    WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h) total[r][h] = Lanes::add(total[r][h], bias[h]);
  } else {
    const auto group = [&](size_t g, auto before) __attribute__((always_inline)) {
      I sum[R][H];
      WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h) sum[r][h] = Lanes::zero_sum();
      tile<format, R, H>(a + g * per_group * step, step, b + g * per_group * 2048, per_group, sum);
      add_group<R, H>(p, g, row, column, sum, before, total);
    };
    group(0, [&](int, int h) { return bias[h]; });  // apart, for the totals of a single group need no registers beside its sums
    for (size_t g = 1; g < p.groups; ++g) group(g, [&](int r, int h) { return total[r][h]; });
  }
  WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h)
    finish<format, epilogue>(total[r][h], out + static_cast<size_t>(r) * stride + h * 16, 16);
}

// The same where less than R rows or H halves are wanted: through a tile of their size.
template <Format format, Epilogue epilogue, int R, int H>
__attribute__((noinline)) void part_of_block(const Product& p, size_t row, size_t column, const F (&bias)[H], float* out, size_t rows,
                                             size_t columns) {
  alignas(64) float whole[R * H * 16];
  const auto each = [&](auto move) {
    for (size_t r = 0; r < rows; ++r)
      for (size_t c = 0; c < columns; c += 16) move(out + r * p.out_stride + c, whole + r * H * 16 + c, left(columns, c));
  };
  if (epilogue == Epilogue::add) each([](const float* from, float* to, size_t n) { Lanes::store(to, Lanes::load(from, n, 0.0F)); });
  if (R > 4 && rows <= 4) block<format, epilogue, 4, H>(p, row, column, bias, whole, H * 16);
  else block<format, epilogue, R, H>(p, row, column, bias, whole, H * 16);
  each([](float* to, const float* from, size_t n) { Lanes::store(to, Lanes::load(from), n); });
}

// A panel is read once and used by all blocks of rows while it is in L1.
template <Format format, Epilogue epilogue>
void product_as(const Product& p) {
  constexpr int R = Lanes::rows, H = Lanes::halves;
  const size_t end = p.row + p.rows;
  for (size_t at = 0; at < least(p.columns, p.panels * 32); at += H * 16) {
    const size_t column = p.panel * 32 + at, columns = least(H * 16, p.columns - at);
    F bias[H];
    for (int h = 0; h < H; ++h) bias[h] = p.bias != nullptr ? Lanes::load(p.bias + column + h * 16, left(columns, h * 16), 0.0F) : Lanes::zero();
    float* out = p.out + at;
    for (size_t row = p.row; row < end; row += R, out += R * p.out_stride) {
      const size_t rows = least(R, end - row);
      if (rows == R && columns == H * 16) block<format, epilogue, R, H>(p, row, column, bias, out, p.out_stride);
      else part_of_block<format, epilogue, R, H>(p, row, column, bias, out, rows, columns);
    }
  }
}

// int8 where a row multiplies words of 16 bits (Lanes::int8_bytes = 2). By 384 inputs at a time, so that L1 holds it, a panel's weights are widened once for
// many rows and a few rows' activations once for both halves of the panel. What a tile came to is kept until its next inputs: its total after each of several
// groups, which have 384 inputs each; its sums in the midst of an only group.
template <int R>
struct Kept {
  I sum[R][1];
  F total[R][1];
};

struct Steps {  // of one group
  size_t first, count, group;
  bool begin_it, end_it;
};

// Some steps of R rows from `row` by the 16 outputs from `at`; behind the last group it goes to p.out.
template <Epilogue epilogue, int R>
inline __attribute__((always_inline)) void widened_tile(const Product& p, size_t row, size_t at, const Steps& s, const std::byte* x, const std::byte* y,
                                                        Kept<R>& kept) {
  const size_t column = p.panel * 32 + at, columns = left(p.columns, at);
  I sum[R][1];
  WEIR_UNROLL for (int r = 0; r < R; ++r) sum[r][0] = s.begin_it ? Lanes::zero_sum() : kept.sum[r][0];
  tile<Format::int8, R, 1>(x, R * 128, y, s.count, sum);
  if (!s.end_it) {
    WEIR_UNROLL for (int r = 0; r < R; ++r) kept.sum[r][0] = sum[r][0];
    return;
  }
  if (s.group == 0) {
    const F bias = p.bias != nullptr ? Lanes::load(p.bias + column, columns, 0.0F) : Lanes::zero();
    WEIR_UNROLL for (int r = 0; r < R; ++r) kept.total[r][0] = bias;
  }
  add_group<R, 1>(p, s.group, row, column, sum, [&](int r, int) { return kept.total[r][0]; }, kept.total);
  if (s.group + 1 < p.groups) return;
  float* out = p.out + (row - p.row) * p.out_stride + at;
  for (size_t r = 0; r < least(R, p.row + p.rows - row); ++r, out += p.out_stride) finish<Format::int8, epilogue>(kept.total[r][0], out, columns);
}

template <Epilogue epilogue, class L = Lanes>  // a parameter: only a wide row has the functions that widen
void product_widened(const Product& p) {
  constexpr int R = L::rows;
  constexpr size_t most_steps = 6, most_rows = 128, half = most_steps * 2048;
  alignas(64) std::byte x[most_steps * R * 128], y[2 * half];
  Kept<R> kept[most_rows / R][2];
  const size_t end = p.row + p.rows, width = least(p.columns, p.panels * 32), per_group = p.w->steps() / p.w->groups(), steps = p.groups * per_group;
  for (size_t first = p.row; first < end; first += most_rows)
    for (size_t at = 0; at < width; at += 32)
      for (Steps s{}; s.first < steps; s.first += s.count) {
        const size_t in_group = s.first % per_group;
        s.count = least(most_steps, per_group - in_group);
        s.group = s.first / per_group;
        s.begin_it = in_group == 0;
        s.end_it = in_group + s.count == per_group;
        const std::byte* b = p.w->panel(p.panel + at / 32) + (p.group * per_group + s.first) * 2048;
        for (size_t i = 0; i < s.count * 2; ++i) L::widen_weights(b + i * 1024, y + i % 2 * half + i / 2 * 2048);
        for (size_t row = first; row < least(end, first + most_rows); row += R) {
          const std::byte* a = p.a.at(row) + s.first * Activations::step_stride;
          for (size_t i = 0; i < s.count; ++i) L::template widen_rows<R>(a + i * Activations::step_stride, x + i * R * 128);
          for (size_t h = 0; h < 2 && at + h * 16 < width; ++h)
            widened_tile<epilogue, R>(p, row, at + h * 16, s, x, y + h * half, kept[(row - first) / R][h]);
        }
      }
}

template <Format format, Epilogue epilogue>
void product_of(const Product& p) {
  if constexpr (wide<format> == 2) product_widened<epilogue>(p);
  else product_as<format, epilogue>(p);
}

template <Format format>
void product_of(const Product& p) {
  if (p.epilogue == Epilogue::store) product_of<format, Epilogue::store>(p);
  else if (p.epilogue == Epilogue::add) product_of<format, Epilogue::add>(p);
  else product_of<format, Epilogue::gelu>(p);
}

void product_all(const Product& p) {
  if (p.a.format == Format::f32) product_of<Format::f32>(p);
  else if (p.a.format == Format::bf16) product_of<Format::bf16>(p);
  else product_of<Format::int8>(p);
}

// ---------------------------------------------------------------------------------------------------------------- attention

// Scores of 8 queries against all keys stay in L1 (≤ 16 KB at n = 512), so softmax is two plain passes. Keys are transposed 16 at a time.
void attention_all(const Attention& t) {
  constexpr int R = Lanes::rows;
  const size_t n = t.n, blocks = (n + 15) / 16, width = blocks * 16;
  float* keys = t.scratch;                                    // [block][head][16]
  float* scores = keys + (n + 31) / 32 * 32 * t.head;         // [R][width]
  for (size_t b = 0; b < blocks; ++b)
    for (size_t d = 0; d < t.head; ++d)
      for (size_t j = 0; j < 16; ++j) keys[(b * t.head + d) * 16 + j] = b * 16 + j < n ? t.k[(b * 16 + j) * t.stride + d] : 0.0F;
  for (size_t first = 0; first < n; first += R) {
    const size_t live = least(R, n - first);
    const float* q[R];
    for (size_t r = 0; r < R; ++r) q[r] = t.q + (first + least(r, live - 1)) * t.stride;
    F top[R];
    WEIR_UNROLL for (int r = 0; r < R; ++r) top[r] = Lanes::set(-3e38F);
    for (size_t b = 0; b < blocks; ++b) {
      F s[R];
      WEIR_UNROLL for (int r = 0; r < R; ++r) s[r] = Lanes::zero();
      const float* k = keys + b * t.head * 16;
      for (size_t d = 0; d < t.head; ++d) {
        const F kd = Lanes::load(k + d * 16);
        WEIR_UNROLL for (int r = 0; r < R; ++r) s[r] = Lanes::fma(Lanes::set(q[r][d]), kd, s[r]);
      }
      const size_t m = least(16, n - b * 16);
      WEIR_UNROLL for (int r = 0; r < R; ++r) {
        if (m < 16) s[r] = Lanes::first(s[r], m, -3e38F);
        top[r] = Lanes::max(top[r], s[r]);
        Lanes::store(scores + r * width + b * 16, s[r]);
      }
    }
    float inverse[R];
    for (size_t r = 0; r < live; ++r) {
      float* row = scores + r * width;
      const F max = Lanes::set(Lanes::greatest(top[r]));
      F sum = Lanes::zero();
      for (size_t b = 0; b < blocks; ++b) {
        F e = exp2_lanes(Lanes::sub(Lanes::load(row + b * 16), max));
        if (b + 1 == blocks) e = Lanes::first(e, n - b * 16, 0.0F);
        sum = Lanes::add(sum, e);
        Lanes::store(row + b * 16, e);
      }
      inverse[r] = 1.0F / Lanes::sum(sum);
    }
    for (size_t c = 0; c < t.head; c += 16 * Lanes::halves) {
      F o[R][Lanes::halves];
      WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < Lanes::halves; ++h) o[r][h] = Lanes::zero();
      for (size_t j = 0; j < n; ++j) {
        F v[Lanes::halves];
        WEIR_UNROLL for (int h = 0; h < Lanes::halves; ++h) v[h] = Lanes::load(t.v + j * t.stride + c + h * 16);
        WEIR_UNROLL for (int r = 0; r < R; ++r) {
          const F p = Lanes::set(scores[r * width + j]);
          WEIR_UNROLL for (int h = 0; h < Lanes::halves; ++h) o[r][h] = Lanes::fma(p, v[h], o[r][h]);
        }
      }
      WEIR_UNROLL for (int r = 0; r < R; ++r) {
        if (static_cast<size_t>(r) >= live) break;
        WEIR_UNROLL for (int h = 0; h < Lanes::halves; ++h)
          Lanes::store(t.out + (first + r) * t.out_stride + c + h * 16, Lanes::mul(o[r][h], Lanes::set(inverse[r])));
      }
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------- the limit

template <Format format>
double peak_of(size_t iterations) {
  constexpr int R = Lanes::rows, H = Lanes::halves;
  alignas(64) static const std::byte zeros[128] = {};
  Sum<format> sum[R][H];
  WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h) {
    if constexpr (format == Format::int8) sum[r][h] = Lanes::zero_sum();
    else sum[r][h] = Lanes::zero();
  }
  const auto x = Lanes::template broadcast<format>(zeros);
  const auto w = Lanes::template weights<format>(zeros);
  for (size_t i = 0; i < iterations; ++i) WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h)
    Lanes::template multiply_add<format>(x, w, sum[r][h]);
  float kept[16];
  F all = Lanes::zero();
  WEIR_UNROLL for (int r = 0; r < R; ++r) WEIR_UNROLL for (int h = 0; h < H; ++h) {
    if constexpr (format == Format::int8) all = Lanes::add(all, Lanes::to_float(sum[r][h]));
    else all = Lanes::add(all, sum[r][h]);
  }
  Lanes::store(kept, all);
  asm volatile("" ::"r"(kept) : "memory");
  return static_cast<double>(iterations) * R * H * 32.0 * (format == Format::f32 ? 1 : format == Format::bf16 ? 2 : 4);
}

double peak_all(Format format, size_t iterations) {
  return format == Format::f32 ? peak_of<Format::f32>(iterations) : format == Format::bf16 ? peak_of<Format::bf16>(iterations) : peak_of<Format::int8>(iterations);
}
