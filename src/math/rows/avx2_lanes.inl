// 16 lanes in two ymm registers. Needs AVX2 and FMA; with WEIR_LANES_VNNI also AVX-VNNI. The integer sums are exact in both.
struct Lanes {
  struct F { __m256 a, b; };
  struct I { __m256i a, b; };
  static constexpr int rows = 4, halves = 1;
#ifdef WEIR_LANES_VNNI
  static constexpr std::size_t int8_bytes = 1;
#else
  static constexpr std::size_t int8_bytes = 2;  // u8 · s8 by products of 16 bits: pmaddubsw would saturate
#endif

  static __m256i mask(std::size_t n, int from) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), _mm256_add_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(from)));
  }
  static __m256 select(__m256 m, __m256 yes, __m256 no) { return _mm256_blendv_ps(no, yes, m); }
  static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static F load(const float* p, std::size_t n, float other) {
    if (n >= 16) return load(p);
    const __m256i m0 = mask(n, 0), m1 = mask(n, 8);
    const __m256 o = _mm256_set1_ps(other);
    return {select(_mm256_castsi256_ps(m0), _mm256_maskload_ps(p, m0), o), select(_mm256_castsi256_ps(m1), _mm256_maskload_ps(p + 8, m1), o)};
  }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x.a); _mm256_storeu_ps(p + 8, x.b); }
  static void store(float* p, F x, std::size_t n) {
    if (n >= 16) return store(p, x);
    _mm256_maskstore_ps(p, mask(n, 0), x.a);
    _mm256_maskstore_ps(p + 8, mask(n, 8), x.b);
  }
  static F set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
  static F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
  static F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
  static F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
  static F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
  static F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
  static F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
  static F abs(F x) {
    const __m256 m = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
    return {_mm256_and_ps(x.a, m), _mm256_and_ps(x.b, m)};
  }
  static F round(F x) {
    return {_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
  }
  static __m256 pow2(__m256 n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)); }
  static F pow2(F n) { return {pow2(n.a), pow2(n.b)}; }
  static F below(F x, F y, F yes, F no) {
    return {select(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), yes.a, no.a), select(_mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ), yes.b, no.b)};
  }
  static F unordered(F x, F yes, F no) {
    return {select(_mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q), yes.a, no.a), select(_mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q), yes.b, no.b)};
  }
  static F first(F x, std::size_t n, float other) {
    const __m256 o = _mm256_set1_ps(other);
    return {select(_mm256_castsi256_ps(mask(n, 0)), x.a, o), select(_mm256_castsi256_ps(mask(n, 8)), x.b, o)};
  }
  static float sum(F x) {
    const __m256 b = _mm256_add_ps(x.a, x.b);
    const __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_add_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
  static float greatest(F x) {
    const __m256 b = _mm256_max_ps(x.a, x.b);
    const __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_max_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_shuffle_ps(d, d, 1)));
  }
  static float least(F x) {
    const __m256 b = _mm256_min_ps(x.a, x.b);
    const __m128 c = _mm_min_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
    const __m128 d = _mm_min_ps(c, _mm_movehl_ps(c, c));
    return _mm_cvtss_f32(_mm_min_ss(d, _mm_shuffle_ps(d, d, 1)));
  }

  static void store_u8(std::uint8_t* p, const F (&x)[4]) {  // packs work within 128 bits: the last step puts their fours in order
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (int i = 0; i < 4; i += 2) {
      const __m256i low = _mm256_packs_epi32(_mm256_cvtps_epi32(x[i].a), _mm256_cvtps_epi32(x[i].b));
      const __m256i high = _mm256_packs_epi32(_mm256_cvtps_epi32(x[i + 1].a), _mm256_cvtps_epi32(x[i + 1].b));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + i * 16), _mm256_permutevar8x32_epi32(_mm256_packus_epi16(low, high), order));
    }
  }
  static __m256i round_bf16(__m256 x) {
    const __m256i bits = _mm256_castps_si256(x), odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd), 16);
  }
  static void store_bf16(std::uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(_mm256_packus_epi32(round_bf16(x.a), round_bf16(x.b)), 0xD8));
  }

  struct Pairs { F even, odd; };
  static __m256 low(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
  static __m256 high(__m256i pairs) { return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xFFFF0000U)))); }
  static int word_at(const std::byte* p) {
    int w;
    __builtin_memcpy(&w, p, 4);
    return w;
  }
  static I zero_sum() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
  static __m256i ints(const std::byte* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
#ifdef WEIR_LANES_VNNI
  using Quads = I;
  using One = __m256i;
  static Quads quads(const std::byte* p) { return {ints(p), ints(p + 32)}; }
  static One quad(const std::byte* p) { return _mm256_set1_epi32(word_at(p)); }
  static __attribute__((always_inline)) void add_quads(One x, const Quads& w, I& s) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s.a) : "x"(x), "x"(w.a));
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(s.b) : "x"(x), "x"(w.b));
  }
