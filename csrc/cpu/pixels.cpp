#include "cpu/kernels.h"

namespace hb::cpu {

Status normalize_pixels_cpu(const OpContext& cx, const NormalizePixels& a) {
  const int64_t row = a.x.dims[1] * a.x.dims[2];
  parallel_for(cx, a.x.dims[0], [&](int64_t y, int) {
    const uint8_t* x = a.x.as<const uint8_t>() + y * row;
    float* out = a.out.as<float>() + y * row;
    for (int64_t i = 0; i < row; ++i) out[i] = (static_cast<float>(x[i]) / 255.0f - 0.5f) / 0.5f;
  });
  return Status::success();
}

namespace {

inline uint8_t pixel(float x) {
  float v = x * 0.5f + 0.5f;
  v = v > 0.0f ? v : 0.0f;  // also catches NaN
  v = v < 1.0f ? v : 1.0f;
  return static_cast<uint8_t>(static_cast<int32_t>(v * 255.0f));
}

}  // namespace

Status denormalize_pixels_cpu(const OpContext& cx, const DenormalizePixels& a) {
  const int64_t row = a.x.dims[1] * a.x.dims[2];
  parallel_for(cx, a.x.dims[0], [&](int64_t y, int) {
    uint8_t* out = a.out.as<uint8_t>() + y * row;
    if (a.x.dtype == DType::bf16) {
      const uint16_t* x = a.x.as<const uint16_t>() + y * row;
      for (int64_t i = 0; i < row; ++i) out[i] = pixel(bf16_to_f32(x[i]));
    } else {
      const float* x = a.x.as<const float>() + y * row;
      for (int64_t i = 0; i < row; ++i) out[i] = pixel(x[i]);
    }
  });
  return Status::success();
}

}  // namespace hb::cpu
