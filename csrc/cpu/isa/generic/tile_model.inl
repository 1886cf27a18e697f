// A software model of the AMX tile registers that linear_amx.inl uses: 8 tiles of 16 rows x 64 bytes. TDPBF16PS sums even and odd
// products apart over the whole tile depth, then adds their sum to the accumulator (Intel SDM); subnormals count as zero.
struct TileModel {
  uint32_t row[8][16][16];
};
static thread_local TileModel tiles;

/// One row of a tile. As vectors of the compiler, whatever it makes of them: tests of whole models wait for this.
typedef float TileFloats __attribute__((vector_size(64)));
typedef uint32_t TileWords __attribute__((vector_size(64)));

#define MODEL_FLUSH(f) \
  ((TileFloats)((TileWords)(f) & ((TileWords)(((TileWords)(f) & 0x7f800000u) != 0) | 0x80000000u)))
static inline float model_half(uint32_t high_bits) {
  if ((high_bits & 0x7f800000u) == 0) high_bits &= 0x80000000u;
  float f;
  memcpy(&f, &high_bits, 4);
  return f;
}
#define MODEL_LOW(words) MODEL_FLUSH((TileFloats)((words) << 16))
#define MODEL_HIGH(words) MODEL_FLUSH((TileFloats)((words) & 0xffff0000u))

template <int T>
static inline void tile_zero() {
  memset(tiles.row[T], 0, sizeof tiles.row[T]);
}
template <int T>
static inline void tile_load(const void* p, int64_t stride_bytes) {
  for (int r = 0; r < 16; ++r) memcpy(tiles.row[T][r], static_cast<const char*>(p) + r * stride_bytes, 64);
}
template <int T>
static inline void tile_store(void* p, int64_t stride_bytes) {
  for (int r = 0; r < 16; ++r) memcpy(static_cast<char*>(p) + r * stride_bytes, tiles.row[T][r], 64);
}
template <int C, int A, int B>
static inline void tile_dot_bf16() {
  TileFloats low[16], high[16];
  for (int k = 0; k < 16; ++k) {
    TileWords b;
    memcpy(&b, tiles.row[B][k], sizeof b);
    low[k] = MODEL_LOW(b), high[k] = MODEL_HIGH(b);
  }
  for (int m = 0; m < 16; ++m) {
    TileFloats even = {}, odd = {}, acc;
    for (int k = 0; k < 16; ++k) {
      const uint32_t a = tiles.row[A][m][k];
      const TileFloats x = even + model_half(a << 16) * low[k], y = odd + model_half(a & 0xffff0000u) * high[k];
      even = MODEL_FLUSH(x), odd = MODEL_FLUSH(y);
    }
    memcpy(&acc, tiles.row[C][m], sizeof acc);
    const TileFloats sum = even + odd, total = MODEL_FLUSH(acc) + MODEL_FLUSH(sum);
    acc = MODEL_FLUSH(total);
    memcpy(tiles.row[C][m], &acc, sizeof acc);
  }
}

#define TILE_ZERO(t) tile_zero<t>()
#define TILE_LOAD(t, p, stride_bytes) tile_load<t>(p, stride_bytes)
#define TILE_STORE(t, p, stride_bytes) tile_store<t>(p, stride_bytes)
#define TILE_DOT(c, a, b) tile_dot_bf16<c, a, b>()
