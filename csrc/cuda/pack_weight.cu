// Weights as this backend's linear and conv2d read them.
#include "cuda/element.h"

namespace hb::cuda {
namespace {

/// Rows of up to three weights one after another, padded to `stride` columns; rows behind them are zeros, too.
template <class T>
struct Pack {
  T* out;
  const T *first, *second, *third;
  int m, m2, live, k, stride;
  HB_DEVICE void operator()(int row, int column) const {
    const int past = row - m, past2 = past - m2;
    const T* from = past < 0    ? first + int64_t{row} * k
                    : past2 < 0 ? second + int64_t{past} * k
                                : third + int64_t{past2} * k;
    out[int64_t{row} * stride + column] = row < live && column < k ? from[column] : T{0};
  }
};

/// Channels first to channels last.
template <class T>
struct Reorder {
  T* out;
  const T* weight;
  int channels, places;
  HB_DEVICE void operator()(int row, int column) const {
    const int64_t start = int64_t{row} * channels * places;
    out[start + column] = weight[start + column % channels * places + column / channels];
  }
};

}  // namespace

Status pack_weight_cuda(const OpContext& cx, const PackWeight& a) {
  const int64_t stride = packed_columns(a.out.dims[1], a.out.dtype);
  const int64_t rows = (a.out.dims[0] + kPanel - 1) / kPanel * kPanel;
  return with_type(a.out, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    const auto rows_of = [](const TensorView& w) { return w ? static_cast<int>(w.dims[0]) : 0; };
    return each_in_rows(cx, rows, stride,
                        Pack<T>{a.out.as<T>(), a.weight.as<T>(), a.second.as<T>(), a.third.as<T>(), rows_of(a.weight),
                                rows_of(a.second), static_cast<int>(a.out.dims[0]), static_cast<int>(a.out.dims[1]),
                                static_cast<int>(stride)});
  });
}

Status conv_weight_cuda(const OpContext& cx, const ConvWeight& a) {
  return with_type(a.out, [&](auto* t) {
    using T = std::remove_reference_t<decltype(*t)>;
    return each_in_rows(cx, a.weight.dims[0], a.out.dims[1],
                        Reorder<T>{a.out.as<T>(), a.weight.as<T>(), static_cast<int>(a.weight.dims[1]),
                                   static_cast<int>(a.weight.dims[2] * a.weight.dims[3])});
  });
}

}  // namespace hb::cuda
