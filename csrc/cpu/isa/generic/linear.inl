// x W^T in tiles of up to 6 rows x 4 panels (64 columns). Every output is one chain over K in order, so its bits depend neither
// on the rows beside it nor on the tile's size.

template <int R, int P>
static inline void tile_start(const LinearTile& t, int64_t row, V (&acc)[R][P]) {
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) acc[r][p] = t.resume ? load(t.out + (row + r) * 64 + p * 16) : zero();
}

template <int R, int P>
static inline void tile_f32(const LinearTile& t, int64_t row) {
  V acc[R][P];
  tile_start<R, P>(t, row, acc);
  const float* x = static_cast<const float*>(t.x) + row * t.x_stride;
  for (int64_t k = 0; k < t.k; ++k) {
    V w[P];
    for (int p = 0; p < P; ++p) w[p] = load(static_cast<const float*>(t.panel[p]) + k * 16);
    for (int r = 0; r < R; ++r) {
      const V b = set1(x[r * t.x_stride + k]);
      for (int p = 0; p < P; ++p) acc[r][p] = mac(b, w[p], acc[r][p]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) store(t.out + (row + r) * 64 + p * 16, acc[r][p]);
}

template <int R, int P>
static inline void tile_bf16(const LinearTile& t, int64_t row) {
  V acc[R][P];
  tile_start<R, P>(t, row, acc);
  const float* x = static_cast<const float*>(t.x) + row * t.x_stride;
  for (int64_t k = 0; k < t.k; k += 2) {
    V even[P], odd[P];
    for (int p = 0; p < P; ++p) load_pairs(static_cast<const uint16_t*>(t.panel[p]) + k * 16, even[p], odd[p]);
    for (int r = 0; r < R; ++r) {
      const V b0 = set1(x[r * t.x_stride + k]), b1 = set1(x[r * t.x_stride + k + 1]);
      for (int p = 0; p < P; ++p) acc[r][p] = mac(b1, odd[p], mac(b0, even[p], acc[r][p]));
    }
  }
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) store(t.out + (row + r) * 64 + p * 16, acc[r][p]);
}

#ifdef HB_DOT_PAIRS
/// `dot_pairs(acc, a, b)`: acc + a0 b0 + a1 b1 on 16 pairs of bf16, as the instruction rounds.
template <int R, int P>
static inline void tile_dot(const LinearTile& t, int64_t row) {
  V acc[R][P];
  tile_start<R, P>(t, row, acc);
  const uint16_t* x = static_cast<const uint16_t*>(t.x) + row * t.x_stride;
  for (int64_t k = 0; k < t.k; k += 2) {
    VI w[P];
    for (int p = 0; p < P; ++p) w[p] = iload(static_cast<const uint16_t*>(t.panel[p]) + k * 16);
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      memcpy(&pair, x + r * t.x_stride + k, 4);
      const VI b = iset1(pair);
      for (int p = 0; p < P; ++p) acc[r][p] = dot_pairs(acc[r][p], b, w[p]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < P; ++p) store(t.out + (row + r) * 64 + p * 16, acc[r][p]);
}
#endif

template <int R, int P>
static inline void tile_any(const LinearTile& t, int64_t row) {
#ifdef HB_DOT_PAIRS
  if (t.dot) return tile_dot<R, P>(t, row);
#endif
  return t.weight_bf16 ? tile_bf16<R, P>(t, row) : tile_f32<R, P>(t, row);
}

#ifndef HB_TILE_ROWS
#define HB_TILE_ROWS 6
#endif

template <int P>
static void tile_rows(const LinearTile& t) {
  int64_t row = 0;
  for (; row + HB_TILE_ROWS <= t.rows; row += HB_TILE_ROWS) tile_any<HB_TILE_ROWS, P>(t, row);
  switch (t.rows - row) {
#if HB_TILE_ROWS > 2
    case 5: return tile_any<5, P>(t, row);
    case 4: return tile_any<4, P>(t, row);
    case 3: return tile_any<3, P>(t, row);
    case 2: return tile_any<2, P>(t, row);
#endif
    case 1: return tile_any<1, P>(t, row);
    default: return;
  }
}

static void linear_tile(const LinearTile& t) {
#ifdef HB_TILE_DOT
  if (t.dot) return HB_TILE_DOT(t);
#endif
  if (t.panels == 4) return tile_rows<4>(t);
  for (int p = 0; p < t.panels; ++p) {  // the last group of a weight: rare, so no code of its own for 2 and 3 panels
    LinearTile one = t;
    one.panel[0] = t.panel[p];
    one.panels = 1;
    one.out = t.out + p * 16;
    tile_rows<1>(one);
  }
}

static inline V load_bias(const void* bias, int bf16, int64_t column, int n) {
  if (!bias) return zero();
  return bf16 ? load_bf16_n(static_cast<const uint16_t*>(bias) + column, n) : load_n(static_cast<const float*>(bias) + column, n);
}

template <class T>
static void epilogue_rows(const LinearEpilogue& e) {
  enum { none, gelu_tanh, silu, swiglu };
  T* out = static_cast<T*>(e.out);
  const T* residual = static_cast<const T*>(e.residual);
  for (int64_t r = 0; r < e.rows; ++r) {
    const float* acc = e.acc + r * 64;
    for (int64_t c = 0; c < e.columns; c += W) {
      const int n = e.columns - c < W ? static_cast<int>(e.columns - c) : W;
      V v = load(acc + c);
      if (e.bias) v = add(v, load_bias(e.bias, e.bias_bf16, c, n));
      switch (e.activation) {
        case gelu_tanh: v = vgelu_tanh(v); break;
        case silu: v = vsilu(v); break;
        case swiglu: {
          V up = load(acc + 32 + c);
          if (e.bias_up) up = add(up, load_bias(e.bias_up, e.bias_bf16, c, n));
          v = mul(vsilu(v), up);
          break;
        }
        default: break;
      }
      if (residual) v = add(v, load_as_n(residual + r * e.out_stride + c, n));
      store_as_n(out + r * e.out_stride + c, v, n);
    }
  }
}

static void linear_epilogue(const LinearEpilogue& e) { return e.out_bf16 ? epilogue_rows<uint16_t>(e) : epilogue_rows<float>(e); }
