// Arithmetic built on the 16-lane vectors. Every reduction has one fixed order, so results do not depend on who calls.

template <class T>
static inline V load_as(const T* p) {
  if constexpr (sizeof(T) == 4)
    return load(reinterpret_cast<const float*>(p));
  else
    return load_bf16(reinterpret_cast<const uint16_t*>(p));
}
template <class T>
static inline V load_as_n(const T* p, int n) {
  if constexpr (sizeof(T) == 4)
    return load_n(reinterpret_cast<const float*>(p), n);
  else
    return load_bf16_n(reinterpret_cast<const uint16_t*>(p), n);
}
template <class T>
static inline void store_as(T* p, V v) {
  if constexpr (sizeof(T) == 4)
    store(reinterpret_cast<float*>(p), v);
  else
    store_bf16(reinterpret_cast<uint16_t*>(p), v);
}
template <class T>
static inline void store_as_n(T* p, V v, int n) {
  if constexpr (sizeof(T) == 4)
    store_n(reinterpret_cast<float*>(p), v, n);
  else
    store_bf16_n(reinterpret_cast<uint16_t*>(p), v, n);
}

/// Whole vectors take the plain instruction: masked bf16 accesses are slow without AVX-512.
template <class T>
static inline V load_part(const T* p, int n) {
  return n == W ? load_as(p) : load_as_n(p, n);
}
template <class T>
static inline void store_part(T* p, V v, int n) {
  n == W ? store_as(p, v) : store_as_n(p, v, n);
}
/// Lanes at or beyond n become zero.
static inline V first_lanes(V v, int n) {
  float t[W] = {};
  store_n(t, v, n);
  return load(t);
}

#ifndef HB_REDUCE_ADD
/// ((lane 0 + 8) + (4 + 12)) ... : a fixed tree.
static inline float reduce_add(V v) {
  float t[16];
  store(t, v);
  for (int step = 8; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) t[i] += t[i + step];
  return t[0];
}
#endif
static inline float reduce_max(V v) {
  float t[16];
  store(t, v);
  float m = t[0];
  for (int i = 1; i < 16; ++i) m = t[i] > m ? t[i] : m;
  return m;
}

static constexpr float kLog2E = 1.44269504088896341f;

/// e^x with about 2 ulp; NaN stays NaN (min and max return their second operand then); 0 below -87.33, largest finite result above 88.37. Cody-Waite reduction, degree-5 polynomial on
/// [-ln 2 / 2, ln 2 / 2] (coefficients of the Cephes library's expf).
static inline V vexp(V x) {
  const V low = set1(-87.336544f);
  const V clamped = vmin(set1(88.376259f), vmax(low, x));
  const VI n = to_int(mul(clamped, set1(kLog2E)));
  const V nf = to_float(n);
  V r = mac(nf, set1(-0.693359375f), clamped);
  r = mac(nf, set1(2.12194440e-4f), r);
  V p = set1(1.9875691500e-4f);
  p = mac(p, r, set1(1.3981999507e-3f));
  p = mac(p, r, set1(8.3334519073e-3f));
  p = mac(p, r, set1(4.1665795894e-2f));
  p = mac(p, r, set1(1.6666665459e-1f));
  p = mac(p, r, set1(5.0000001201e-1f));
  p = mac(p, mul(r, r), add(r, set1(1.0f)));
  const V scaled = mul(p, as_float(shl<23>(iadd(n, iset1(127)))));
  return select_lt(x, low, zero(), scaled);
}

/// Weights of a softmax: 2^x of what is not above 0, within 3 ulp; exactly 1 of 0, 0 below -126, NaN of NaN. 2^n times 2^f, |f| <= 1/2,
/// with n + 127 taken from the low bits of a sum with 1.5 * 2^23; coefficients from a minimax fit of the relative error (9e-8), the
/// constant one held at 1. In base 2, since whoever scales the scores can scale them by kLog2E more for nothing.
static inline V vexp2_weight(V x) {
  const V shift = set1(12582912.0f + 127.0f);
  const V shifted = add(x, shift);
  const V f = sub(x, sub(shifted, shift));
  V p = set1(1.326472731e-3f);
  p = mac(p, f, set1(9.671512991e-3f));
  p = mac(p, f, set1(5.550733581e-2f));
  p = mac(p, f, set1(2.402224243e-1f));
  p = mac(p, f, set1(6.931470037e-1f));
  p = mac(p, f, set1(1.0f));
  return select_lt(x, set1(-126.0f), zero(), mul(p, as_float(shl<23>(as_int(shifted)))));
}

/// 1 / (1 + e^-x)
static inline V vsigmoid(V x) { return div(set1(1.0f), add(set1(1.0f), vexp(sub(zero(), x)))); }
static inline V vsilu(V x) { return mul(x, vsigmoid(x)); }

/// 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3))
static inline V vgelu_tanh(V x) {
  const V cubic = mac(mul(mul(x, x), x), set1(0.044715f), x);
  return mul(x, vsigmoid(mul(cubic, set1(1.5957691216057308f))));
}
