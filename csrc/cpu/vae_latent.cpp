#include "cpu/kernels.h"

namespace hb::cpu {

Status vae_latent_cpu(const OpContext& cx, const VaeLatent& a) {
  const int64_t width = a.moments.dims[1], z = a.out.dims[2];
  const float scale = static_cast<float>(a.scale), shift = static_cast<float>(a.shift);
  parallel_for(cx, a.moments.dims[0], [&](int64_t y, int) {
    for (int64_t pixel = y * width; pixel < (y + 1) * width; ++pixel)
      verbs(cx).latent_row(a.out.dtype == DType::bf16, at(a.moments, pixel * 2 * z), at(a.moments, pixel * 2 * z + z),
                           a.noise ? at(a.noise, pixel * z) : nullptr, at(a.out, pixel * z), z, scale, shift);
  });
  return Status::success();
}

}  // namespace hb::cpu
