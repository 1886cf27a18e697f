// Row norms. Two passes over a row: sums in f32 per lane, lanes in a fixed tree.

template <class T, class G>
static void rms_norm_row_of(const void* x_, const void* residual_, const void* weight_, void* out_, void* sum_, int64_t d, float eps) {
  const T *x = static_cast<const T*>(x_), *residual = static_cast<const T*>(residual_);
  const G* weight = static_cast<const G*>(weight_);
  T *out = static_cast<T*>(out_), *sum = static_cast<T*>(sum_);
  V squares = zero();
  for (int64_t i = 0; i < d; i += W) {
    const int n = d - i < W ? static_cast<int>(d - i) : W;
    V h = load_as_n(x + i, n);
    if (residual) {
      store_as_n(sum + i, add(h, load_as_n(residual + i, n)), n);
      h = load_as_n(sum + i, n);  // normalise what was stored, so that a later reader of `sum` sees the same rows
    }
    squares = mac(h, h, squares);
  }
  const float scale = 1.0f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(d) + eps);
  const T* h = residual ? sum : x;
  for (int64_t i = 0; i < d; i += W) {
    const int n = d - i < W ? static_cast<int>(d - i) : W;
    store_as_n(out + i, mul(mul(load_as_n(h + i, n), set1(scale)), load_as_n(weight + i, n)), n);
  }
}

static void rms_norm_row(int types, const void* x, const void* residual, const void* weight, void* out, void* sum, int64_t d, float eps) {
  switch (types) {
    case 0: return rms_norm_row_of<float, float>(x, residual, weight, out, sum, d, eps);
    case kSecondBf16: return rms_norm_row_of<float, uint16_t>(x, residual, weight, out, sum, d, eps);
    case kFirstBf16: return rms_norm_row_of<uint16_t, float>(x, residual, weight, out, sum, d, eps);
    default: return rms_norm_row_of<uint16_t, uint16_t>(x, residual, weight, out, sum, d, eps);
  }
}

/// Without a weight the head is rotated only.
template <class T, class G>
static void norm_rope_head_of(const void* x_, const void* weight_, const float* rope, int64_t d, float eps, float* out) {
  const T* x = static_cast<const T*>(x_);
  const G* weight = static_cast<const G*>(weight_);
  V scale = set1(1.0f);
  if (weight) {
    V squares = zero();
    for (int64_t i = 0; i < d; i += W) {
      const int n = d - i < W ? static_cast<int>(d - i) : W;
      const V h = load_as_n(x + i, n);
      squares = mac(h, h, squares);
    }
    scale = set1(1.0f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(d) + eps));
  }
  const int64_t half = d / 2;
  for (int64_t i = 0; i < half; i += W) {
    const int n = half - i < W ? static_cast<int>(half - i) : W;
    V a = load_as_n(x + i, n), b = load_as_n(x + half + i, n);
    if (weight) {
      a = mul(mul(a, scale), load_as_n(weight + i, n));
      b = mul(mul(b, scale), load_as_n(weight + half + i, n));
    }
    const V c = load_n(rope + i, n), s = load_n(rope + half + i, n);
    store_n(out + i, sub(mul(a, c), mul(b, s)), n);
    store_n(out + half + i, add(mul(b, c), mul(a, s)), n);
  }
}

static void norm_rope_head(int types, const void* x, const void* weight, const float* rope, int64_t d, float eps, float* out) {
  switch (types) {
    case 0: return norm_rope_head_of<float, float>(x, weight, rope, d, eps, out);
    case kSecondBf16: return norm_rope_head_of<float, uint16_t>(x, weight, rope, d, eps, out);
    case kFirstBf16: return norm_rope_head_of<uint16_t, float>(x, weight, rope, d, eps, out);
    default: return norm_rope_head_of<uint16_t, uint16_t>(x, weight, rope, d, eps, out);
  }
}

static void widen_row(const void* x, float* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    store_n(out + i, load_bf16_n(static_cast<const uint16_t*>(x) + i, m), m);
  }
}

static void narrow_row(const float* x, void* out, int64_t n) {
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    store_bf16_n(static_cast<uint16_t*>(out) + i, load_n(x + i, m), m);
  }
}

