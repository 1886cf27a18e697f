#pragma once
#include "ops/declare.h"

namespace hb {

struct DenseAttention {
  TensorView qkv;     // [N 3 H D]
  TensorView ranges;  // [N 2], may be absent
  TensorView rows;    // [1], may be absent
  TensorView out;     // [N H D]
  double scale;
};

inline constexpr Operand dense_attention_operands[] = {
    HB_IN(DenseAttention, qkv, kFloat, 'T', "N 3 H D", "q, k and v of each row side by side"),
    HB_OPT(DenseAttention, ranges, kI32, '-', "N 2",
           "the row sees rows ranges[0] .. ranges[1] - 1; all rows when absent"),
    HB_ROWS(DenseAttention),
    HB_OUT(DenseAttention, out, kFloat, 'T', "N H D", "a row that sees nothing gives zeros"),
};
inline constexpr Attribute dense_attention_attributes[] = {
    HB_REAL(DenseAttention, scale, 0, 1e3, kNone, "factor of q k^T, 1 / sqrt(D) as a rule"),
};

inline Cost dense_attention_cost(const void* args) {
  auto& a = *static_cast<const DenseAttention*>(args);
  const double n = static_cast<double>(a.qkv.dims[0]);
  return {4 * n * n * static_cast<double>(a.out.dims[1] * a.out.dims[2]), bytes_of(a.qkv) + bytes_of(a.out)};
}

inline constexpr Contract dense_attention_contract = contract<DenseAttention>(
    "dense_attention", "Attention among the rows of the call, full within each row's range: the ViT and the VAE.",
    "out = softmax(scale * q K^T) V over rows ranges[0] .. ranges[1] - 1 in order", dense_attention_operands,
    dense_attention_attributes, nullptr, dense_attention_cost, "N");

}  // namespace hb
