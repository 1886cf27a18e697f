// Maps of single values: dtypes, pixels, latents.
#include "cuda/element.h"

namespace hb::cuda {
namespace {

template <class T, class O, bool wide>
struct Convert {
  static constexpr int kStep = wide ? kWide : 1;
  O* out;
  const T* x;
  HB_DEVICE void operator()(int64_t i) const {
    float v[kStep];
    load_step<wide>(v, x + i * kStep);
    store_step<wide>(out + i * kStep, v);
  }
};

struct Normalize {
  float* out;
  const uint8_t* x;
  HB_DEVICE void operator()(int64_t i) const {
    out[i] = div_rn(sub_rn(div_rn(static_cast<float>(x[i]), 255.0f), 0.5f), 0.5f);
  }
};

template <class T>
struct Denormalize {
  uint8_t* out;
  const T* x;
  HB_DEVICE void operator()(int64_t i) const {
    float v = add_rn(mul_rn(widen(x[i]), 0.5f), 0.5f);
    v = v > 0.0f ? v : 0.0f;  // also catches NaN
    v = v < 1.0f ? v : 1.0f;
    out[i] = static_cast<uint8_t>(truncate_to_i32(mul_rn(v, 255.0f)));
  }
};

template <class T>
struct Latent {
  T* out;
  const T *moments, *noise;
  int channels;
  float scale, shift;
  HB_DEVICE void operator()(int64_t i) const {
    const T* mean = moments + i / channels * 2 * channels + i % channels;
    float z = widen(mean[0]);
    if (noise) z = fma_rn(exp_f32(mul_rn(widen(mean[channels]), 0.5f)), widen(noise[i]), z);
    out[i] = narrow<T>(mul_rn(sub_rn(z, shift), scale));
  }
};

/// `row`: one of the image; `column`: a value of it.
template <class T>
struct Unpatch {
  T* out;
  const T* x;
  int patch, patch_values, columns;
  float scale, shift;
  HB_DEVICE void operator()(int row, int column) const {
    const int64_t n = int64_t{row / patch} * columns + column / patch_values;
    const float v = widen(x[(n * patch + row % patch) * patch_values + column % patch_values]);
    out[int64_t{row} * columns * patch_values + column] = narrow<T>(fma_rn(v, scale, shift));
  }
};

}  // namespace

Status cast_cuda(const OpContext& cx, const Cast& a) {
  const int64_t n = a.x.elements();
  return with_types(a.x, a.out, [&](auto* t, auto* o) {
    using T = std::remove_reference_t<decltype(*t)>;
    using O = std::remove_reference_t<decltype(*o)>;
    if (n % kWide == 0 && aligned16(a.x, a.out))
      return each(cx, n / kWide, Convert<T, O, true>{a.out.as<O>(), a.x.as<T>()});
    return each(cx, n, Convert<T, O, false>{a.out.as<O>(), a.x.as<T>()});
  });
}

Status normalize_pixels_cuda(const OpContext& cx, const NormalizePixels& a) {
  return each(cx, a.x.elements(), Normalize{a.out.as<float>(), a.x.as<uint8_t>()});
}

Status denormalize_pixels_cuda(const OpContext& cx, const DenormalizePixels& a) {
  return with_type(a.x, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    return each(cx, a.x.elements(), Denormalize<T>{a.out.as<uint8_t>(), a.x.as<T>()});
  });
}

Status vae_latent_cuda(const OpContext& cx, const VaeLatent& a) {
  return with_type(a.out, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    return each(cx, a.out.elements(),
                Latent<T>{a.out.as<T>(), a.moments.as<T>(), a.noise ? a.noise.as<T>() : nullptr,
                          static_cast<int>(a.out.dims[2]), static_cast<float>(a.scale), static_cast<float>(a.shift)});
  });
}

Status unpatchify_cuda(const OpContext& cx, const Unpatchify& a) {
  return with_type(a.x, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    const int64_t columns = a.out.dims[1] / a.patch, values = a.patch * a.out.dims[2];
    return each_in_rows(
        cx, a.out.dims[0], columns * values,
        Unpatch<T>{a.out.as<T>(), a.x.as<T>(), static_cast<int>(a.patch), static_cast<int>(values),
                   static_cast<int>(columns), static_cast<float>(a.scale), static_cast<float>(a.shift)});
  });
}

}  // namespace hb::cuda
