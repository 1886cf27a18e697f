#include "cpu/kernels.h"

namespace hb::cpu {

Status unpatchify_cpu(const OpContext& cx, const Unpatchify& a) {
  const int64_t p = a.patch, c = a.out.dims[2], width = a.out.dims[1], columns = width / p;
  const float scale = static_cast<float>(a.scale), shift = static_cast<float>(a.shift);
  parallel_for(cx, a.out.dims[0], [&](int64_t y, int) {
    for (int64_t x = 0; x < columns; ++x)
      verbs(cx).affine_row(types(a.x, a.out), at(a.x, (((y / p) * columns + x) * p + y % p) * p * c),
                           at(a.out, (y * width + x * p) * c), p * c, scale, shift);
  });
  return Status::success();
}

}  // namespace hb::cpu
