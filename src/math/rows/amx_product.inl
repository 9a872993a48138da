// Products of int8 and bf16 by tiles: 32 rows by a panel of 32 outputs in four tiles of sums. The epilogue of a block runs two blocks later, beside the
// multiplications of that one: reading sums soon after they were stored stalls.

template <Format format, Epilogue epilogue>
inline void finish_block(const Product& p, size_t panel, size_t row, const float* sums) {
  const size_t column = panel * 32, out_column = column - p.panel * 32, live = least(32, p.row + p.rows - row);
  for (size_t r = 0; r < live; ++r)
    WEIR_UNROLL for (int h = 0; h < 2; ++h) {
      const size_t c = column + h * 16, o = out_column + h * 16;
      if (o >= p.columns) break;
      F v = p.bias != nullptr ? Lanes::load(p.bias + c, left(p.columns, o), 0.0F) : Lanes::zero();
      const float* s = sums + r * 32 + h * 16;
      if constexpr (format == Format::int8) {  // the same operations as in block()
        const size_t at = (row + r) * p.a.groups;
        const F product = Lanes::mul(Lanes::to_float(_mm512_load_si512(s)), Lanes::load(p.w->scales() + c));
        v = Lanes::fma(product, Lanes::set(p.a.scale[at]), Lanes::fma(Lanes::set(p.a.shift[at]), Lanes::load(p.w->sums(p.group) + c), v));
      } else {
        v = Lanes::add(_mm512_load_ps(s), v);
      }
      finish<format, epilogue>(v, p.out + (row - p.row + r) * p.out_stride + o, p.columns - o);
    }
}

template <Format format, Epilogue epilogue>
void product_by_tiles(const Product& p) {
  alignas(64) float sums[3][32 * 32];
  struct Block { size_t panel, row; };
  const size_t per_group = p.w->steps() / p.w->groups(), steps = p.groups * per_group, end = p.row + p.rows;
  Block done[3] = {};
  size_t count = 0;
  const auto store = [&](size_t i) {
    const size_t half = done[i % 3].row + 16 < end;
    float* s = sums[i % 3];
    Tiles::store<0>(s, 128);
    Tiles::store<1>(s + 16, 128);
    if (half) {
      Tiles::store<2>(s + 16 * 32, 128);
      Tiles::store<3>(s + 16 * 32 + 16, 128);
    }
  };
  const auto finish_one = [&](size_t i) { finish_block<format, epilogue>(p, done[i % 3].panel, done[i % 3].row, sums[i % 3]); };
  Tiles::configure();
  for (size_t panel = p.panel; panel < p.panel + p.panels; ++panel)
    for (size_t row = p.row; row < end; row += 32, ++count) {
      const std::byte* a = p.a.at(row);
      const std::byte* b = p.w->panel(panel) + p.group * per_group * 2048;
      const bool both = row + 16 < end;
      for (size_t s = 0; s < steps; ++s, a += 2048, b += 2048) {
        Tiles::load<6>(b, 64);
        Tiles::load<4>(a, 64);
        if (s == 0) {
          if (count > 0) store(count - 1);
          Tiles::zero<0>();
          Tiles::zero<1>();
          Tiles::zero<2>();
          Tiles::zero<3>();
        }
        Tiles::multiply<format, 0, 4, 6>();
        Tiles::load<7>(b + 1024, 64);
        Tiles::multiply<format, 1, 4, 7>();
        if (both) {
          Tiles::load<5>(a + 1024, 64);
          Tiles::multiply<format, 2, 5, 6>();
          Tiles::multiply<format, 3, 5, 7>();
        }
      }
      done[count % 3] = {panel, row};
      if (count >= 2) finish_one(count - 2);
    }
  if (count > 0) store(count - 1);
  Tiles::release();
  if (count > 1) finish_one(count - 2);
  if (count > 0) finish_one(count - 1);
}

void product_amx(const Product& p) {
  // Tiles want whole blocks of rows; an int8 product over several groups needs its sums apart, which the vector kernels do.
  if (p.a.format == Format::f32 || p.row % 32 != 0 || (p.a.format == Format::int8 && p.groups != 1)) return product_all(p);
  const auto run = [&]<Format format>() {
    if (p.epilogue == Epilogue::store) product_by_tiles<format, Epilogue::store>(p);
    else if (p.epilogue == Epilogue::add) product_by_tiles<format, Epilogue::add>(p);
    else product_by_tiles<format, Epilogue::gelu>(p);
  };
  if (p.a.format == Format::int8) run.template operator()<Format::int8>();
  else run.template operator()<Format::bf16>();
}

