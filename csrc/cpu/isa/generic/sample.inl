// Passes over a row of logits. `n` logits of ids from `first` on, `first` a multiple of 64.

/// Largest non-NaN logit of every 64 ids; -inf where there is none. Returns 1 if any logit is NaN or +inf.
static int chunk_max(const float* x, int64_t n, float* max) {
  const V inf = set1(__builtin_inff());
  V bad = zero();
  for (int64_t c = 0; c < n; c += 64) {
    V m = set1(-__builtin_inff());
    for (int64_t i = c; i < c + 64 && i < n; i += W) {
      const int k = n - i < W ? static_cast<int>(n - i) : W;
      V v;
      if (k == W) {
        v = load(x + i);
      } else {
        float t[W];
        store(t, m);
        for (int j = 0; j < k; ++j) t[j] = x[i + j];
        v = load(t);
      }
      m = vmax(v, m);  // m where v is NaN
      bad = vmax(select_lt(v, inf, zero(), set1(1.0f)), bad);
    }
    max[c / 64] = reduce_max(m);
  }
  return reduce_max(bad) > 0;
}

/// Sum of e^((x - m) / t), and the count, of logits above `pivot` (at or above it when `inclusive`). Blocks of 1024 ids are
/// summed in f32 lanes and a fixed tree, blocks in order in double.
static void mass_above(const float* x, int64_t n, float m, float t, float pivot, int inclusive, double* mass, int64_t* count) {
  const V vm = set1(m), vt = set1(t), vp = set1(pivot), one = set1(1.0f);
  double total = 0, number = 0;
  for (int64_t b = 0; b < n; b += 1024) {
    V sum = zero(), kept = zero();
    for (int64_t i = b; i < b + 1024 && i < n; i += W) {
      const int k = n - i < W ? static_cast<int>(n - i) : W;
      const V v = load_part(x + i, k);
      V in = inclusive ? select_lt(v, vp, zero(), one) : select_lt(vp, v, one, zero());
      if (k < W) in = first_lanes(in, k);
      sum = fma(in, noise_exp(div(sub(v, vm), vt)), sum);
      kept = add(kept, in);
    }
    total += static_cast<double>(reduce_add(sum)), number += static_cast<double>(reduce_add(kept));
  }
  *mass = total, *count = static_cast<int64_t>(number);
}

/// Sorted in: larger values first, lower ids first among equals; ids come in rising order.
static inline void insert_best(SampleBest& best, float value, int32_t id) {
  int i = best.count < kSampleBest ? best.count++ : kSampleBest - 1;
  for (; i > 0 && best.value[i - 1] < value; --i) best.value[i] = best.value[i - 1], best.id[i] = best.id[i - 1];
  best.value[i] = value, best.id[i] = id;
}

/// G of 64 ids from a multiple of 64 on.
static inline void gumbels64(const NoiseKey& key, int64_t first, float* out) {
  VI w[4];
  philox16(key.seed[0], key.seed[1], iadd(iset1(static_cast<int>(first / 4)), lane_index()), key.position, key.purpose, w);
  V g[4];
  for (int j = 0; j < 4; ++j) g[j] = gumbel_of(w[j]);
  interleave(g, out);
}

/// The best few of (x - m) / t + G among ids with (x - m) / t >= floor.
static void gumbel_best(const NoiseKey& key, const float* x, const float* max, int64_t first, int64_t n, float m, float t, float floor,
                        SampleBest& best) {
  const float inf = __builtin_inff();
  const V vm = set1(m), vt = set1(t), vfloor = set1(floor);
  best.count = 0;
  for (int64_t c = 0; c < n; c += 64) {
    const float top = (max[c / 64] - m) / t;
    const float bar = best.count < kSampleBest ? -inf : best.value[kSampleBest - 1];
    if (!(top + 23.0f > bar) || top < floor) continue;  // G stays below 22.9
    float g[64];
    gumbels64(key, first + c, g);
    for (int64_t i = c; i < c + 64 && i < n; i += W) {
      const int k = n - i < W ? static_cast<int>(n - i) : W;
      const V d = div(sub(load_part(x + i, k), vm), vt);
      V v = select_lt(d, vfloor, set1(-inf), add(d, load(g + (i - c))));
      float value[W];
      store(value, v);
      if (k == W && !(reduce_max(v) > (best.count < kSampleBest ? -inf : best.value[kSampleBest - 1]))) continue;
      for (int j = 0; j < k; ++j)
        if (value[j] > (best.count < kSampleBest ? -inf : best.value[kSampleBest - 1]))
          insert_best(best, value[j], static_cast<int32_t>(first + i + j));
    }
  }
}

/// G of any ids.
static void gumbel_at(const NoiseKey& key, const int32_t* ids, int64_t n, float* out) {
  for (int64_t i = 0; i < n; i += W) {
    const int k = n - i < W ? static_cast<int>(n - i) : W;
    int32_t t[W] = {};
    for (int j = 0; j < k; ++j) t[j] = ids[i + j];
    const VI id = iload(t);
    VI w[4];
    philox16(key.seed[0], key.seed[1], shr<2>(id), key.position, key.purpose, w);
    VI word = iset1(0);
    for (int j = 0; j < 4; ++j) {
      const VI differs = isub(ixor(iand(id, iset1(3)), iset1(j)), iset1(1));  // -1 where it is word j
      word = ior(word, iand(w[j], isub(iset1(0), shr<31>(differs))));
    }
    store_part(out + i, gumbel_of(word), k);
  }
}
