// x W^T in tiles of up to 6 rows x 4 panels (64 columns). Every output is one chain over K in order, so its bits depend neither
// on the rows beside it nor on the tile's size.

template <int R, int P>
static inline void tile_start(const LinearTile& t, int64_t row, V (&acc)[R][P]) {
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int p = 0; p < P; ++p) acc[r][p] = t.resume ? load(t.out + (row + r) * 64 + p * 16) : zero();
}

/// The panels that come after these, for a tile that is to fetch them into the second-level cache: a line of each per line that it
/// multiplies. Of the tiles of a group the first one does.
template <int P>
struct Upcoming {
  const char* panel[P];
  bool any;
  Upcoming(const LinearTile& t, int turn) : any(t.next[0] && turn == 0) {
    for (int p = 0; p < P; ++p) panel[p] = static_cast<const char*>(t.next[p]);
  }
  void fetch(int64_t bytes) const {
    if (any)
      for (int p = 0; p < P; ++p) __builtin_prefetch(panel[p] + bytes, 0, 2);
  }
};

template <int R, int P>
static inline void tile_f32(const LinearTile& t, int64_t row, int turn) {
  const Upcoming<P> next(t, turn);
  V acc[R][P];
  tile_start<R, P>(t, row, acc);
  const int64_t stride = t.x_stride, k_end = t.k;
  const float* x = static_cast<const float*>(t.x) + row * stride;
  const float* panel[P];
  HB_UNROLL
  for (int p = 0; p < P; ++p) panel[p] = static_cast<const float*>(t.panel[p]);
  const int tiles = t.tiles;
  const bool fetch = tiles > 0 && turn < P;
  for (int64_t k = 0; k < k_end; ++k) {
    V w[P];
    HB_UNROLL
    for (int p = 0; p < P; ++p) w[p] = load(panel[p] + k * 16);
    if (fetch)
      for (int p = turn; p < P; p += tiles) __builtin_prefetch(panel[p] + (k_end + k) * 16, 0, 3);
    next.fetch(k * 64);
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      const V b = set1(x[r * stride + k]);
      HB_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = mac(b, w[p], acc[r][p]);
    }
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int p = 0; p < P; ++p) store(t.out + (row + r) * 64 + p * 16, acc[r][p]);
}

template <int R, int P>
static inline void tile_bf16(const LinearTile& t, int64_t row, int turn) {
  const Upcoming<P> next(t, turn);
  V acc[R][P];
  tile_start<R, P>(t, row, acc);
  const float* x = static_cast<const float*>(t.x) + row * t.x_stride;
  for (int64_t k = 0; k < t.k; k += 2) {
    V even[P], odd[P];
    HB_UNROLL
    for (int p = 0; p < P; ++p) load_pairs(static_cast<const uint16_t*>(t.panel[p]) + k * 16, even[p], odd[p]);
    next.fetch(k * 32);
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      const V b0 = set1(x[r * t.x_stride + k]), b1 = set1(x[r * t.x_stride + k + 1]);
      HB_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = mac(b1, odd[p], mac(b0, even[p], acc[r][p]));
    }
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int p = 0; p < P; ++p) store(t.out + (row + r) * 64 + p * 16, acc[r][p]);
}

#ifdef HB_DOT_PAIRS
/// `dot_pairs(acc, a, b)`: acc + a0 b0 + a1 b1 on 16 pairs of bf16, as the instruction rounds.
template <int R, int P>
static inline void tile_dot(const LinearTile& t, int64_t row, int turn) {
  // everything that the loop reads in locals: `t` could alias what it writes
  const int64_t stride = t.x_stride, k_end = t.k, fetch_at = t.k * 16;
  const uint16_t* x = static_cast<const uint16_t*>(t.x) + row * stride;
  float* const out = t.out + row * 64;
  const uint16_t* w[P];
  HB_UNROLL
  for (int p = 0; p < P; ++p) w[p] = static_cast<const uint16_t*>(t.panel[p]);
  V acc[R][P];
  if (t.resume) {
    HB_UNROLL
    for (int r = 0; r < R; ++r)
      HB_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = load(out + r * 64 + p * 16);
  } else {
    HB_UNROLL
    for (int r = 0; r < R; ++r)
      HB_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = zero();
  }
  // each of the tiles of a block fetches its share of the next block, so that memory is busy all the time
  const int tiles = t.tiles;
  const bool fetch = tiles > 0 && turn < P;
  const Upcoming<P> next(t, turn);
  for (int64_t k = 0; k < k_end; k += 2) {
    VI v[P];
    HB_UNROLL
    for (int p = 0; p < P; ++p) v[p] = iload(w[p] + k * 16);
    next.fetch(k * 32);
    HB_UNROLL
    for (int r = 0; r < R; ++r) {
      int32_t pair;
      memcpy(&pair, x + r * stride + k, 4);
      const VI b = iset1(pair);
      HB_UNROLL
      for (int p = 0; p < P; ++p) acc[r][p] = dot_pairs(acc[r][p], b, v[p]);
    }
    if (fetch)
      for (int p = turn; p < P; p += tiles) __builtin_prefetch(w[p] + fetch_at + k * 16, 0, 3);
  }
  HB_UNROLL
  for (int r = 0; r < R; ++r)
    HB_UNROLL
    for (int p = 0; p < P; ++p) store(out + r * 64 + p * 16, acc[r][p]);
}
#endif

