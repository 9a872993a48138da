// Attention of one head of 32 in bf16: scores and mixing by vdpbf16ps, softmax in f32. Two plain passes, for the scores of 8 queries stay in L1.

// 16 rows of 16 words become 16 columns.
inline void transpose16(__m512i (&r)[16]) {
  __m512i t[16];
  WEIR_UNROLL for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  WEIR_UNROLL for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  WEIR_UNROLL for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(r[i], r[4 + i], 0xDD);
    t[8 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(r[8 + i], r[12 + i], 0xDD);
  }
  WEIR_UNROLL for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    r[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xDD);
    r[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    r[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xDD);
  }
}

inline __m512i row_bf16(const float* p) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(p + 16), _mm512_loadu_ps(p))); }

// 2^x, relative error ≤ 3e-6: enough for what is rounded to bf16.
inline F exp2_fast(F x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-126.0F));
  const F n = Lanes::round(x), f = _mm512_sub_ps(x, n);
  F p = _mm512_fmadd_ps(_mm512_set1_ps(0.009570099181293396F), f, _mm512_set1_ps(0.05591786203908489F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24024744912058826F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931218145420803F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.9999992614151301F));
  return _mm512_scalef_ps(p, n);
}

// The 16 lanes of each of 8 registers by `op`, all at once: register r's in lanes of_row(r) and the one after it.
constexpr size_t of_row(size_t r) { return r % 4 * 4 + r / 4 * 2; }
template <class Op>
inline F across(const F (&x)[8], Op op) {
  F pairs[4];
  WEIR_UNROLL for (int i = 0; i < 4; ++i)
    pairs[i] = op(_mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0x44), _mm512_shuffle_f32x4(x[2 * i], x[2 * i + 1], 0xEE));
  const F low = op(_mm512_shuffle_f32x4(pairs[0], pairs[1], 0x88), _mm512_shuffle_f32x4(pairs[0], pairs[1], 0xDD));
  const F high = op(_mm512_shuffle_f32x4(pairs[2], pairs[3], 0x88), _mm512_shuffle_f32x4(pairs[2], pairs[3], 0xDD));
  const F all = op(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xEE));
  return op(all, _mm512_shuffle_ps(all, all, 0xB1));
}

// Keys and values of a head of 32 in bf16, in the order that products want: keys[16 keys][16 pairs of dimensions][16 keys], values[pair of keys][32
// dimensions], words of two. Beyond the text they are zeros.
struct PackedHead {
  size_t blocks, width;  // of keys, 32 at a time
  std::byte *keys, *values;
  float* scores;  // the rest of the scratch

  explicit PackedHead(const Attention& t)
      : blocks((t.n + 31) / 32), width(blocks * 32), keys(reinterpret_cast<std::byte*>(t.scratch)), values(keys + width * 64), scores(t.scratch + width * 32) {
    alignas(64) static constexpr std::uint16_t low[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                          8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
    const __m512i interleave_low = _mm512_load_si512(low), interleave_high = _mm512_add_epi16(interleave_low, _mm512_set1_epi16(16));
    for (size_t b = 0; b < blocks * 2; ++b) {
      __m512i r[16];
      WEIR_UNROLL for (int j = 0; j < 16; ++j) r[j] = b * 16 + j < t.n ? row_bf16(t.k + (b * 16 + j) * t.stride) : _mm512_setzero_si512();
      transpose16(r);
      WEIR_UNROLL for (int j = 0; j < 16; ++j) _mm512_store_si512(keys + (b * 16 + j) * 64, r[j]);
    }
    for (size_t j = 0; j < width / 2; ++j) {
      const __m512i a = 2 * j < t.n ? row_bf16(t.v + 2 * j * t.stride) : _mm512_setzero_si512();
      const __m512i b = 2 * j + 1 < t.n ? row_bf16(t.v + (2 * j + 1) * t.stride) : _mm512_setzero_si512();
      _mm512_store_si512(values + j * 128, _mm512_permutex2var_epi16(a, interleave_low, b));
      _mm512_store_si512(values + j * 128 + 64, _mm512_permutex2var_epi16(a, interleave_high, b));
    }
  }
};

// 8 rows of scores and, in `top`, lanes whose greatest is a row's: 2^(score - greatest) in bf16 to `out`, 1 / their sum before rounding to `inverse`.
inline void softmax_bf16(const float* scores, size_t width, const F (&top)[8], std::uint16_t* out, float (&inverse)[8]) {
  alignas(64) float of_rows[16];
  _mm512_store_ps(of_rows, across(top, [](F a, F b) { return _mm512_max_ps(a, b); }));
  F max[8], sum[8];
  WEIR_UNROLL for (int r = 0; r < 8; ++r) {
    max[r] = _mm512_set1_ps(of_rows[of_row(r)]);
    sum[r] = _mm512_setzero_ps();
  }
  for (size_t j = 0; j < width; j += 32)
    WEIR_UNROLL for (int r = 0; r < 8; ++r) {
      const float* s = scores + r * width + j;
      const F e0 = exp2_fast(_mm512_sub_ps(_mm512_load_ps(s), max[r])), e1 = exp2_fast(_mm512_sub_ps(_mm512_load_ps(s + 16), max[r]));
      sum[r] = _mm512_add_ps(sum[r], _mm512_add_ps(e0, e1));
      _mm512_store_si512(out + r * width + j, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(e1, e0)));
    }
  _mm512_store_ps(of_rows, _mm512_div_ps(_mm512_set1_ps(1.0F), across(sum, [](F a, F b) { return _mm512_add_ps(a, b); })));
  WEIR_UNROLL for (int r = 0; r < 8; ++r) inverse[r] = of_rows[of_row(r)];
}

