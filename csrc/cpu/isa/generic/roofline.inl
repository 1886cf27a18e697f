// What the instruction set does at best: multiply-adds on registers alone, and reads that only add up. Twelve chains cover the
// latency of two FMA units; AVX2 and the portable vector fill their registers with fewer.
#if HB_TILE_ROWS > 2
static constexpr int kPeakChains = 12;
#else
static constexpr int kPeakChains = HB_TILE_ROWS == 1 ? 6 : 3;
#endif

static double peak_f32(int64_t rounds, float* sink) {
  V acc[kPeakChains];
  // towards 2 and no further: values stay normal, however long it runs
  const V half = set1(0.5f + *sink * 0), one = set1(1);
  for (int c = 0; c < kPeakChains; ++c) acc[c] = set1(static_cast<float>(c));
  for (int64_t i = 0; i < rounds; ++i)
    for (int c = 0; c < kPeakChains; ++c) acc[c] = mac(acc[c], half, one);
  V sum = zero();
  for (int c = 0; c < kPeakChains; ++c) sum = add(sum, acc[c]);
  float lanes[W];
  store(lanes, sum);
  *sink = lanes[0];
  return 2.0 * W * kPeakChains * static_cast<double>(rounds);
}

#if defined(HB_TILE_DOT)
static double peak_dot(int64_t rounds, float* sink) {
  alignas(64) uint32_t ones[256];
  alignas(64) float out[256];
  for (int i = 0; i < 256; ++i) ones[i] = 0x3f803f80u;  // pairs of bf16 1.0
  TILE_LOAD(4, ones, 64);
  TILE_LOAD(5, ones, 64);
  TILE_LOAD(6, ones, 64);
  TILE_LOAD(7, ones, 64);
  TILE_ZERO(0);
  TILE_ZERO(1);
  TILE_ZERO(2);
  TILE_ZERO(3);
  for (int64_t i = 0; i < rounds; ++i) {
    TILE_DOT(0, 4, 6);
    TILE_DOT(1, 4, 7);
    TILE_DOT(2, 5, 6);
    TILE_DOT(3, 5, 7);
  }
  TILE_STORE(0, out, 64);
  *sink = out[0];
  return 4.0 * 2 * 16 * 16 * 32 * static_cast<double>(rounds);
}
#elif defined(HB_DOT_PAIRS)
static double peak_dot(int64_t rounds, float* sink) {
  V acc[kPeakChains];
  const VI ones = iset1(0x3f803f80 + (*sink > 1e30f ? 1 : 0));  // pairs of bf16 1.0
  for (int c = 0; c < kPeakChains; ++c) acc[c] = zero();
  for (int64_t i = 0; i < rounds; ++i)
    for (int c = 0; c < kPeakChains; ++c) acc[c] = dot_pairs(acc[c], ones, ones);
  V sum = zero();
  for (int c = 0; c < kPeakChains; ++c) sum = add(sum, acc[c]);
  float lanes[W];
  store(lanes, sum);
  *sink = lanes[0];
  return 4.0 * W * kPeakChains * static_cast<double>(rounds);
}
#else
static double peak_dot(int64_t, float*) { return 0; }
#endif

/// Adds up n floats, a multiple of 256, in four streams of consecutive cache lines, as the panels of a matrix product are read.
static float read_all(const float* p, int64_t n) {
  V acc[4];
  for (int s = 0; s < 4; ++s) acc[s] = zero();
  const int64_t part = n / 4;
  for (int64_t i = 0; i < part; i += W)
    for (int s = 0; s < 4; ++s) acc[s] = add(acc[s], load(p + s * part + i));
  float lanes[W];
  store(lanes, add(add(acc[0], acc[1]), add(acc[2], acc[3])));
  return lanes[0];
}
