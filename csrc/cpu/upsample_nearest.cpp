#include "cpu/kernels.h"

namespace hb::cpu {

Status upsample_nearest_cpu(const OpContext& cx, const UpsampleNearest& a) {
  const int64_t width = a.x.dims[1], c = a.x.dims[2], f = a.factor;
  const size_t pixel = static_cast<size_t>(c) * bytes_of(a.x.dtype), row = static_cast<size_t>(width * f) * pixel;
  parallel_for(cx, a.x.dims[0], [&](int64_t y, int) {
    const char* from = static_cast<const char*>(at(a.x, y * width * c));
    char* const first = static_cast<char*>(at(a.out, y * f * width * f * c));
    char* to = first;
    for (int64_t x = 0; x < width; ++x, from += pixel)
      for (int64_t i = 0; i < f; ++i, to += pixel) std::memcpy(to, from, pixel);
    for (int64_t i = 1; i < f; ++i, to += row) std::memcpy(to, first, row);
  });
  return Status::success();
}

}  // namespace hb::cpu
