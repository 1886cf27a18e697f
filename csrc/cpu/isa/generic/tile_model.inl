// A software model of the AMX tile registers that linear_amx.inl uses: 8 tiles of 16 rows x 64 bytes. TDPBF16PS sums even and odd
// products apart over the whole tile depth, then adds their sum to the accumulator (Intel SDM); subnormals count as zero.
struct TileModel {
  uint32_t row[8][16][16];
};
static thread_local TileModel tiles;

static inline float model_flush(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  if ((u & 0x7f800000u) == 0) u &= 0x80000000u;
  memcpy(&f, &u, 4);
  return f;
}
static inline float model_half(uint32_t high_bits) {
  float f;
  memcpy(&f, &high_bits, 4);
  return model_flush(f);
}
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
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 16; ++n) {
      float even = 0, odd = 0, acc;
      for (int k = 0; k < 16; ++k) {
        const uint32_t a = tiles.row[A][m][k], b = tiles.row[B][k][n];
        even = model_flush(even + model_half(a << 16) * model_half(b << 16));
        odd = model_flush(odd + model_half(a & 0xffff0000u) * model_half(b & 0xffff0000u));
      }
      memcpy(&acc, &tiles.row[C][m][n], 4);
      acc = model_flush(model_flush(acc) + model_flush(even + odd));
      memcpy(&tiles.row[C][m][n], &acc, 4);
    }
}

#define TILE_ZERO(t) tile_zero<t>()
#define TILE_LOAD(t, p, stride_bytes) tile_load<t>(p, stride_bytes)
#define TILE_STORE(t, p, stride_bytes) tile_store<t>(p, stride_bytes)
#define TILE_DOT(c, a, b) tile_dot_bf16<c, a, b>()
