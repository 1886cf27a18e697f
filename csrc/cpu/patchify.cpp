#include "cpu/kernels.h"

namespace hb::cpu {

Status patchify_cpu(const OpContext& cx, const Patchify& a) {
  const int64_t p = a.patch, c = a.x.dims[2], width = a.x.dims[1], columns = width / p;
  const size_t bytes = static_cast<size_t>(p * c) * bytes_of(a.x.dtype);
  parallel_for(cx, a.x.dims[0], [&](int64_t y, int) {
    for (int64_t x = 0; x < columns; ++x)
      std::memcpy(at(a.out, (((y / p) * columns + x) * p + y % p) * p * c), at(a.x, (y * width + x * p) * c), bytes);
  });
  return Status::success();
}

}  // namespace hb::cpu