template <Format format>
double peak_tiles(size_t iterations) {
  Tiles::configure();
  alignas(64) static const std::byte zeros[1024] = {};
  Tiles::load<4>(zeros, 64);
  Tiles::load<5>(zeros, 64);
  Tiles::load<6>(zeros, 64);
  Tiles::load<7>(zeros, 64);
  Tiles::zero<0>();
  Tiles::zero<1>();
  Tiles::zero<2>();
  Tiles::zero<3>();
  for (size_t i = 0; i < iterations; ++i) {
    Tiles::multiply<format, 0, 4, 6>();
    Tiles::multiply<format, 1, 4, 7>();
    Tiles::multiply<format, 2, 5, 6>();
    Tiles::multiply<format, 3, 5, 7>();
  }
  Tiles::release();
  return static_cast<double>(iterations) * 4 * 2 * 16 * 16 * (format == Format::int8 ? 64 : 32);
}

double peak_amx(Format format, size_t iterations) {
  return format == Format::f32 ? peak_all(format, iterations) : format == Format::bf16 ? peak_tiles<Format::bf16>(iterations) : peak_tiles<Format::int8>(iterations);
}

// One head of 32: both products of attention by tiles, 16 queries at a time; softmax between them in vectors.
void attention_amx(const Attention& t) {
  if (t.head != 32) return attention_all(t);
  constexpr int R = 16;
  const PackedHead packed(t);
  const size_t n = t.n, width = packed.width;
  float* scores = packed.scores;                                           // [R][width]
  auto* weights = reinterpret_cast<std::uint16_t*>(scores + R * width);    // [R][width]
  alignas(64) std::byte q[R][64];
  alignas(64) float o[R][32];
  Tiles::configure();
  for (size_t first = 0; first < n; first += R) {
    const size_t live = least(R, n - first);
    for (size_t r = 0; r < R; ++r) _mm512_store_si512(q[r], row_bf16(t.q + (first + least(r, live - 1)) * t.stride));
    Tiles::load<4>(q, 64);
    for (size_t b = 0; b < packed.blocks; ++b) {
      Tiles::load<6>(packed.keys + b * 2048, 64);
      Tiles::zero<0>();
      Tiles::multiply<Format::bf16, 0, 4, 6>();
      Tiles::load<7>(packed.keys + b * 2048 + 1024, 64);
      Tiles::zero<1>();
      Tiles::multiply<Format::bf16, 1, 4, 7>();
      Tiles::store<0>(scores + b * 32, width * 4);
      Tiles::store<1>(scores + b * 32 + 16, width * 4);
    }
    float inverse[2][8];
    for (size_t half = 0; half < 2; ++half) {  // all rows: what is beyond the text repeats its last query
      float* rows = scores + half * 8 * width;
      F top[8];
      for (size_t r = 0; r < 8; ++r) {
        float* row = rows + r * width;
        top[r] = _mm512_set1_ps(-3e38F);
        for (size_t j = 0; j < width; j += 16) {
          const F s = Lanes::first(_mm512_load_ps(row + j), left(n, j), -3e38F);
          if (j + 16 > n) _mm512_store_ps(row + j, s);
          top[r] = _mm512_max_ps(top[r], s);
        }
      }
      softmax_bf16(rows, width, top, weights + half * 8 * width, inverse[half]);
    }
    Tiles::zero<0>();
    Tiles::zero<1>();
    for (size_t b = 0; b < packed.blocks; ++b) {
      Tiles::load<5>(weights + b * 32, width * 2);
      Tiles::load<6>(packed.values + b * 2048, 128);
      Tiles::multiply<Format::bf16, 0, 5, 6>();
      Tiles::load<7>(packed.values + b * 2048 + 64, 128);
      Tiles::multiply<Format::bf16, 1, 5, 7>();
    }
    Tiles::store<0>(o, 128);
    Tiles::store<1>(&o[0][16], 128);
    for (size_t r = 0; r < live; ++r)
      for (size_t c = 0; c < 32; c += 16)
        _mm512_storeu_ps(t.out + (first + r) * t.out_stride + c, _mm512_mul_ps(_mm512_load_ps(o[r] + c), _mm512_set1_ps(inverse[r / 8][r % 8])));
  }
  Tiles::release();
}