#else
  // Of each four inputs the even two and the odd two, as words of 16 bits: one vpmaddwd and one vpaddd each, eight outputs at once.
  struct Quads { I even, odd; };
  struct One { __m256i even, odd; };
  static void put(std::byte* p, __m256i x) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), x); }
  template <int R>
  static void widen_rows(const std::byte* from, std::byte* to) {  // a row's 64 bytes: even ones, odd ones
    for (int r = 0; r < R; ++r, from += 64, to += 128) {
      const __m256i a = ints(from), b = ints(from + 32), low = _mm256_set1_epi16(0xFF);
      put(to, _mm256_and_si256(a, low));
      put(to + 32, _mm256_and_si256(b, low));
      put(to + 64, _mm256_srli_epi16(a, 8));
      put(to + 96, _mm256_srli_epi16(b, 8));
    }
  }
  static void widen_weights(const std::byte* from, std::byte* to) {  // 16 quads of 16 outputs
    for (int g = 0; g < 16; ++g, from += 64, to += 128)
      for (int i = 0; i < 64; i += 32) {
        const __m256i w = ints(from + i);
        put(to + i, _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8));
        put(to + i + 64, _mm256_srai_epi16(w, 8));
      }
  }
  static Quads quads(const std::byte* p) { return {{ints(p), ints(p + 32)}, {ints(p + 64), ints(p + 96)}}; }
  static One quad(const std::byte* p) { return {_mm256_set1_epi32(word_at(p)), _mm256_set1_epi32(word_at(p + 64))}; }
  static __attribute__((always_inline)) void add_pair(__m256i& s, __m256i x, __m256i w) {
    __m256i product;
    asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(s), "=&x"(product) : "x"(x), "x"(w));
  }
  static __attribute__((always_inline)) void add_quads(One x, const Quads& w, I& s) {
    add_pair(s.a, x.even, w.even.a);
    add_pair(s.b, x.even, w.even.b);
    add_pair(s.a, x.odd, w.odd.a);
    add_pair(s.b, x.odd, w.odd.b);
  }
#endif
  template <Format format>
  using Loaded = std::conditional_t<format == Format::f32, F, std::conditional_t<format == Format::bf16, Pairs, Quads>>;
  template <Format format>
  static Loaded<format> weights(const std::byte* p) {
    if constexpr (format == Format::f32) return load(reinterpret_cast<const float*>(p));
    else if constexpr (format == Format::bf16) {
      const __m256i a = _mm256_load_si256(reinterpret_cast<const __m256i*>(p)), b = _mm256_load_si256(reinterpret_cast<const __m256i*>(p + 32));
      return {{low(a), low(b)}, {high(a), high(b)}};
    } else return quads(p);
  }
  template <Format format>
  static auto broadcast(const std::byte* p) {
    if constexpr (format == Format::f32) return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
    else if constexpr (format == Format::bf16) {
      const __m256i all = _mm256_set1_epi32(word_at(p));
      struct Two { __m256 even, odd; };
      return Two{low(all), high(all)};
    } else return quad(p);
  }
  // In assembly, so that the sums stay in their registers.
  static __attribute__((always_inline)) void fma_into(__m256& s, __m256 x, __m256 w) { asm("vfmadd231ps %2, %1, %0" : "+x"(s) : "x"(x), "x"(w)); }
  template <Format format, class X, class S>
  static __attribute__((always_inline)) void multiply_add(const X& x, const Loaded<format>& w, S& s) {
    if constexpr (format == Format::f32) {
      fma_into(s.a, x, w.a);
      fma_into(s.b, x, w.b);
    } else if constexpr (format == Format::bf16) {
      fma_into(s.a, x.even, w.even.a);
      fma_into(s.b, x.even, w.even.b);
      fma_into(s.a, x.odd, w.odd.a);
      fma_into(s.b, x.odd, w.odd.b);
    } else add_quads(x, w, s);
  }
};
