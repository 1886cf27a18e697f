// Counter-based noise, 64 draws at a time: 16 Philox counters, one per lane, four words each.

/// Philox4x32-10 on 16 counters (c0 per lane, c1, c2, 0) under one key: see core/noise.h.
static inline void philox16(uint32_t key0, uint32_t key1, VI c0, uint32_t c1_, uint32_t c2_, VI word[4]) {
  VI c1 = iset1(static_cast<int>(c1_)), c2 = iset1(static_cast<int>(c2_)), c3 = iset1(0);
  const VI m0 = iset1(static_cast<int>(0xD2511F53u)), m1 = iset1(static_cast<int>(0xCD9E8D57u));
  for (int round = 0; round < 10; ++round) {
    VI lo0, hi0, lo1, hi1;
    mul_wide(c0, m0, lo0, hi0);
    mul_wide(c2, m1, lo1, hi1);
    c0 = ixor(ixor(hi1, c1), iset1(static_cast<int>(key0)));
    c2 = ixor(ixor(hi0, c3), iset1(static_cast<int>(key1)));
    c1 = lo1, c3 = lo0;
    key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}

/// 0, 1, .. 15
static inline VI lane_index() {
  static const int32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return iload(lanes);
}

#define HB_NOISE static inline
#include "core/noise_math.inl"
#undef HB_NOISE

/// The four vectors of 16 counters become 64 draws in the order of their numbers.
static inline void interleave(const V lane[4], float* out) {
  float t[4][16];
  for (int j = 0; j < 4; ++j) store(t[j], lane[j]);
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 4; ++j) out[4 * i + j] = t[j][i];
}

/// 64 normal draws from counter `block` on.
static inline void normals64(const NoiseKey& key, uint32_t block, float* out) {
  VI w[4];
  philox16(key.seed[0], key.seed[1], iadd(iset1(static_cast<int>(block)), lane_index()), key.position, key.purpose, w);
  V z[4];
  normals_of(w, z);
  interleave(z, out);
}

template <class T>
static void normal_run_of(const NoiseKey& key, int64_t first, float mean, float deviation, T* out, int64_t n) {
  for (int64_t i = 0; i < n; i += 64) {
    float z[64];
    normals64(key, static_cast<uint32_t>((first + i) / 4), z);
    for (int j = 0; j < 64 && i + j < n; j += W)
      store_part(out + i + j, fma(load(z + j), set1(deviation), set1(mean)), n - i - j < W ? static_cast<int>(n - i - j) : W);
  }
}

/// Draws first .. first + n - 1, `first` a multiple of 4: mean + deviation * normal.
static void normal_run(const NoiseKey& key, int64_t first, float mean, float deviation, int bf16, void* out, int64_t n) {
  return bf16 ? normal_run_of(key, first, mean, deviation, static_cast<uint16_t*>(out), n)
              : normal_run_of(key, first, mean, deviation, static_cast<float*>(out), n);
}
