#include "cpu/kernels.h"

namespace hb::cpu {

Status rms_norm_cpu(const OpContext& cx, const RmsNorm& a) {
  const int64_t d = a.x.dims[1], n = live_rows(a.rows, a.x.dims[0]), split = split_row(a.split, a.x.dims[0]);
  const float eps = static_cast<float>(a.eps);
  parallel_for(cx, n, [&](int64_t row, int) {
    const TensorView& weight = row < split ? a.weight : a.weight_gen;
    verbs(cx).rms_norm_row(types(a.x, weight), at(a.x, row * d), a.residual ? at(a.residual, row * d) : nullptr,
                           weight.data, at(a.out, row * d), a.residual ? at(a.sum, row * d) : nullptr, d, eps);
  });
  return Status::success();
}

}  // namespace hb::cpu
