#include "cpu/kernels.h"

namespace hb::cpu {

Status layer_norm_cpu(const OpContext& cx, const LayerNorm& a) {
  const int64_t d = a.x.dims[1], n = live_rows(a.rows, a.x.dims[0]);
  const float eps = static_cast<float>(a.eps);
  parallel_for(cx, n, [&](int64_t row, int) {
    verbs(cx).layer_norm_row(types(a.x, a.weight), at(a.x, row * d), a.weight.data, a.bias.data, at(a.out, row * d), d,
                             eps);
  });
  return Status::success();
}

}  // namespace hb::cpu
