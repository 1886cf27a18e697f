#include "cpu/kernels.h"

namespace hb::cpu {

namespace {

template <class T>
void reorder(const T* from, T* to, int64_t channels, int64_t places) {
  for (int64_t i = 0; i < places; ++i)
    for (int64_t c = 0; c < channels; ++c) to[i * channels + c] = from[c * places + i];
}

}  // namespace

Status conv_weight_cpu(const OpContext& cx, const ConvWeight& a) {
  const int64_t channels = a.weight.dims[1], places = a.weight.dims[2] * a.weight.dims[3], k = channels * places;
  parallel_for(cx, a.weight.dims[0], [&](int64_t m, int) {
    if (a.weight.dtype == DType::bf16)
      reorder(a.weight.as<const uint16_t>() + m * k, a.out.as<uint16_t>() + m * k, channels, places);
    else
      reorder(a.weight.as<const float>() + m * k, a.out.as<float>() + m * k, channels, places);
  });
  return Status::success();
}

}  // namespace hb::cpu
