#pragma once
// Primitives that are the same for both compilers, in terms of the others. Included by prim.h alone. HB_AND_SITE and
// HB_PASS_SITE carry the place of the call, for the emulator's reports; under nvcc they are nothing.

namespace hb::cuda {

HB_DEVICE unsigned lane() { return linear_thread() % kWarpLanes; }
HB_DEVICE unsigned warp() { return linear_thread() / kWarpLanes; }

HB_DEVICE float bf16_to_f32(uint16_t h) { return as_f32(static_cast<uint32_t>(h) << 16); }
/// The two halves of a pair.
HB_DEVICE float bf16_low(uint32_t pair) { return as_f32(pair << 16); }
HB_DEVICE float bf16_high(uint32_t pair) { return as_f32(pair & 0xffff0000u); }

/// Sum of a value over the lanes of a whole warp, in one order whatever the schedule; every lane gets the same bits.
HB_DEVICE float warp_sum(float v HB_AND_SITE) {
  HB_UNROLL
  for (int step = 16; step > 0; step /= 2) v = add_rn(v, shuffle_xor(kAllLanes, v, step HB_PASS_SITE));
  return v;
}
HB_DEVICE float warp_max(float v HB_AND_SITE) {
  HB_UNROLL
  for (int step = 16; step > 0; step /= 2) {
    const float other = shuffle_xor(kAllLanes, v, step HB_PASS_SITE);
    v = other > v ? other : v;
  }
  return v;
}

/// A count that lies on the device, clamped to [0, n]; n where there is none. Every thread may read it.
HB_DEVICE int live_count(const int32_t* count, int n) {
  if (!count) return n;
  const int c = *count;
  return c < 0 ? 0 : c > n ? n : c;
}

/// Sine and cosine of an angle below 2^50, computed in double and rounded once. (CUDA's own need local memory for the
/// reduction of large angles.)
HB_DEVICE void sin_cos(float angle, float& sine, float& cosine) {
  const double x = angle;
  const double turns = x * 0.6366197723675814;  // 2 / pi
  const int64_t quarter = static_cast<int64_t>(turns < 0 ? turns - 0.5 : turns + 0.5);
  const double n = static_cast<double>(quarter);
  // Off pi / 2, in two parts.
  const double r = fma_rn(-n, 6.123233995736766e-17, fma_rn(-n, 1.5707963267948966, x));
  const double z = r * r;
  // Taylor's series on [-pi/4, pi/4], off by less than 1e-13.
  double s = -1.0 / 39916800, c = 1.0 / 479001600;
  s = s * z + 1.0 / 362880, c = c * z - 1.0 / 3628800;
  s = s * z - 1.0 / 5040, c = c * z + 1.0 / 40320;
  s = s * z + 1.0 / 120, c = c * z - 1.0 / 720;
  s = s * z - 1.0 / 6, c = c * z + 1.0 / 24;
  s = r + r * z * s, c = c * z - 0.5;
  c = c * z + 1.0;
  const bool swap = quarter & 1;
  const double sin_value = swap ? c : s, cos_value = swap ? s : c;
  sine = static_cast<float>(quarter & 2 ? -sin_value : sin_value);
  cosine = static_cast<float>((quarter + 1) & 2 ? -cos_value : cos_value);
}

// Elements of tensors by type: f32 is float, bf16 is uint16_t.
HB_DEVICE float widen(float v) { return v; }
HB_DEVICE float widen(uint16_t v) { return bf16_to_f32(v); }
HB_DEVICE int32_t widen(int32_t v) { return v; }
template <class T>
HB_DEVICE T narrow(float v) {
  if constexpr (sizeof(T) == 2) {
    return f32_to_bf16(v);
  } else {
    return v;
  }
}

/// `n` elements in a row, n * sizeof(T) a multiple of 16, from an address aligned to 16 bytes.
template <int n, class T>
HB_DEVICE void load_row(float (&out)[n], const T* from HB_AND_SITE) {
  static_assert(n * sizeof(T) % 16 == 0);
  HB_UNROLL
  for (int i = 0; i < n * static_cast<int>(sizeof(T)) / 16; ++i) {
    const Vec16 v = load16(reinterpret_cast<const char*>(from) + 16 * i HB_PASS_SITE);
    HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      if constexpr (sizeof(T) == 2) {
        out[8 * i + 2 * j] = bf16_low(v.word[j]), out[8 * i + 2 * j + 1] = bf16_high(v.word[j]);
      } else {
        out[4 * i + j] = as_f32(v.word[j]);
      }
    }
  }
}
template <int n, class T>
HB_DEVICE void store_row(T* to, const float (&v)[n] HB_AND_SITE) {
  static_assert(n * sizeof(T) % 16 == 0);
  HB_UNROLL
  for (int i = 0; i < n * static_cast<int>(sizeof(T)) / 16; ++i) {
    Vec16 w;
    HB_UNROLL
    for (int j = 0; j < 4; ++j) {
      if constexpr (sizeof(T) == 2) {
        w.word[j] = pack_bf16(v[8 * i + 2 * j], v[8 * i + 2 * j + 1]);
      } else {
        w.word[j] = as_u32(v[4 * i + j]);
      }
    }
    store16(reinterpret_cast<char*>(to) + 16 * i, w HB_PASS_SITE);
  }
}

}  // namespace hb::cuda
