// 16 f32 lanes in two ymm registers.
struct V {
  __m256 a, b;
};
struct VI {
  __m256i a, b;
};
static constexpr int W = 16;

static inline __m256i tail8(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline V load_n(const float* p, int n) {
  return {_mm256_maskload_ps(p, tail8(n)), n > 8 ? _mm256_maskload_ps(p + 8, tail8(n - 8)) : _mm256_setzero_ps()};
}
static inline void store(float* p, V v) { _mm256_storeu_ps(p, v.a), _mm256_storeu_ps(p + 8, v.b); }
static inline void store_n(float* p, V v, int n) {
  _mm256_maskstore_ps(p, tail8(n), v.a);
  if (n > 8) _mm256_maskstore_ps(p + 8, tail8(n - 8), v.b);
}
#define HB_MAP2(name, f) \
  static inline V name(V x, V y) { return {f(x.a, y.a), f(x.b, y.b)}; }
static inline V set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
HB_MAP2(add, _mm256_add_ps)
HB_MAP2(sub, _mm256_sub_ps)
HB_MAP2(mul, _mm256_mul_ps)
HB_MAP2(div, _mm256_div_ps)
HB_MAP2(vmax, _mm256_max_ps)
HB_MAP2(vmin, _mm256_min_ps)
#undef HB_MAP2
static inline V vsqrt(V x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
static inline V fma(V x, V y, V z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
static inline V mac(V x, V y, V z) { return fma(x, y, z); }

static inline __m256 expand8(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
static inline V load_bf16(const uint16_t* p) {
  return {expand8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          expand8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
static inline V load_bf16_n(const uint16_t* p, int n) {
  uint16_t t[16] = {};
  for (int i = 0; i < n; ++i) t[i] = p[i];
  return load_bf16(t);
}
static inline __m256i round_bf16(__m256 v) {
  const __m256i u = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i r = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
  const __m256i q = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(r, q, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}
static inline void store_bf16(uint16_t* p, V v) {
  const __m256i packed = _mm256_packus_epi32(round_bf16(v.a), round_bf16(v.b));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}
static inline void store_bf16_n(uint16_t* p, V v, int n) {
  uint16_t t[16];
  store_bf16(t, v);
  for (int i = 0; i < n; ++i) p[i] = t[i];
}
/// Even and odd elements of 16 bf16 pairs.
static inline void load_pairs(const uint16_t* p, V& even, V& odd) {
  const __m256i lo = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i hi = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  even = {_mm256_castsi256_ps(_mm256_slli_epi32(lo, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(hi, 16))};
  odd = {_mm256_castsi256_ps(_mm256_and_si256(lo, mask)), _mm256_castsi256_ps(_mm256_and_si256(hi, mask))};
}

static inline VI to_int(V v) { return {_mm256_cvtps_epi32(v.a), _mm256_cvtps_epi32(v.b)}; }  // rounds to nearest even
static inline V to_float(VI v) { return {_mm256_cvtepi32_ps(v.a), _mm256_cvtepi32_ps(v.b)}; }
static inline VI as_int(V v) { return {_mm256_castps_si256(v.a), _mm256_castps_si256(v.b)}; }
static inline V as_float(VI v) { return {_mm256_castsi256_ps(v.a), _mm256_castsi256_ps(v.b)}; }
static inline VI iset1(int x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
static inline VI iload(const void* p) {
  auto* q = static_cast<const __m256i*>(p);
  return {_mm256_loadu_si256(q), _mm256_loadu_si256(q + 1)};
}
static inline void istore(void* p, VI v) {
  auto* q = static_cast<__m256i*>(p);
  _mm256_storeu_si256(q, v.a), _mm256_storeu_si256(q + 1, v.b);
}
#define HB_MAP2(name, f) \
  static inline VI name(VI x, VI y) { return {f(x.a, y.a), f(x.b, y.b)}; }
HB_MAP2(iadd, _mm256_add_epi32)
HB_MAP2(isub, _mm256_sub_epi32)
HB_MAP2(iand, _mm256_and_si256)
HB_MAP2(ior, _mm256_or_si256)
HB_MAP2(ixor, _mm256_xor_si256)
#undef HB_MAP2
template <int N>
static inline VI shl(VI x) {
  return {_mm256_slli_epi32(x.a, N), _mm256_slli_epi32(x.b, N)};
}
template <int N>
static inline VI shr(VI x) {  // logical
  return {_mm256_srli_epi32(x.a, N), _mm256_srli_epi32(x.b, N)};
}
static inline void mul_wide8(__m256i a, __m256i b, __m256i& lo, __m256i& hi) {
  const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32));
  lo = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
  hi = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
}
/// 32 x 32 -> 64 bit products of every lane: low and high halves.
static inline void mul_wide(VI x, VI y, VI& lo, VI& hi) { mul_wide8(x.a, y.a, lo.a, hi.a), mul_wide8(x.b, y.b, lo.b, hi.b); }
static inline V select_lt(V x, V y, V yes, V no) {
  return {_mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
          _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
