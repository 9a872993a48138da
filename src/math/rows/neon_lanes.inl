// 16 lanes in four registers of Armv8. Comparisons pick like the other rows' do (vminq_f32 treats NaN and zeros otherwise).
struct Lanes {
  struct F { float32x4_t v[4]; };
  struct I { int32x4_t v[4]; };
  static constexpr int rows = 4, halves = 1;
  static constexpr std::size_t int8_bytes = 1;

  template <class G>
  static F each(G g) { return {{g(0), g(1), g(2), g(3)}}; }
  static F load(const float* p) { return each([&](int i) { return vld1q_f32(p + i * 4); }); }
  static F load(const float* p, std::size_t n, float other) {
    if (n >= 16) return load(p);
    float lanes[16];
    for (std::size_t i = 0; i < 16; ++i) lanes[i] = i < n ? p[i] : other;
    return load(lanes);
  }
  static void store(float* p, F a) { for (int i = 0; i < 4; ++i) vst1q_f32(p + i * 4, a.v[i]); }
  static void store(float* p, F a, std::size_t n) {
    if (n >= 16) return store(p, a);
    float lanes[16];
    store(lanes, a);
    for (std::size_t i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F set(float x) { return each([&](int) { return vdupq_n_f32(x); }); }
  static F zero() { return set(0); }
  static F add(F a, F b) { return each([&](int i) { return vaddq_f32(a.v[i], b.v[i]); }); }
  static F sub(F a, F b) { return each([&](int i) { return vsubq_f32(a.v[i], b.v[i]); }); }
  static F mul(F a, F b) { return each([&](int i) { return vmulq_f32(a.v[i], b.v[i]); }); }
  static F div(F a, F b) { return each([&](int i) { return vdivq_f32(a.v[i], b.v[i]); }); }
  static F fma(F a, F b, F c) { return each([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); }); }
  static F min(F a, F b) { return each([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); }); }
  static F max(F a, F b) { return each([&](int i) { return vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); }); }
  static F abs(F a) { return each([&](int i) { return vabsq_f32(a.v[i]); }); }
  static F round(F a) { return each([&](int i) { return vrndnq_f32(a.v[i]); }); }
  static F pow2(F n) { return each([&](int i) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v[i]), vdupq_n_s32(127)), 23)); }); }
  static F below(F a, F b, F yes, F no) { return each([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), yes.v[i], no.v[i]); }); }
  static F unordered(F a, F yes, F no) { return each([&](int i) { return vbslq_f32(vceqq_f32(a.v[i], a.v[i]), no.v[i], yes.v[i]); }); }
  static F first(F a, std::size_t n, float other) {
    float lanes[16];
    store(lanes, a);
    return load(lanes, n, other);
  }
  template <class G>
  static float tree(F a, G g) {  // the same tree as in the other rows
    const float32x4_t b = g(g(a.v[0], a.v[2]), g(a.v[1], a.v[3]));
    const float32x4_t c = g(b, vextq_f32(b, b, 2));
    return vgetq_lane_f32(g(c, vextq_f32(c, c, 1)), 0);
  }
  static float sum(F a) { return tree(a, [](float32x4_t x, float32x4_t y) { return vaddq_f32(x, y); }); }
  static float greatest(F a) { return tree(a, [](float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }); }
  static float least(F a) { return tree(a, [](float32x4_t x, float32x4_t y) { return vbslq_f32(vcltq_f32(x, y), x, y); }); }

  static I zero_sum() { return {{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
  static F to_float(I a) { return each([&](int i) { return vcvtq_f32_s32(a.v[i]); }); }
  static void store_u8(std::uint8_t* p, const F (&a)[4]) {
    for (int j = 0; j < 4; ++j) {
      const auto narrow = [&](int i) { return vqmovn_s32(vcvtnq_s32_f32(a[j].v[i])); };
      vst1q_u8(p + j * 16, vcombine_u8(vqmovun_s16(vcombine_s16(narrow(0), narrow(1))), vqmovun_s16(vcombine_s16(narrow(2), narrow(3)))));
    }
  }
  static void store_bf16(std::uint16_t* p, F a) {
    for (int i = 0; i < 4; ++i) {
      const uint32x4_t bits = vreinterpretq_u32_f32(a.v[i]), odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
      vst1_u16(p + i * 4, vshrn_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd), 16));
    }
  }

  struct Pairs { F even, odd; };
  struct Quads { int8x16_t v[4]; };
  template <Format format>
  using Loaded = std::conditional_t<format == Format::f32, F, std::conditional_t<format == Format::bf16, Pairs, Quads>>;
  static float32x4_t low(uint32x4_t pairs) { return vreinterpretq_f32_u32(vshlq_n_u32(pairs, 16)); }
  static float32x4_t high(uint32x4_t pairs) { return vreinterpretq_f32_u32(vandq_u32(pairs, vdupq_n_u32(0xFFFF0000U))); }
  template <Format format>
  static Loaded<format> weights(const std::byte* p) {
    if constexpr (format == Format::f32) return load(reinterpret_cast<const float*>(p));
    else if constexpr (format == Format::bf16) {
      const auto* w = reinterpret_cast<const std::uint32_t*>(p);
      return {each([&](int i) { return low(vld1q_u32(w + i * 4)); }), each([&](int i) { return high(vld1q_u32(w + i * 4)); })};
    } else {
      const auto* w = reinterpret_cast<const std::int8_t*>(p);
      return {{vld1q_s8(w), vld1q_s8(w + 16), vld1q_s8(w + 32), vld1q_s8(w + 48)}};
    }
  }
  template <Format format>
  static auto broadcast(const std::byte* p) {
    if constexpr (format == Format::f32) return vld1q_dup_f32(reinterpret_cast<const float*>(p));
    else if constexpr (format == Format::bf16) {
      struct Two { float32x4_t even, odd; };
      const uint32x4_t all = vld1q_dup_u32(reinterpret_cast<const std::uint32_t*>(p));
      return Two{low(all), high(all)};
    } else return vreinterpretq_s16_u16(vmovl_u8(vreinterpret_u8_u32(vld1_dup_u32(reinterpret_cast<const std::uint32_t*>(p)))));  // the quad, twice
  }
  template <Format format, class X, class S>
  static void multiply_add(const X& x, const Loaded<format>& w, S& s) {
    for (int i = 0; i < 4; ++i) {
      if constexpr (format == Format::f32) s.v[i] = vfmaq_f32(s.v[i], x, w.v[i]);
      else if constexpr (format == Format::bf16) s.v[i] = vfmaq_f32(vfmaq_f32(s.v[i], x.even, w.even.v[i]), x.odd, w.odd.v[i]);
      else {  // 4 outputs: products of 16 bits, added in pairs
        const int16x8_t low8 = vmovl_s8(vget_low_s8(w.v[i])), high8 = vmovl_s8(vget_high_s8(w.v[i]));
        const int16x4_t q = vget_low_s16(x);
        const int32x4_t a = vpaddq_s32(vmull_s16(vget_low_s16(low8), q), vmull_s16(vget_high_s16(low8), q));
        const int32x4_t b = vpaddq_s32(vmull_s16(vget_low_s16(high8), q), vmull_s16(vget_high_s16(high8), q));
        s.v[i] = vaddq_s32(s.v[i], vpaddq_s32(a, b));
      }
    }
  }
};