#ifdef WEIR_LANES_BF16
void attention_bf16(const Attention& t) {
  if (t.head != 32) return attention_all(t);
  constexpr int R = 8;
  const PackedHead packed(t);
  const size_t n = t.n, blocks = packed.blocks, width = packed.width;
  const std::byte *keys = packed.keys, *values = packed.values;
  float* scores = packed.scores;                                         // [R][width]
  auto* weights = reinterpret_cast<std::uint16_t*>(scores + R * width);  // [R][width]
  const size_t last = n - (blocks - 1) * 32;  // keys in the last 32
  for (size_t first = 0; first < n; first += R) {
    const size_t live = least(R, n - first);
    alignas(64) std::byte q[R][64];
    for (size_t r = 0; r < R; ++r) _mm512_store_si512(q[r], row_bf16(t.q + (first + least(r, live - 1)) * t.stride));
    F top[R];
    WEIR_UNROLL for (int r = 0; r < R; ++r) top[r] = _mm512_set1_ps(-3e38F);
    for (size_t b = 0; b < blocks; ++b) {
      F s[R][2];
      WEIR_UNROLL for (int r = 0; r < R; ++r) s[r][0] = s[r][1] = _mm512_setzero_ps();
      const std::byte* k = keys + b * 2048;
      for (size_t d = 0; d < 16; ++d) {
        const I k0 = _mm512_load_si512(k + d * 64), k1 = _mm512_load_si512(k + 1024 + d * 64);
        WEIR_UNROLL for (int r = 0; r < R; ++r) {
          const I x = Lanes::broadcast<Format::bf16>(q[r] + d * 4);
          Lanes::multiply_add<Format::bf16>(x, k0, s[r][0]);
          Lanes::multiply_add<Format::bf16>(x, k1, s[r][1]);
        }
      }
      if (b + 1 == blocks && last < 32) WEIR_UNROLL for (int r = 0; r < R; ++r) {
        s[r][0] = Lanes::first(s[r][0], last, -3e38F);
        s[r][1] = Lanes::first(s[r][1], last < 16 ? 0 : last - 16, -3e38F);
      }
      WEIR_UNROLL for (int r = 0; r < R; ++r) {
        top[r] = _mm512_max_ps(top[r], _mm512_max_ps(s[r][0], s[r][1]));
        _mm512_store_ps(scores + r * width + b * 32, s[r][0]);
        _mm512_store_ps(scores + r * width + b * 32 + 16, s[r][1]);
      }
    }
    float inverse[R];
    softmax_bf16(scores, width, top, weights, inverse);
    F o[R][2];
    WEIR_UNROLL for (int r = 0; r < R; ++r) o[r][0] = o[r][1] = _mm512_setzero_ps();
    const auto* w = reinterpret_cast<const std::byte*>(weights);
    for (size_t j = 0; j < (n + 1) / 2; ++j) {
      const I v0 = _mm512_load_si512(values + j * 128), v1 = _mm512_load_si512(values + j * 128 + 64);
      WEIR_UNROLL for (int r = 0; r < R; ++r) {
        const I p = Lanes::broadcast<Format::bf16>(w + r * width * 2 + j * 4);
        Lanes::multiply_add<Format::bf16>(p, v0, o[r][0]);
        Lanes::multiply_add<Format::bf16>(p, v1, o[r][1]);
      }
    }
    WEIR_UNROLL for (int r = 0; r < R; ++r) {
      if (static_cast<size_t>(r) >= live) break;
      const F i = _mm512_set1_ps(inverse[r]);
      _mm512_storeu_ps(t.out + (first + r) * t.out_stride, _mm512_mul_ps(o[r][0], i));
      _mm512_storeu_ps(t.out + (first + r) * t.out_stride + 16, _mm512_mul_ps(o[r][1], i));
    }
  }
}
#endif