template <int R, int P>
static inline void tile_any(const LinearTile& t, int64_t row, int turn) {
#ifdef HB_DOT_PAIRS
  if (t.dot) return tile_dot<R, P>(t, row, turn);
#endif
  return t.weight_bf16 ? tile_bf16<R, P>(t, row, turn) : tile_f32<R, P>(t, row, turn);
}

template <int P>
static inline void tile_of(const LinearTile& t, int64_t row, int64_t rows, int turn) {
  switch (rows) {
#if HB_TILE_ROWS > 2
    case 6: return tile_any<6, P>(t, row, turn);
    case 5: return tile_any<5, P>(t, row, turn);
    case 4: return tile_any<4, P>(t, row, turn);
    case 3: return tile_any<3, P>(t, row, turn);
#endif
#if HB_TILE_ROWS > 1
    case 2: return tile_any<2, P>(t, row, turn);
#endif
    default: return tile_any<1, P>(t, row, turn);
  }
}

/// Tiles of rows, as equal as can be: a tile of one row waits for its own products, four and three do not.
template <int P>
static void tile_rows(const LinearTile& t) {
  const int64_t tiles = (t.rows + HB_TILE_ROWS - 1) / HB_TILE_ROWS;
  int64_t row = 0;
  for (int turn = 0; turn < tiles; ++turn) {
    const int64_t rows = t.rows / tiles + (turn < t.rows % tiles);
    tile_of<P>(t, row, rows, turn);
    row += rows;
  }
}

/// The same tile, cut down to one of its panels.
static inline LinearTile one_panel(const LinearTile& t, int panel) {
  LinearTile one = t;
  one.panel[0] = t.panel[panel];
  one.next[0] = nullptr;
  one.panels = 1;
  one.out = t.out + panel * 16;
  return one;
}

#ifdef HB_BLOCKED_DOT
/// Rows that two tiles of at most 8 rows x 2 panels hold, and fewer passes over the weight do than with tiles of 4 panels.
static inline int in_pairs(const LinearTile& t) {
  return t.dot && t.panels == 4 && ((t.rows > 6 && t.rows <= 8) || (t.rows > 12 && t.rows <= 16));
}

static inline void tile_pair(const LinearTile& t, int64_t row, int64_t rows) {
  switch (rows) {
    case 6: return tile_dot<6, 2>(t, row, 0);
    case 7: return tile_dot<7, 2>(t, row, 0);
    default: return tile_dot<8, 2>(t, row, 0);
  }
}

/// Up to 8 rows in one pass over a pair of panels: the weight streams while all of the products are at work. Of two tiles of four rows
/// the first would wait for memory and the second would leave it idle.
static void pair_rows(const LinearTile& tile) {
  LinearTile t = tile;
  const int64_t first = t.rows > 8 ? (t.rows + 1) / 2 : t.rows;
  for (int pair = 0; pair < 4; pair += 2) {
    const void* const* after = pair == 0 ? tile.panel + 2 : tile.next;
    for (int p = 0; p < 2; ++p) t.panel[p] = tile.panel[pair + p], t.next[p] = after[p];
    t.out = tile.out + pair * 16;
    tile_pair(t, 0, first);
    t.next[0] = nullptr;
    if (first < t.rows) tile_pair(t, first, t.rows - first);
  }
}
#endif

#if HB_TILE_ROWS == 6
/// Columns of a block of four panels: a block of bf16 and the next one stay in the first-level cache, one of f32 in the second.
static constexpr int64_t kDotColumns = 128, kF32Columns = 256;

/// Several tiles of rows, by blocks of K, so that the weight streams from memory once while the products hide behind it. The chain over
/// K goes on where it stopped. T: of x and the panels.
template <class T>
static void tile_blocks(LinearTile t, int64_t columns) {
  const int64_t k = t.k;
  for (int64_t start = 0; start < k; start += columns) {
    t.k = k - start < columns ? k - start : columns;
    t.tiles = start + t.k < k ? static_cast<int>((t.rows + HB_TILE_ROWS - 1) / HB_TILE_ROWS) : 0;
    tile_rows<4>(t);
    t.resume = 1;
    t.x = static_cast<const T*>(t.x) + t.k;
    for (const void*& panel : t.panel) panel = static_cast<const T*>(panel) + t.k * 16;
    for (const void*& panel : t.next)
      if (panel) panel = static_cast<const T*>(panel) + t.k * 16;
  }
}
#endif

static void linear_tile(const LinearTile& t) {
#ifdef HB_TILE_DOT
  if (t.dot) return HB_TILE_DOT(t);
#endif
#ifdef HB_BLOCKED_DOT
  if (in_pairs(t)) return pair_rows(t);
  if (t.dot && t.panels == 4 && t.rows > HB_TILE_ROWS) return tile_blocks<uint16_t>(t, kDotColumns);
#endif
#if HB_TILE_ROWS == 6
  if (!t.dot && !t.weight_bf16 && t.panels == 4 && t.rows > HB_TILE_ROWS) return tile_blocks<float>(t, kF32Columns);
#endif
  if (t.panels == 4) return tile_rows<4>(t);
  // the last group of a weight: rare, so no code of its own for 2 and 3 panels
  for (int p = 0; p < t.panels; ++p) tile_rows<1>(one_panel(t, p));
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
