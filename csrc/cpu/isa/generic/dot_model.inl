// A software model of VDPBF16PS, for machines without it and for tests: two products, exact in f32, added one after the other,
// the odd element first; subnormal inputs and results count as zero (Intel SDM, "DPBF16PS").
static inline float flush(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  if ((u & 0x7f800000u) == 0) u &= 0x80000000u;
  memcpy(&f, &u, 4);
  return f;
}
static inline float flushed(uint32_t high_bits) {
  float f;
  memcpy(&f, &high_bits, 4);
  return flush(f);
}
static inline float dot_step(float acc, uint32_t a, uint32_t b) {
  const float odd = flush(flush(acc) + flushed(a & 0xffff0000u) * flushed(b & 0xffff0000u));
  return flush(odd + flushed(a << 16) * flushed(b << 16));
}
static inline V dot_pairs(V acc, VI a, VI b) {
  for (int i = 0; i < 16; ++i) acc.l[i] = dot_step(acc.l[i], static_cast<uint32_t>(a.l[i]), static_cast<uint32_t>(b.l[i]));
  return acc;
}
/// Pairs of two rows of 64 bf16: the elements of `even` in the low halves, those of `odd` in the high ones.
static inline void zip_64(const uint16_t* even, const uint16_t* odd, VI (&pairs)[4]) {
  for (int i = 0; i < 64; ++i) pairs[i / 16].l[i % 16] = static_cast<int32_t>(even[i] | static_cast<uint32_t>(odd[i]) << 16);
}
#define HB_DOT_PAIRS
