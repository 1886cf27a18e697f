#pragma once
#include "ops/declare.h"

namespace hb {

struct LayerNorm {
  TensorView x;       // [N D]
  TensorView weight;  // [D]
  TensorView bias;    // [D]
  TensorView rows;    // [1], may be absent
  TensorView out;     // [N D]
  double eps;
};

inline constexpr Operand layer_norm_operands[] = {
    HB_IN(LayerNorm, x, kFloat, 'T', "N D", "rows to normalise"),
    HB_IN(LayerNorm, weight, kFloat, 'W', "D", "scale"),
    HB_IN(LayerNorm, bias, kFloat, 'W', "D", "shift"),
    HB_ROWS(LayerNorm),
    HB_OUT(LayerNorm, out, kFloat, 'T', "N D", "normalised rows"),
};
inline constexpr Attribute layer_norm_attributes[] = {HB_REAL(LayerNorm, eps, 0, 1, 1e-6, "added to the variance")};

inline Cost layer_norm_cost(const void* args) {
  auto& a = *static_cast<const LayerNorm*>(args);
  return {8.0 * static_cast<double>(a.x.elements()),
          bytes_of(a.x) + bytes_of(a.weight) + bytes_of(a.bias) + bytes_of(a.out)};
}

inline constexpr Contract layer_norm_contract = contract<LayerNorm>(
    "layer_norm", "Layer norm of each row.", "out = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias",
    layer_norm_operands, layer_norm_attributes, nullptr, layer_norm_cost, "N");

}  // namespace hb
