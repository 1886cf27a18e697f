// 16 f32 lanes in plain C++: the portable fallback, for any CPU. The compiler maps the loops to what the baseline has.
struct V {
  float l[16];
};
struct VI {
  int32_t l[16];
};
static constexpr int W = 16;

#define HB_LANES for (int i = 0; i < 16; ++i)
static inline V load(const float* p) {
  V r;
  memcpy(r.l, p, sizeof r.l);
  return r;
}
static inline V load_n(const float* p, int n) {
  V r = {};
  for (int i = 0; i < n; ++i) r.l[i] = p[i];
  return r;
}
static inline void store(float* p, V v) { memcpy(p, v.l, sizeof v.l); }
static inline void store_n(float* p, V v, int n) {
  for (int i = 0; i < n; ++i) p[i] = v.l[i];
}
static inline V set1(float x) {
  V r;
  HB_LANES r.l[i] = x;
  return r;
}
static inline V zero() { return set1(0); }
#define HB_MAP2(name, expression)      \
  static inline V name(V x, V y) {     \
    V r;                               \
    HB_LANES {                         \
      const float a = x.l[i], b = y.l[i]; \
      r.l[i] = expression;             \
    }                                  \
    return r;                          \
  }
HB_MAP2(add, a + b)
HB_MAP2(sub, a - b)
HB_MAP2(mul, a* b)
HB_MAP2(div, a / b)
HB_MAP2(vmax, a > b ? a : b)  // as the vector instructions: b when either is NaN
HB_MAP2(vmin, a < b ? a : b)
#undef HB_MAP2
static inline V vsqrt(V x) {
  HB_LANES x.l[i] = __builtin_sqrtf(x.l[i]);
  return x;
}
/// Always fused: noise must have the same bits everywhere. Slow here (a library call without FMA hardware).
static inline V fma(V x, V y, V z) {
  V r;
  HB_LANES r.l[i] = __builtin_fmaf(x.l[i], y.l[i], z.l[i]);
  return r;
}
/// Multiply and add, fused only where that is one instruction: not here.
static inline V mac(V x, V y, V z) {
  V r;
  HB_LANES r.l[i] = x.l[i] * y.l[i] + z.l[i];
  return r;
}

static inline float widen(uint16_t h) {
  const uint32_t u = static_cast<uint32_t>(h) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline uint16_t narrow(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40u);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
static inline V load_bf16(const uint16_t* p) {
  V r;
  HB_LANES r.l[i] = widen(p[i]);
  return r;
}
static inline V load_bf16_n(const uint16_t* p, int n) {
  V r = {};
  for (int i = 0; i < n; ++i) r.l[i] = widen(p[i]);
  return r;
}
static inline void store_bf16_n(uint16_t* p, V v, int n) {
  for (int i = 0; i < n; ++i) p[i] = narrow(v.l[i]);
}
static inline void store_bf16(uint16_t* p, V v) { store_bf16_n(p, v, 16); }
/// Even and odd elements of 16 bf16 pairs.
static inline void load_pairs(const uint16_t* p, V& even, V& odd) {
  HB_LANES even.l[i] = widen(p[2 * i]), odd.l[i] = widen(p[2 * i + 1]);
}

/// Rounds to nearest even, by the 1.5 * 2^23 trick: |v| must stay below 2^22.
static inline VI to_int(V v) {
  VI r;
  HB_LANES {
    const float shifted = v.l[i] + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, 4);
    r.l[i] = bits - 0x4B400000;
  }
  return r;
}
static inline V to_float(VI v) {
  V r;
  HB_LANES r.l[i] = static_cast<float>(v.l[i]);
  return r;
}
static inline VI as_int(V v) {
  VI r;
  memcpy(&r, &v, sizeof r);
  return r;
}
static inline V as_float(VI v) {
  V r;
  memcpy(&r, &v, sizeof r);
  return r;
}
static inline VI iset1(int x) {
  VI r;
  HB_LANES r.l[i] = x;
  return r;
}
static inline VI iload(const void* p) {
  VI r;
  memcpy(r.l, p, sizeof r.l);
  return r;
}
static inline void istore(void* p, VI v) { memcpy(p, v.l, sizeof v.l); }
#define HB_MAP2(name, op)                                                                                 \
  static inline VI name(VI x, VI y) {                                                                     \
    VI r;                                                                                                 \
    HB_LANES r.l[i] = static_cast<int32_t>(static_cast<uint32_t>(x.l[i]) op static_cast<uint32_t>(y.l[i])); \
    return r;                                                                                             \
  }
HB_MAP2(iadd, +)
HB_MAP2(isub, -)
HB_MAP2(iand, &)
HB_MAP2(ior, |)
HB_MAP2(ixor, ^)
#undef HB_MAP2
template <int N>
static inline VI shl(VI x) {
  HB_LANES x.l[i] = static_cast<int32_t>(static_cast<uint32_t>(x.l[i]) << N);
  return x;
}
template <int N>
static inline VI shr(VI x) {  // logical
  HB_LANES x.l[i] = static_cast<int32_t>(static_cast<uint32_t>(x.l[i]) >> N);
  return x;
}
/// 32 x 32 -> 64 bit products of every lane: low and high halves.
static inline void mul_wide(VI x, VI y, VI& lo, VI& hi) {
  HB_LANES {
    const uint64_t p = static_cast<uint64_t>(static_cast<uint32_t>(x.l[i])) * static_cast<uint32_t>(y.l[i]);
    lo.l[i] = static_cast<int32_t>(static_cast<uint32_t>(p)), hi.l[i] = static_cast<int32_t>(static_cast<uint32_t>(p >> 32));
  }
}
static inline V select_lt(V x, V y, V yes, V no) {
  V r;
  HB_LANES r.l[i] = x.l[i] < y.l[i] ? yes.l[i] : no.l[i];
  return r;
}
#undef HB_LANES