template <class T, class G>
static void layer_norm_row_of(const void* x_, const void* weight_, const void* bias_, void* out_, int64_t d, float eps) {
  const T* x = static_cast<const T*>(x_);
  const G *weight = static_cast<const G*>(weight_), *bias = static_cast<const G*>(bias_);
  T* out = static_cast<T*>(out_);
  V sum = zero(), squares = zero();
  for (int64_t i = 0; i < d; i += W) sum = add(sum, load_part(x + i, d - i < W ? static_cast<int>(d - i) : W));
  const V mean = set1(reduce_add(sum) / static_cast<float>(d));
  for (int64_t i = 0; i < d; i += W) {
    const int n = d - i < W ? static_cast<int>(d - i) : W;
    V h = sub(load_part(x + i, n), mean);
    if (n < W) h = first_lanes(h, n);
    squares = mac(h, h, squares);
  }
  const V scale = set1(1.0f / __builtin_sqrtf(reduce_add(squares) / static_cast<float>(d) + eps));
  for (int64_t i = 0; i < d; i += W) {
    const int n = d - i < W ? static_cast<int>(d - i) : W;
    const V h = mul(sub(load_part(x + i, n), mean), scale);
    store_part(out + i, mac(h, load_part(weight + i, n), load_part(bias + i, n)), n);
  }
}

static void layer_norm_row(int types, const void* x, const void* weight, const void* bias, void* out, int64_t d, float eps) {
  switch (types) {
    case 0: return layer_norm_row_of<float, float>(x, weight, bias, out, d, eps);
    case kSecondBf16: return layer_norm_row_of<float, uint16_t>(x, weight, bias, out, d, eps);
    case kFirstBf16: return layer_norm_row_of<uint16_t, float>(x, weight, bias, out, d, eps);
    default: return layer_norm_row_of<uint16_t, uint16_t>(x, weight, bias, out, d, eps);
  }
}

/// Per channel: about the mean of the pixels, and the sums of the distances to it and of their squares. The first sum says how
/// far off the mean is: f32 sums of values far from zero lose bits, sums of distances do not.
template <class T, int C>
static inline void channel_moments_block(const T* x, int64_t pixels, int64_t channels, int n, float* mean, float* sum, float* squares) {
  V m[C], s[C], q[C];
  for (int c = 0; c < C; ++c) m[c] = s[c] = q[c] = zero();
  for (int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < C; ++c) m[c] = add(m[c], load_part(x + p * channels + c * W, c + 1 < C ? W : n));
  for (int c = 0; c < C; ++c) m[c] = div(m[c], set1(static_cast<float>(pixels)));
  for (int64_t p = 0; p < pixels; ++p)
    for (int c = 0; c < C; ++c) {
      const V h = sub(load_part(x + p * channels + c * W, c + 1 < C ? W : n), m[c]);
      s[c] = add(s[c], h);
      q[c] = mac(h, h, q[c]);
    }
  for (int c = 0; c < C; ++c) {
    const int k = c + 1 < C ? W : n;
    store_part(mean + c * W, m[c], k), store_part(sum + c * W, s[c], k), store_part(squares + c * W, q[c], k);
  }
}

template <class T>
static void channel_moments_of(const void* x_, int64_t pixels, int64_t channels, float* mean, float* sum, float* squares) {
  const T* x = static_cast<const T*>(x_);
  int64_t c = 0;
  for (; c + 4 * W <= channels; c += 4 * W) channel_moments_block<T, 4>(x + c, pixels, channels, W, mean + c, sum + c, squares + c);
  for (; c < channels; c += W)
    channel_moments_block<T, 1>(x + c, pixels, channels, channels - c < W ? static_cast<int>(channels - c) : W, mean + c, sum + c, squares + c);
}

static void channel_moments(int bf16, const void* x, int64_t pixels, int64_t channels, float* mean, float* sum, float* squares) {
  return bf16 ? channel_moments_of<uint16_t>(x, pixels, channels, mean, sum, squares)
              : channel_moments_of<float>(x, pixels, channels, mean, sum, squares);
}

template <class T, int Swish>
static void group_norm_pixels_of(const GroupNormPixels& g) {
  const T* x = static_cast<const T*>(g.x);
  T* out = static_cast<T*>(g.out);
  for (int64_t p = 0; p < g.pixels; ++p, x += g.channels, out += g.channels)
    for (int64_t c = 0; c < g.channels; c += W) {
      const int n = g.channels - c < W ? static_cast<int>(g.channels - c) : W;
      const V h = sub(load_part(x + c, n), load_part(g.mean + c, n));
      const V y = mac(h, load_part(g.scale + c, n), load_part(g.bias + c, n));
      store_part(out + c, Swish ? vsilu(y) : y, n);
    }
}

static void group_norm_pixels(const GroupNormPixels& g) {
  if (g.bf16) return g.swish ? group_norm_pixels_of<uint16_t, 1>(g) : group_norm_pixels_of<uint16_t, 0>(g);
  return g.swish ? group_norm_pixels_of<float, 1>(g) : group_norm_pixels_of<float, 0>(g);
}
