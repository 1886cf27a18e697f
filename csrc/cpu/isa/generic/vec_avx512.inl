// 16 f32 lanes in one zmm register.
using V = __m512;
using VI = __m512i;
static constexpr int W = 16;

// Most vectors are whole: plain accesses, since masked stores take many times longer on some processors.
static inline __mmask16 tail(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
static inline V load(const float* p) { return _mm512_loadu_ps(p); }
static inline V load_n(const float* p, int n) { return n == W ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(tail(n), p); }
static inline void store(float* p, V v) { _mm512_storeu_ps(p, v); }
static inline void store_n(float* p, V v, int n) { n == W ? _mm512_storeu_ps(p, v) : _mm512_mask_storeu_ps(p, tail(n), v); }
static inline V set1(float x) { return _mm512_set1_ps(x); }
static inline V zero() { return _mm512_setzero_ps(); }
static inline V add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V sub(V a, V b) { return _mm512_sub_ps(a, b); }
static inline V mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V div(V a, V b) { return _mm512_div_ps(a, b); }
static inline V vmax(V a, V b) { return _mm512_max_ps(a, b); }
static inline V vmin(V a, V b) { return _mm512_min_ps(a, b); }
static inline V vsqrt(V a) { return _mm512_sqrt_ps(a); }
static inline V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
static inline V mac(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }

static inline V expand(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
static inline V load_bf16(const uint16_t* p) { return expand(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
static inline V load_bf16_n(const uint16_t* p, int n) { return n == W ? load_bf16(p) : expand(_mm256_maskz_loadu_epi16(tail(n), p)); }
static inline __m256i round_bf16(V v) {
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i r = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
  const __m512i q = _mm512_or_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(0x40));
  return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), r, q));
}
static inline void store_bf16(uint16_t* p, V v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round_bf16(v)); }
static inline void store_bf16_n(uint16_t* p, V v, int n) { n == W ? store_bf16(p, v) : _mm256_mask_storeu_epi16(p, tail(n), round_bf16(v)); }
/// Even and odd elements of 16 bf16 pairs.
static inline void load_pairs(const uint16_t* p, V& even, V& odd) {
  const __m512i u = _mm512_loadu_si512(p);
  even = _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
  odd = _mm512_castsi512_ps(_mm512_and_si512(u, _mm512_set1_epi32(static_cast<int>(0xffff0000u))));
}

static inline VI to_int(V v) { return _mm512_cvtps_epi32(v); }  // rounds to nearest even
static inline V to_float(VI v) { return _mm512_cvtepi32_ps(v); }
static inline VI as_int(V v) { return _mm512_castps_si512(v); }
static inline V as_float(VI v) { return _mm512_castsi512_ps(v); }
static inline VI iset1(int x) { return _mm512_set1_epi32(x); }
static inline VI iload(const void* p) { return _mm512_loadu_si512(p); }
static inline void istore(void* p, VI v) { _mm512_storeu_si512(p, v); }
static inline VI iadd(VI a, VI b) { return _mm512_add_epi32(a, b); }
static inline VI isub(VI a, VI b) { return _mm512_sub_epi32(a, b); }
static inline VI iand(VI a, VI b) { return _mm512_and_si512(a, b); }
static inline VI ior(VI a, VI b) { return _mm512_or_si512(a, b); }
static inline VI ixor(VI a, VI b) { return _mm512_xor_si512(a, b); }
template <int N>
static inline VI shl(VI a) {
  return _mm512_slli_epi32(a, N);
}
template <int N>
static inline VI shr(VI a) {  // logical
  return _mm512_srli_epi32(a, N);
}
/// 32 x 32 -> 64 bit products of every lane: low and high halves.
static inline void mul_wide(VI a, VI b, VI& lo, VI& hi) {
  const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), _mm512_srli_epi64(b, 32));
  lo = _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64(odd, 32));
  hi = _mm512_mask_blend_epi32(0xAAAA, _mm512_srli_epi64(even, 32), odd);
}
static inline V select_lt(V a, V b, V yes, V no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
#define HB_REDUCE_ADD
static inline float reduce_add(V v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
