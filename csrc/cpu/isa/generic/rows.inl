// Row functions of the lookups and of the denoising update.

template <class T, class A, class B>
static void add_rows_of(const void* x_, const void* table_, const void* table2_, void* out_, int64_t d) {
  const T* x = static_cast<const T*>(x_);
  const A* table = static_cast<const A*>(table_);
  const B* table2 = static_cast<const B*>(table2_);
  T* out = static_cast<T*>(out_);
  for (int64_t i = 0; i < d; i += W) {
    const int n = d - i < W ? static_cast<int>(d - i) : W;
    V h = load_part(x + i, n);
    if (table2) h = add(h, load_part(table2 + i, n));
    store_part(out + i, add(h, load_part(table + i, n)), n);
  }
}

/// out = (x + table2) + table in f32; types: x and out, table, table2. table2 may be null.
static void add_rows(int types, const void* x, const void* table, const void* table2, void* out, int64_t d) {
  switch (types) {
    case 0: return add_rows_of<float, float, float>(x, table, table2, out, d);
    case 1: return add_rows_of<uint16_t, float, float>(x, table, table2, out, d);
    case 2: return add_rows_of<float, uint16_t, float>(x, table, table2, out, d);
    case 3: return add_rows_of<uint16_t, uint16_t, float>(x, table, table2, out, d);
    case 4: return add_rows_of<float, float, uint16_t>(x, table, table2, out, d);
    case 5: return add_rows_of<uint16_t, float, uint16_t>(x, table, table2, out, d);
    case 6: return add_rows_of<float, uint16_t, uint16_t>(x, table, table2, out, d);
    default: return add_rows_of<uint16_t, uint16_t, uint16_t>(x, table, table2, out, d);
  }
}

/// |v| / (|h| + 1e-8) within [low, 1], from sums of squares.
static inline float renorm_factor(float v, float h, float low) {
  const float ratio = __builtin_sqrtf(v) / (__builtin_sqrtf(h) + 1e-8f);
  const float raised = ratio < low ? low : ratio;
  return raised > 1.0f ? 1.0f : raised;
}

/// toward + scale (x - toward)
static inline V extrapolate(V x, V toward, V scale) { return mac(scale, sub(x, toward), toward); }

static inline V lanes_below(V v, int n) { return n == W ? v : first_lanes(v, n); }

/// One row of classifier-free guidance: see GuidedRow. The text step, its norm and the image step run in L1.
static void guide_row(const GuidedRow& g) {
  const V text = set1(g.text_scale), image = set1(g.image_scale);
  V own = zero(), other = zero();
  for (int64_t i = 0; i < g.d; i += W) {
    const int n = g.d - i < W ? static_cast<int>(g.d - i) : W;
    const V v = load_part(g.v + i, n);
    V h = extrapolate(v, load_part(g.v_text + i, n), text);
    if (g.v_image && !g.image_last) h = extrapolate(h, load_part(g.v_image + i, n), image);
    store_part(g.out + i, h, n);
    const V a = lanes_below(v, n), b = lanes_below(h, n);
    own = mac(a, a, own);
    other = mac(b, b, other);
  }
  const float squares[2] = {reduce_add(own), reduce_add(other)};
  if (g.squares) {
    g.squares[0] = squares[0], g.squares[1] = squares[1];
    return;
  }
  const V factor = set1(renorm_factor(squares[0], squares[1], g.renorm_min));
  for (int64_t i = 0; i < g.d; i += W) {
    const int n = g.d - i < W ? static_cast<int>(g.d - i) : W;
    V h = mul(load_part(g.out + i, n), factor);
    if (g.v_image && g.image_last) h = extrapolate(h, load_part(g.v_image + i, n), image);
    store_part(g.out + i, h, n);
  }
}

/// velocity = factor u; denoised = x - time velocity; x = p x + q velocity + w previous + r noise; previous = velocity.
/// u may be velocity; previous, noise and denoised may be null.
static void solver_row(const SolverRow& s) {
  const V factor = set1(s.factor);
  for (int64_t i = 0; i < s.d; i += W) {
    const int n = s.d - i < W ? static_cast<int>(s.d - i) : W;
    const V u = mul(load_part(s.u + i, n), factor), before = load_part(s.x + i, n);
    V x = mac(set1(s.q), u, mul(set1(s.p), before));
    if (s.previous) x = mac(set1(s.w), load_part(s.previous + i, n), x);
    if (s.noise) x = mac(set1(s.r), load_part(s.noise + i, n), x);
    store_part(s.x + i, x, n);
    store_part(s.velocity + i, u, n);
    if (s.previous) store_part(s.previous + i, u, n);
    if (s.denoised) store_part(s.denoised + i, mac(set1(-s.time), u, before), n);
  }
}
