#pragma once
#include "ops/declare.h"

namespace hb {

struct Conv2d {
  TensorView x;         // [H W C]
  TensorView weight;    // [M K], K = kernel * kernel * C, plain or packed
  TensorView bias;      // [M]
  TensorView residual;  // [Y X M], may be absent
  TensorView out;       // [Y X M]
  int64_t kernel;
  int64_t stride;
  int64_t pad_begin;
  int64_t pad_end;
};

inline constexpr Operand conv2d_operands[] = {
    HB_IN(Conv2d, x, kFloat, 'T', "H W C", "image, channels last"),
    HB_WEIGHT(Conv2d, weight, kFloat, 'W', "M K", kRequired,
              "one row per output channel, columns (kernel row, kernel column, channel)"),
    HB_IN(Conv2d, bias, kFloat, 'B', "M", "added per output channel"),
    HB_OPT(Conv2d, residual, kFloat, 'T', "Y X M", "added last"),
    HB_OUT(Conv2d, out, kFloat, 'T', "Y X M", "Y = (H + pad_begin + pad_end - kernel) / stride + 1, X alike"),
};
inline constexpr Attribute conv2d_attributes[] = {
    HB_INT(Conv2d, kernel, 1, 15, 3, "side of the square kernel"),
    HB_INT(Conv2d, stride, 1, 8, 1, "step in both directions"),
    HB_INT(Conv2d, pad_begin, 0, 15, 1, "zeros above and left"),
    HB_INT(Conv2d, pad_end, 0, 15, 1, "zeros below and right"),
};

inline Status conv2d_rules(void* args) {
  auto& a = *static_cast<Conv2d*>(args);
  const int64_t k = a.kernel * a.kernel * a.x.dims[2], pad = a.pad_begin + a.pad_end;
  if (a.weight.dims[1] != k)
    return Status::mismatch(Code::BAD_SHAPE, "weight", num(k) + " columns", num(a.weight.dims[1]));
  if (a.x.dims[0] + pad < a.kernel || a.x.dims[1] + pad < a.kernel)
    return Status::mismatch(Code::BAD_SHAPE, "x", "at least the kernel's size with padding",
                            num(a.x.dims[0]) + "x" + num(a.x.dims[1]));
  set_dims(a.out, (a.x.dims[0] + pad - a.kernel) / a.stride + 1, (a.x.dims[1] + pad - a.kernel) / a.stride + 1,
           a.weight.dims[0]);
  return Status::success();
}

inline Cost conv2d_cost(const void* args) {
  auto& a = *static_cast<const Conv2d*>(args);
  return {2.0 * static_cast<double>(a.out.dims[0] * a.out.dims[1]) * static_cast<double>(a.weight.elements()),
          bytes_of(a.x) + bytes_of(a.weight) + bytes_of(a.residual) + bytes_of(a.out)};
}

inline constexpr Contract conv2d_contract =
    contract<Conv2d>("conv2d", "Two-dimensional convolution of one channels-last image.",
                     "out[y,x,m] = bias[m] + sum over (i,j,c) of x[y*stride + i - pad_begin, x*stride + j - pad_begin, "
                     "c] * weight[m,(i,j,c)] + residual",
                     conv2d_operands, conv2d_attributes, conv2d_rules, conv2d_cost);

}  // namespace hb
