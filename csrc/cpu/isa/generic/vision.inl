// Row functions of the image ops.

/// s becomes e^(scale * s - max); returns 1 / sum. Sums in 16 lanes, lanes in a fixed tree: the bits depend on these n scores.
static float softmax_row(float* s, int64_t n, float scale) {
  const float in_base_2 = scale * kLog2E;
  V max = set1(-__builtin_inff());
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    const V v = mul(load_part(s + i, m), set1(in_base_2));
    store_part(s + i, v, m);
    if (m == W) {
      max = vmax(v, max);
    } else {
      float t[W];
      store(t, max);
      store_n(t, vmax(v, max), m);
      max = load(t);
    }
  }
  const V top = set1(reduce_max(max));
  V sum = zero();
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    const V e = vexp2_weight(sub(load_part(s + i, m), top));
    store_part(s + i, e, m);
    sum = add(sum, m == W ? e : first_lanes(e, m));
  }
  return 1.0f / reduce_add(sum);
}

template <class T, class O>
static void affine_row_of(const void* x_, void* out_, int64_t n, float scale, float shift) {
  const T* x = static_cast<const T*>(x_);
  O* out = static_cast<O*>(out_);
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    store_part(out + i, mac(load_part(x + i, m), set1(scale), set1(shift)), m);
  }
}

/// out = x * scale + shift
static void affine_row(int types, const void* x, void* out, int64_t n, float scale, float shift) {
  switch (types) {
    case 0: return affine_row_of<float, float>(x, out, n, scale, shift);
    case kSecondBf16: return affine_row_of<float, uint16_t>(x, out, n, scale, shift);
    case kFirstBf16: return affine_row_of<uint16_t, float>(x, out, n, scale, shift);
    default: return affine_row_of<uint16_t, uint16_t>(x, out, n, scale, shift);
  }
}

template <class T>
static void latent_row_of(const void* mean_, const void* logvar_, const void* noise_, void* out_, int64_t n, float scale, float shift) {
  const T *mean = static_cast<const T*>(mean_), *logvar = static_cast<const T*>(logvar_), *noise = static_cast<const T*>(noise_);
  T* out = static_cast<T*>(out_);
  for (int64_t i = 0; i < n; i += W) {
    const int m = n - i < W ? static_cast<int>(n - i) : W;
    V z = load_part(mean + i, m);
    if (noise) z = mac(vexp(mul(load_part(logvar + i, m), set1(0.5f))), load_part(noise + i, m), z);
    store_part(out + i, mul(sub(z, set1(shift)), set1(scale)), m);
  }
}

/// out = scale * (mean + e^(logvar / 2) * noise - shift); noise may be null
static void latent_row(int bf16, const void* mean, const void* logvar, const void* noise, void* out, int64_t n, float scale, float shift) {
  return bf16 ? latent_row_of<uint16_t>(mean, logvar, noise, out, n, scale, shift)
              : latent_row_of<float>(mean, logvar, noise, out, n, scale, shift);
}
