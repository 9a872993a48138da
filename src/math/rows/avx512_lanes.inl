// 16 lanes in one zmm register. Needs F, BW, VL, DQ, VNNI; with WEIR_LANES_BF16 also AVX512_BF16, whose products round differently from f32's.
struct Lanes {
  using F = __m512;
  using I = __m512i;
  static constexpr int rows = 8, halves = 2;
  static constexpr std::size_t int8_bytes = 1;

  static __mmask16 mask(std::size_t n) { return static_cast<__mmask16>(n >= 16 ? 0xFFFFU : (1U << n) - 1U); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load(const float* p, std::size_t n, float other) { return _mm512_mask_loadu_ps(_mm512_set1_ps(other), mask(n), p); }
  static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
  static void store(float* p, F a, std::size_t n) { _mm512_mask_storeu_ps(p, mask(n), a); }
  static F set(float x) { return _mm512_set1_ps(x); }
  static F zero() { return _mm512_setzero_ps(); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static F pow2(F n) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23)); }
  static F below(F a, F b, F yes, F no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes); }
  static F unordered(F a, F yes, F no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), no, yes); }
  static F first(F a, std::size_t n, float other) { return _mm512_mask_blend_ps(mask(n), _mm512_set1_ps(other), a); }
  static float sum(F a) {
    const __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
  static float greatest(F a) {
    const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
  static float least(F a) {
    const __m256 b = _mm256_min_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_min_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_min_ss(d, _mm_shuffle_ps(d, d, 1)));
  }

  static I zero_sum() { return _mm512_setzero_si512(); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  static void store_u8(std::uint8_t* p, const F (&a)[4]) {  // packs work within 128 bits: the last step puts their fours in order
    const I low = _mm512_packs_epi32(_mm512_cvtps_epi32(a[0]), _mm512_cvtps_epi32(a[1])), high = _mm512_packs_epi32(_mm512_cvtps_epi32(a[2]), _mm512_cvtps_epi32(a[3]));
    const I order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high)));
  }
  static void store_bf16(std::uint16_t* p, F a) {
#ifdef WEIR_LANES_BF16
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a)));
#else
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
#endif
  }

  struct Pairs { F even, odd; };
#ifdef WEIR_LANES_BF16
  using LoadedPairs = I;
#else
  using LoadedPairs = Pairs;
  static Pairs split(I pairs) {
    return {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)), _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000U))))};
  }
#endif
  template <Format format>
  using Loaded = std::conditional_t<format == Format::f32, F, std::conditional_t<format == Format::bf16, LoadedPairs, I>>;
  template <Format format>
  static Loaded<format> weights(const std::byte* p) {
    if constexpr (format == Format::f32) return _mm512_load_ps(p);
#ifndef WEIR_LANES_BF16
    else if constexpr (format == Format::bf16) return split(_mm512_load_si512(p));
#endif
    else return _mm512_load_si512(p);
  }
  static int word_at(const std::byte* p) {
    int w;
    __builtin_memcpy(&w, p, 4);
    return w;
  }
  template <Format format>
  static Loaded<format> broadcast(const std::byte* p) {
    const I all = _mm512_set1_epi32(word_at(p));
    if constexpr (format == Format::f32) return _mm512_castsi512_ps(all);
#ifndef WEIR_LANES_BF16
    else if constexpr (format == Format::bf16) return split(all);
#endif
    else return all;
  }
  // In assembly, so that the sum stays in its register: g++ 12 copies every accumulator twice a step otherwise.
  template <Format format, class S>
  static __attribute__((always_inline)) void multiply_add(const Loaded<format>& x, const Loaded<format>& w, S& s) {
    if constexpr (format == Format::f32) asm("vfmadd231ps %2, %1, %0" : "+v"(s) : "v"(x), "v"(w));
#ifdef WEIR_LANES_BF16
    else if constexpr (format == Format::bf16) asm("vdpbf16ps %2, %1, %0" : "+v"(s) : "v"(x), "v"(w));
#else
    else if constexpr (format == Format::bf16) {
      asm("vfmadd231ps %2, %1, %0" : "+v"(s) : "v"(x.even), "v"(w.even));
      asm("vfmadd231ps %2, %1, %0" : "+v"(s) : "v"(x.odd), "v"(w.odd));
    }
#endif
    else asm("vpdpbusd %2, %1, %0" : "+v"(s) : "v"(x), "v"(w));
  }
};
