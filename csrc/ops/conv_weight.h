#pragma once
#include "ops/declare.h"

namespace hb {

struct ConvWeight {
  TensorView weight;  // [M C Y X]
  TensorView out;     // [M K]
};

inline constexpr Operand conv_weight_operands[] = {
    HB_IN(ConvWeight, weight, kFloat, 'T', "M C Y X", "a checkpoint's convolution weight"),
    HB_OUT(ConvWeight, out, kFloat, 'T', "M K", "columns (kernel row, kernel column, channel)"),
};

inline Status conv_weight_rules(void* args) {
  auto& a = *static_cast<ConvWeight*>(args);
  set_dims(a.out, a.weight.dims[0], a.weight.dims[1] * a.weight.dims[2] * a.weight.dims[3]);
  return Status::success();
}

inline Cost conv_weight_cost(const void* args) {
  auto& a = *static_cast<const ConvWeight*>(args);
  return {0, 2 * bytes_of(a.out)};
}

inline constexpr Contract conv_weight_contract = contract<ConvWeight>(
    "conv_weight", "Brings a channels-first convolution weight into the order of conv2d.",
    "out[m, (y, x, c)] = weight[m, c, y, x]", conv_weight_operands, conv_weight_rules, conv_weight_cost);

}  // namespace hb
