// The eight tile registers: 16 rows of 64 bytes each. With WEIR_AMX_EMULATED they are memory, so that what is built on them can be tested on any CPU.
#ifndef WEIR_AMX_EMULATED

struct Tiles {
  // Every tile whole. The configuration is passed as one object: g++ 12's own intrinsic tells the compiler that only 8 of its bytes are read.
  static void configure() {
    struct alignas(64) Configuration {
      u8 palette = 1, start = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      u8 rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    };
    const Configuration c;
    asm volatile("ldtilecfg %0" ::"m"(c));
  }
  static void release() { asm volatile("tilerelease"); }
  template <int t>
  static void zero() { asm volatile("tilezero %%tmm%c0" ::"i"(t)); }
  template <int t>
  static void load(const void* p, size_t stride) { asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(t) : "memory"); }
  template <int t>
  static void store(void* p, size_t stride) { asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(t) : "memory"); }
  template <Format format, int c, int a, int b>
  static void multiply() {
    if constexpr (format == Format::int8) asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
    else asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(c), "i"(a), "i"(b));
  }
};

#else

struct Tiles {
  static inline thread_local u8 tile[8][16][64];
  static void configure() {}
  static void release() {}
  template <int t>
  static void zero() { __builtin_memset(tile[t], 0, 1024); }
  template <int t>
  static void load(const void* p, size_t stride) {
    for (size_t r = 0; r < 16; ++r) __builtin_memcpy(tile[t][r], static_cast<const u8*>(p) + r * stride, 64);
  }
  template <int t>
  static void store(void* p, size_t stride) {
    for (size_t r = 0; r < 16; ++r) __builtin_memcpy(static_cast<u8*>(p) + r * stride, tile[t][r], 64);
  }
  template <Format format, int c, int a, int b>
  static void multiply() {
    for (size_t m = 0; m < 16; ++m)
      for (size_t n = 0; n < 16; ++n)
        for (size_t k = 0; k < 16; ++k) {
          if constexpr (format == Format::int8) {
            std::int32_t sum;
            __builtin_memcpy(&sum, tile[c][m] + n * 4, 4);
            for (size_t i = 0; i < 4; ++i) sum += tile[a][m][k * 4 + i] * static_cast<std::int8_t>(tile[b][k][n * 4 + i]);
            __builtin_memcpy(tile[c][m] + n * 4, &sum, 4);
          } else {
            float sum;
            __builtin_memcpy(&sum, tile[c][m] + n * 4, 4);
            for (size_t i = 0; i < 2; ++i) {
              std::uint16_t x, y;
              __builtin_memcpy(&x, tile[a][m] + k * 4 + i * 2, 2);
              __builtin_memcpy(&y, tile[b][k] + n * 4 + i * 2, 2);
              sum += __builtin_bit_cast(float, static_cast<u32>(x) << 16U) * __builtin_bit_cast(float, static_cast<u32>(y) << 16U);
            }
            __builtin_memcpy(tile[c][m] + n * 4, &sum, 4);
          }
        }
  }
};

#endif
